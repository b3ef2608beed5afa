/**
 * Python regular expressions, as PEFT writes them into adapter_config.json, matched against module names. Not JavaScript's
 * RegExp: that spells some things differently and backtracks, so that a pattern like (a+)+b from a stranger's file would
 * hold up the whole gateway. Here a node gives the set of positions where it can end, so the work is bounded by the
 * pattern's length times the name's.
 */

/** Longer patterns are not patterns that people write. */
export const MAX_PATTERN_LENGTH = 4096;
const MAX_REPEAT = 1000;
const MAX_DEPTH = 100;

/** Where in `text` a match that starts at one position can end. */
type Node = (text: string, starts: ReadonlySet<number>) => Set<number>;

export class PythonPattern {
  readonly #node: Node;

  /** Throws the end of a sentence, e.g. "uses (?>..., which is not supported". */
  constructor(pattern: string) {
    if (pattern.length > MAX_PATTERN_LENGTH) {
      throw new Error(`is ${pattern.length} characters long; at most ${MAX_PATTERN_LENGTH} are supported`);
    }
    this.#node = new Parser(pattern).parse();
  }

  /** Positions where a match that starts at `start` can end. */
  ends(text: string, start: number): ReadonlySet<number> {
    return this.#node(text, new Set([start]));
  }

  /** re.fullmatch, from `start` on. */
  fullMatch(text: string, start = 0): boolean {
    return this.ends(text, start).has(text.length);
  }
}

const isWord = (character: string | undefined) => character !== undefined && /\w/.test(character);
const atEnd = (text: string, at: number) => at === text.length;
const atBoundary = (text: string, at: number) => isWord(text[at - 1]) !== isWord(text[at]);

/** A node that consumes nothing and keeps the starts where `test` holds. */
function assertion(test: (text: string, at: number) => boolean): Node {
  return (text, starts) => new Set([...starts].filter((at) => test(text, at)));
}

function single(test: (character: string) => boolean): Node {
  return (text, starts) => {
    const ends = new Set<number>();
    for (const at of starts) if (at < text.length && test(text[at]!)) ends.add(at + 1);
    return ends;
  };
}

function repeat(node: Node, least: number, most: number): Node {
  return (text, starts) => {
    let reached: Set<number> = new Set(starts);
    for (let i = 0; i < least && reached.size > 0; i++) reached = node(text, reached);
    const ends = new Set(reached);
    for (let i = least; i < most && reached.size > 0; i++) {
      // Only what is new goes on: every position is visited once, however often the node may repeat.
      reached = new Set([...node(text, reached)].filter((at) => !ends.has(at)));
      for (const at of reached) ends.add(at);
    }
    return ends;
  };
}

/** Characters that a letter behind a backslash stands for, in and out of classes. */
const escapedClasses: Record<string, (character: string) => boolean> = {
  d: (character) => /\d/.test(character),
  D: (character) => /\D/.test(character),
  w: (character) => /\w/.test(character),
  W: (character) => /\W/.test(character),
  s: (character) => /\s/.test(character),
  S: (character) => /\S/.test(character),
};
const escapedCharacters: Record<string, string> = { n: '\n', r: '\r', t: '\t', f: '\f', v: '\v', a: '\x07' };

class Parser {
  readonly #text: string;
  readonly #ignoreCase: boolean;
  #at = 0;
  #depth = 0;

  constructor(pattern: string) {
    const flags = /^\(\?([a-zA-Z]+)\)/.exec(pattern);
    const other = flags && /[^aiLmsu]/.exec(flags[1]!);
    if (other) throw new Error(`uses the flag (?${other[0]}), which is not supported`);
    this.#ignoreCase = flags?.[1]?.includes('i') ?? false;
    this.#text = flags ? pattern.slice(flags[0].length) : pattern;
  }

  parse(): Node {
    const node = this.#alternatives();
    if (this.#at < this.#text.length) throw new Error('has a ")" without its "("');
    return node;
  }

  #alternatives(): Node {
    if (++this.#depth > MAX_DEPTH) throw new Error(`has groups nested more than ${MAX_DEPTH} deep`);
    const choices = [this.#sequence()];
    while (this.#take('|')) choices.push(this.#sequence());
    this.#depth--;
    if (choices.length === 1) return choices[0]!;
    return (text, starts) => new Set(choices.flatMap((choice) => [...choice(text, starts)]));
  }

  #sequence(): Node {
    const nodes: Node[] = [];
    while (this.#at < this.#text.length && !'|)'.includes(this.#text[this.#at]!))
      nodes.push(this.#quantified());
    return (text, starts) => {
      let reached: Set<number> = new Set(starts);
      for (const node of nodes) reached = node(text, reached);
      return reached;
    };
  }

  #quantified(): Node {
    const node = this.#atom();
    const quantifier = /^(?:[*+?]|\{\d+\}|\{\d*,\d*\})/.exec(this.#text.slice(this.#at))?.[0];
    if (!quantifier || quantifier === '{,}') return node;
    this.#at += quantifier.length;
    // Lazy or not changes what groups hold, not what matches.
    this.#take('?');
    if (/[+*]/.test(this.#text[this.#at] ?? '')) {
      throw new Error(
        this.#text[this.#at] === '+'
          ? 'uses a possessive quantifier, which is not supported'
          : 'repeats a repetition',
      );
    }
    if (quantifier === '*') return repeat(node, 0, Number.POSITIVE_INFINITY);
    if (quantifier === '+') return repeat(node, 1, Number.POSITIVE_INFINITY);
    if (quantifier === '?') return repeat(node, 0, 1);
    const [least = '', most = least] = quantifier.slice(1, -1).split(',');
    const from = least === '' ? 0 : Number(least);
    const to = most === '' ? Number.POSITIVE_INFINITY : Number(most);
    if (from > MAX_REPEAT || from > to)
      throw new Error(`has the repetition ${quantifier}, which is not supported`);
    return repeat(node, from, to);
  }

  #atom(): Node {
    const character = this.#text[this.#at++]!;
    if (character === '(') return this.#group();
    if (character === '[') return this.#class();
    if (character === '\\') return this.#escape();
    if (character === '.') return single((one) => one !== '\n');
    if (character === '^') return assertion((_, at) => at === 0);
    if (character === '$') return assertion(atEnd);
    if ('*+?'.includes(character)) throw new Error(`has nothing to repeat before "${character}"`);
    return single(this.#equals(character));
  }

  #group(): Node {
    const kind = /^\?(?:P<[A-Za-z_]\w*>|:|=|!)/.exec(this.#text.slice(this.#at))?.[0] ?? '';
    if (kind === '' && this.#text[this.#at] === '?') {
      throw new Error(`uses (${this.#text.slice(this.#at, this.#at + 3)}..., which is not supported`);
    }
    this.#at += kind.length;
    const inner = this.#alternatives();
    if (!this.#take(')')) throw new Error('has a "(" without its ")"');
    if (kind !== '?=' && kind !== '?!') return inner;
    return assertion((text, at) => inner(text, new Set([at])).size > 0 === (kind === '?='));
  }

  #class(): Node {
    const negated = this.#take('^');
    const tests: Array<(character: string) => boolean> = [];
    // A "]" that comes first is a plain character.
    for (let first = true; first || this.#text[this.#at] !== ']'; first = false) {
      if (this.#at >= this.#text.length) throw new Error('has a "[" without its "]"');
      const low = this.#classItem();
      const range = /^-[^\]]/.test(this.#text.slice(this.#at));
      if (typeof low !== 'string' || !range) {
        tests.push(typeof low === 'string' ? this.#equals(low) : low);
        continue;
      }
      this.#at++;
      const high = this.#classItem();
      if (typeof high !== 'string' || high < low) throw new Error('has a range that is none in a "[...]"');
      const within = (one: string) => one >= low && one <= high;
      tests.push(
        (one) =>
          within(one) || (this.#ignoreCase && (within(one.toLowerCase()) || within(one.toUpperCase()))),
      );
    }
    this.#at++;
    return single((one) => tests.some((test) => test(one)) !== negated);
  }

  #classItem(): string | ((character: string) => boolean) {
    const character = this.#text[this.#at++]!;
    return character === '\\' ? this.#escaped(true) : character;
  }

  #escape(): Node {
    const next = this.#text[this.#at];
    const simple: Record<string, Node> = {
      A: assertion((_, at) => at === 0),
      Z: assertion(atEnd),
      b: assertion(atBoundary),
      B: assertion((text, at) => !atBoundary(text, at)),
    };
    if (next !== undefined && Object.hasOwn(simple, next)) {
      this.#at++;
      return simple[next]!;
    }
    const escaped = this.#escaped(false);
    return single(typeof escaped === 'string' ? this.#equals(escaped) : escaped);
  }

  /** What stands behind a backslash: one character, or a test for one. */
  #escaped(inClass: boolean): string | ((character: string) => boolean) {
    const next = this.#text[this.#at++];
    if (next === undefined) throw new Error('ends in a lone backslash');
    if (Object.hasOwn(escapedClasses, next)) return escapedClasses[next]!;
    if (Object.hasOwn(escapedCharacters, next)) return escapedCharacters[next]!;
    if (inClass && next === 'b') return '\b';
    const code = /^(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})/.exec(this.#text.slice(this.#at - 1))?.[0];
    if (code) {
      this.#at += code.length - 1;
      return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    }
    if (/[A-Za-z0-9]/.test(next)) throw new Error(`uses the escape \\${next}, which is not supported`);
    return next;
  }

  #equals(expected: string): (character: string) => boolean {
    if (!this.#ignoreCase) return (character) => character === expected;
    return (character) => character.toLowerCase() === expected.toLowerCase();
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }
}
