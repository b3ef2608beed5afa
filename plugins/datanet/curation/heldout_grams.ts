/** Held-out texts as a table of hashes of their word n-grams, which threads share. */
import type { HeldOutGrams } from './stage.ts';
import { hash32, mix, wordsOf } from './words.ts';

/** What GPT-3's and later reports call contaminated (Brown et al. 2020, appendix C). */
export const gramWords = 13;

/** A whole text that is shorter than a gram counts from here on: fewer words are too common. */
const fewestWords = 5;

export async function heldOutGrams(
  texts: Iterable<string> | AsyncIterable<string>,
): Promise<HeldOutGrams | null> {
  const lengths = new Set<number>();
  const grams = new GramTable();
  for await (const text of texts) {
    const words = wordsOf(text);
    if (words.length < fewestWords) continue;
    const length = Math.min(gramWords, words.length);
    lengths.add(length);
    for (const [high, low] of gramsOf(words, length)) grams.add(high, low);
  }
  if (lengths.size === 0) return null;
  return { lengths: [...lengths].sort((a, b) => a - b), table: grams.table };
}

/** Where the first gram of held-out texts begins, in words from 0, and of how many words it is. */
export function firstHeldOut(
  words: string[],
  { lengths, table }: HeldOutGrams,
): { at: number; length: number } | undefined {
  for (const length of lengths.toReversed()) {
    let at = 0;
    for (const [high, low] of gramsOf(words, length)) {
      const slot = slotOf(table, high, low);
      if (table[slot] !== 0 || table[slot + 1] !== 0) return { at, length };
      at++;
    }
  }
  return undefined;
}

/** 64 bits for each run of `length` words: two polynomials, rolled along. */
function* gramsOf(words: string[], length: number): Generator<[number, number]> {
  if (words.length < length) return;
  const each = words.map((word) => [hash32(word), hash32(word, 1)] as const);
  const bases = [0x9e3779b1, 0x85ebca77] as const;
  const leaves = bases.map((base) => {
    let power = 1;
    for (let i = 0; i < length; i++) power = Math.imul(power, base);
    return power;
  });
  let [high, low] = [0, 0];
  for (let i = 0; i < words.length; i++) {
    high = Math.imul(high, bases[0]) + each[i]![0];
    low = Math.imul(low, bases[1]) + each[i]![1];
    if (i >= length) {
      high -= Math.imul(leaves[0]!, each[i - length]![0]);
      low -= Math.imul(leaves[1]!, each[i - length]![1]);
    }
    high |= 0;
    low |= 0;
    if (i >= length - 1) yield [mix(high ^ length), mix(low ^ length) | 1];
  }
}

/** The gram's slot, or the free one where it would be. */
function slotOf(table: Uint32Array, high: number, low: number): number {
  const mask = table.length - 1;
  let slot = (high * 2) & mask;
  while (
    (table[slot] !== 0 || table[slot + 1] !== 0) &&
    (table[slot] !== high || table[slot + 1] !== low >>> 0)
  ) {
    slot = (slot + 2) & mask;
  }
  return slot;
}

class GramTable {
  table = shared(2 ** 12);
  #count = 0;

  add(high: number, low: number): void {
    const slot = slotOf(this.table, high, low);
    if (this.table[slot + 1] !== 0) return;
    this.table[slot] = high;
    this.table[slot + 1] = low;
    if (++this.#count * 4 > this.table.length) this.#grow();
  }

  #grow(): void {
    const old = this.table;
    this.table = shared(old.length * 2);
    for (let slot = 0; slot < old.length; slot += 2) {
      if (old[slot + 1] === 0) continue;
      const into = slotOf(this.table, old[slot]!, old[slot + 1]!);
      this.table[into] = old[slot]!;
      this.table[into + 1] = old[slot + 1]!;
    }
  }
}

const shared = (length: number) => new Uint32Array(new SharedArrayBuffer(4 * length));
