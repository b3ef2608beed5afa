import { ColophonError } from '../contract/index.ts';
import { escapeRegExp } from './tokenizer.ts';

export interface Shielded<Value> {
  value: Value;
  /** Gives the replaced characters back. */
  restore(text: string): string;
  changed: boolean;
  /** Another private-use character that occurs nowhere in the input. */
  unused(): string;
}

/**
 * Makes special-token strings in input unrecognisable while a template is rendered around it: the first character of
 * each is replaced by a private-use character that occurs nowhere in the input. So is the first character of a beginning
 * of one at the end of a string, so that two strings side by side never make one. Lengths stay as they are.
 */
export function shieldSpecials<Value>(value: Value, specials: string[], template: string): Shielded<Value> {
  const strings: string[] = [template];
  collectStrings(value, strings);
  const find = specials.length === 0 ? undefined : specialFinder(specials);
  const changed = find !== undefined && strings.some((text, at) => at > 0 && find(text).length > 0);

  const unused = unusedCharacters(strings);
  if (!changed) return { value, restore: (text) => text, changed, unused };

  const replacements = new Map<string, string>();
  const originals = new Map<string, string>();
  const shield = (text: string, positions: number[]): string => {
    let result = '';
    let start = 0;
    for (const at of positions) {
      const original = String.fromCodePoint(text.codePointAt(at)!);
      let replacement = replacements.get(original);
      if (replacement === undefined) {
        replacement = unused();
        replacements.set(original, replacement);
        originals.set(replacement, original);
      }
      result += text.slice(start, at) + replacement;
      start = at + original.length;
    }
    return result + text.slice(start);
  };
  const shielded = mapStrings(
    value,
    (text) => shield(text, find(text)),
    // A key that only ends like the beginning of a special token stays what the template looks for.
    (key) => shield(key, find(key, false)),
  );
  const pattern = new RegExp(`[${[...originals.keys()].join('')}]`, 'gu');
  return {
    value: shielded,
    restore: (text) => text.replace(pattern, (character) => originals.get(character)!),
    changed,
    unused,
  };
}

/** Where special-token strings begin in a text, and where beginnings of them run to its end; in rising order. */
function specialFinder(specials: string[]): (text: string, beginningsToo?: boolean) => number[] {
  // Zero-width, so that overlapping occurrences are all found.
  const whole = new RegExp(`(?=${specials.map(escapeRegExp).join('|')})`, 'gu');
  const beginnings = new Set<string>();
  for (const special of specials) {
    for (let length = 1; length < special.length; length++) beginnings.add(special.slice(0, length));
  }
  const longest = Math.max(...specials.map((special) => special.length)) - 1;
  return (text, beginningsToo = true) => {
    const found = [...text.matchAll(whole)].map((match) => match.index);
    if (!beginningsToo) return found;
    for (let length = Math.min(longest, text.length); length >= 1; length--) {
      if (beginnings.has(text.slice(-length)) && !found.includes(text.length - length))
        found.push(text.length - length);
    }
    return found.sort((a, b) => a - b);
  };
}

/** Private-use characters that none of the strings has, one after the other. */
function unusedCharacters(strings: string[]): () => string {
  let used: Set<string> | undefined;
  let next = 0xe000;
  return () => {
    used ??= new Set(strings.flatMap((text) => text.match(/[\uE000-\uF8FF]/g) ?? []));
    while (next <= 0xf8ff && used.has(String.fromCharCode(next))) next++;
    if (next > 0xf8ff) {
      throw new ColophonError(
        'The messages use every private-use character of Unicode (U+E000 to U+F8FF); leave one out.',
        {
          param: 'messages',
        },
      );
    }
    return String.fromCharCode(next++);
  };
}

function collectStrings(value: unknown, into: string[]): void {
  if (typeof value === 'string') into.push(value);
  else if (Array.isArray(value)) for (const item of value) collectStrings(item, into);
  else if (value !== null && typeof value === 'object') {
    for (const [key, item] of Object.entries(value)) {
      into.push(key);
      collectStrings(item, into);
    }
  }
}

function mapStrings<Value>(
  value: Value,
  map: (text: string) => string,
  mapKey: (key: string) => string,
): Value {
  if (typeof value === 'string') return map(value) as Value;
  if (Array.isArray(value)) return value.map((item: unknown) => mapStrings(item, map, mapKey)) as Value;
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).map(([key, item]) => [
      mapKey(key),
      mapStrings(item as unknown, map, mapKey),
    ]);
    return Object.fromEntries(entries) as Value;
  }
  return value;
}
