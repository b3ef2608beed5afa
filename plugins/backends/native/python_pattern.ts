/**
 * Python regular expressions, as PEFT writes them into adapter_config.json, on JavaScript's RegExp. What the two spell
 * differently is translated; what JavaScript cannot do is refused by a sentence.
 */
import { createContext, Script } from 'node:vm';

/** Longer patterns are not patterns that people write. */
export const MAX_PATTERN_LENGTH = 4096;
/** Matching a few hundred module names takes microseconds; only a pattern that backtracks without end meets this. */
const MATCH_LIMIT_MS = 250;

export interface TranslatedPattern {
  source: string;
  flags: string;
}

/** Python's pattern in JavaScript's spelling; throws a sentence fragment ("uses (?>...), ...") where there is none. */
export function translatePattern(pattern: string): TranslatedPattern {
  if (pattern.length > MAX_PATTERN_LENGTH) {
    throw new Error(`is ${pattern.length} characters long; at most ${MAX_PATTERN_LENGTH} are supported`);
  }
  let flags = '';
  let rest = pattern;
  const global = /^\(\?([a-zA-Z]+)\)/.exec(pattern);
  if (global) {
    for (const flag of global[1]!) {
      if (flag === 'i' || flag === 's' || flag === 'm') flags += flags.includes(flag) ? '' : flag;
      else if (flag !== 'a' && flag !== 'u')
        throw new Error(`uses the flag (?${flag}), which is not supported`);
    }
    rest = pattern.slice(global[0].length);
  }
  let source = '';
  let i = 0;
  while (i < rest.length) {
    const [text, length] = translateAt(rest, i, flags);
    source += text;
    i += length;
  }
  try {
    new RegExp(source, flags);
  } catch (error) {
    throw new Error(`is not a regular expression that is supported (${(error as Error).message})`);
  }
  return { source, flags };
}

/** The translation of what starts at `i`, and how many characters it takes. */
function translateAt(pattern: string, i: number, flags: string): [text: string, length: number] {
  const at = pattern.slice(i);
  if (at[0] === '\\') return translateEscape(at, flags);
  if (at[0] === '[') return translateClass(at, flags);
  if (at.startsWith('(?')) return translateGroup(at);
  const open = /^\{,(\d+)\}/.exec(at);
  if (open) return [`{0,${open[1]}}`, open[0].length];
  if (/^(?:[*+?]|\{\d*,?\d*\})\+/.test(at))
    throw new Error('uses a possessive quantifier, which is not supported');
  return [at[0]!, 1];
}

function translateEscape(at: string, flags: string): [string, number] {
  const next = at[1];
  if (next === undefined) throw new Error('ends in a lone backslash');
  // Python's \A and \Z mean the ends of the text whatever the flags; JavaScript's ^ and $ do so without m.
  if (next === 'A' || next === 'Z') {
    return flags.includes('m') ? [next === 'A' ? '(?<![^])' : '(?![^])', 2] : [next === 'A' ? '^' : '$', 2];
  }
  if (next === 'x' || next === 'u') {
    const code = /^\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})/.exec(at);
    if (!code) throw new Error(`has an incomplete escape \\${next}`);
    return [code[0], code[0].length];
  }
  if (/[a-zA-Z]/.test(next) && !/[dDwWsSbBnrtfv]/.test(next)) {
    throw new Error(`uses the escape \\${next}, which is not supported`);
  }
  return [at.slice(0, 2), 2];
}

/** A character class; a "]" that comes first is a plain character in Python. */
function translateClass(at: string, flags: string): [string, number] {
  let text = at.startsWith('[^') ? '[^' : '[';
  let i = text.length;
  for (let first = true; i < at.length; first = false) {
    if (at[i] === ']' && !first) return [`${text}]`, i + 1];
    if (at[i] === '\\') {
      const [escaped, length] = translateEscape(at.slice(i), flags);
      text += escaped;
      i += length;
    } else {
      text += at[i] === ']' ? '\\]' : at[i];
      i++;
    }
  }
  throw new Error('has a "[" without its "]"');
}

function translateGroup(at: string): [string, number] {
  const named = /^\(\?P<([A-Za-z_]\w*)>/.exec(at);
  if (named) return [`(?<${named[1]}>`, named[0].length];
  const reference = /^\(\?P=([A-Za-z_]\w*)\)/.exec(at);
  if (reference) return [`\\k<${reference[1]}>`, reference[0].length];
  const plain = /^\(\?(?:[:=!]|<[=!])/.exec(at);
  if (plain) return [plain[0], plain[0].length];
  throw new Error(`uses ${at.slice(0, 4)}..., which is not supported`);
}

/** One question to `matchAll`: a RegExp source that embeds a translated pattern. */
export interface Question {
  source: string;
  flags: string;
}

/**
 * For each question, the texts (as indices) that match it, with the group named `idx` where there is one. Runs under a
 * time limit, so that a pattern with catastrophic backtracking is an error instead of a gateway that hangs.
 */
export function matchAll(
  questions: readonly Question[],
  texts: readonly string[],
): Array<Map<number, string | undefined>> {
  if (questions.length === 0) return [];
  const context = createContext({ input: JSON.stringify({ questions, texts }) });
  const script = new Script(`
    const { questions, texts } = JSON.parse(input);
    JSON.stringify(questions.map(({ source, flags }) => {
      const expression = new RegExp(source, flags);
      const found = [];
      texts.forEach((text, i) => {
        const match = expression.exec(text);
        if (match) found.push([i, match.groups && match.groups.idx]);
      });
      return found;
    }))`);
  let answer: string;
  try {
    answer = script.runInContext(context, { timeout: MATCH_LIMIT_MS }) as string;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') {
      throw new Error('takes too long to match (it backtracks without end); write it more simply');
    }
    throw new Error(`cannot be matched (${(error as Error).message})`);
  }
  const found = JSON.parse(answer) as Array<Array<[number, string | null | undefined]>>;
  return found.map((pairs) => new Map(pairs.map(([i, idx]) => [i, idx ?? undefined])));
}
