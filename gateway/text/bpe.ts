import { LRUCache } from 'lru-cache';

/** The `model` of a tokenizer.json of type BPE, as far as it is read. */
export interface BpeModel {
  vocab: Record<string, number>;
  merges: Array<string | [string, string]>;
  unk_token?: string | null;
  fuse_unk?: boolean;
  byte_fallback?: boolean;
  ignore_merges?: boolean;
}

/** Words longer than this are rare enough not to be worth remembering. */
const longestCachedWord = 64;
const cachedWords = 16_384;
/** Words of this many symbols share one work space. */
const keptScratchSymbols = 1024;

/** GPT-2's reading of bytes as printable characters: the character of each byte. */
export const byteCharacters: readonly string[] = (() => {
  const characters: string[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    characters.push(String.fromCharCode(printable ? byte : next++));
  }
  return characters;
})();

/**
 * Byte-pair merges of one word, in time n log n for a word of n symbols: a request may well be one word of a megabyte.
 * Symbols without a token and without a fallback vanish, and their neighbours become adjacent.
 */
export class Bpe {
  readonly #vocabulary: ReadonlyMap<string, number>;
  readonly #pairs: PairTable;
  readonly #byteLevel: boolean;
  /** Token of each byte, -1 where there is none: by the byte's character, or as <0xNN> for the fallback. */
  readonly #byteIds: Int32Array;
  readonly #byteFallback: boolean;
  readonly #ignoreMerges: boolean;
  readonly #unknownId: number;
  readonly #fuseUnknown: boolean;
  readonly #scratch = makeScratch(keptScratchSymbols);
  readonly #cache = new LRUCache<string, number[]>({ max: cachedWords });

  /** `vocabulary`: what the model's vocab holds. */
  constructor(model: BpeModel, vocabulary: ReadonlyMap<string, number>, byteLevel: boolean) {
    this.#vocabulary = vocabulary;
    this.#byteLevel = byteLevel;
    this.#byteFallback = model.byte_fallback === true;
    this.#ignoreMerges = model.ignore_merges === true;
    this.#unknownId = model.unk_token ? (vocabulary.get(model.unk_token) ?? -1) : -1;
    this.#fuseUnknown = model.fuse_unk === true;
    this.#byteIds = Int32Array.from(byteCharacters, (character, byte) => {
      const name = byteLevel ? character : `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
      return vocabulary.get(name) ?? -1;
    });
    this.#pairs = new PairTable(model.merges.length);
    for (let rank = 0; rank < model.merges.length; rank++) {
      const merge = model.merges[rank]!;
      const space = typeof merge === 'string' ? merge.indexOf(' ') : 0;
      const left = typeof merge === 'string' ? merge.slice(0, space) : merge[0];
      const right = typeof merge === 'string' ? merge.slice(space + 1) : merge[1];
      const leftId = vocabulary.get(left);
      const rightId = vocabulary.get(right);
      const merged = vocabulary.get(left + right);
      if (leftId === undefined || rightId === undefined || merged === undefined) {
        throw new Error(
          `The tokenizer's merge ${rank} (${left} ${right}) names a token that is not in its vocabulary.`,
        );
      }
      this.#pairs.set(leftId, rightId, rank, merged);
    }
  }

  /** Appends the tokens of one word of the pre-tokenizer. */
  encode(word: string, into: number[]): void {
    let ids = this.#cache.get(word);
    if (ids === undefined) {
      ids = this.#encode(word);
      if (word.length <= longestCachedWord) this.#cache.set(word, ids);
    }
    for (const id of ids) into.push(id);
  }

  #encode(word: string): number[] {
    if (this.#ignoreMerges) {
      const whole = this.#vocabulary.get(this.#byteLevel ? asByteCharacters(word) : word);
      if (whole !== undefined) return [whole];
    }
    return this.#merge(this.#byteLevel ? this.#byteSymbols(word) : this.#characterSymbols(word));
  }

  /** The kept work space, or one of its own for a word too long to keep it. */
  #scratchFor(symbols: number): Scratch {
    return symbols <= keptScratchSymbols ? this.#scratch : makeScratch(symbols);
  }

  #byteSymbols(word: string): number[] {
    const symbols: number[] = [];
    for (const byte of Buffer.from(word, 'utf8')) {
      const id = this.#byteIds[byte]!;
      if (id >= 0) symbols.push(id);
    }
    return symbols;
  }

  #characterSymbols(word: string): number[] {
    const symbols: number[] = [];
    let lastWasUnknown = false;
    for (const character of word) {
      const id = this.#vocabulary.get(character);
      if (id !== undefined) {
        symbols.push(id);
        lastWasUnknown = false;
        continue;
      }
      const bytes = this.#byteFallback
        ? [...Buffer.from(character, 'utf8')].map((byte) => this.#byteIds[byte]!)
        : [];
      if (bytes.length > 0 && bytes.every((byteId) => byteId >= 0)) {
        symbols.push(...bytes);
        lastWasUnknown = false;
      } else if (this.#unknownId >= 0) {
        if (!(lastWasUnknown && this.#fuseUnknown)) symbols.push(this.#unknownId);
        lastWasUnknown = true;
      }
    }
    return symbols;
  }

  /**
   * Merges the pair of lowest rank, leftmost first, until none is left. The heap's keys are rank and position in one
   * number; an entry whose pair has changed since is recognised by its rank and dropped.
   */
  #merge(symbols: number[]): number[] {
    const count = symbols.length;
    if (count < 2) return symbols;
    const { next, previous, heap } = this.#scratchFor(count);
    const offer = (position: number) => {
      const right = next[position]!;
      if (right >= count) return;
      const entry = this.#pairs.find(symbols[position]!, symbols[right]!);
      if (entry >= 0) heap.push(this.#pairs.rank(entry) * positionSpan + position);
    };
    for (let position = 0; position < count; position++) {
      next[position] = position + 1;
      previous[position] = position - 1;
    }
    for (let position = 0; position < count - 1; position++) offer(position);
    while (heap.size > 0) {
      const key = heap.pop();
      const position = key % positionSpan;
      const right = next[position]!;
      if (symbols[position]! < 0 || right >= count) continue;
      const entry = this.#pairs.find(symbols[position]!, symbols[right]!);
      if (entry < 0 || this.#pairs.rank(entry) !== (key - position) / positionSpan) continue;
      symbols[position] = this.#pairs.merged(entry);
      symbols[right] = -1;
      const after = next[right]!;
      next[position] = after;
      if (after < count) previous[after] = position;
      if (previous[position]! >= 0) offer(previous[position]!);
      offer(position);
    }
    return symbols.filter((id) => id >= 0);
  }
}

/** Work space of one merge. */
interface Scratch {
  next: Int32Array;
  previous: Int32Array;
  heap: KeyHeap;
}

function makeScratch(symbols: number): Scratch {
  // At most one entry for each first pair, and two for each merge.
  return { next: new Int32Array(symbols), previous: new Int32Array(symbols), heap: new KeyHeap(3 * symbols) };
}

/** More symbols than any word has; with ranks below 2^21 a key stays an exact integer. */
const positionSpan = 2 ** 32;

function asByteCharacters(word: string): string {
  let characters = '';
  for (const byte of Buffer.from(word, 'utf8')) characters += byteCharacters[byte];
  return characters;
}

/** (left, right) -> (rank, merged), by open addressing: a Map with a key for each pair takes several times the memory and time. */
class PairTable {
  readonly #slots: Int32Array;
  readonly #mask: number;

  constructor(entries: number) {
    const size = 2 ** Math.ceil(Math.log2(2 * entries + 2));
    this.#slots = new Int32Array(4 * size).fill(-1);
    this.#mask = size - 1;
  }

  set(left: number, right: number, rank: number, merged: number): void {
    const at = 4 * this.#slot(left, right);
    if (this.#slots[at]! >= 0) return; // the first of two equal merges counts
    this.#slots[at] = left;
    this.#slots[at + 1] = right;
    this.#slots[at + 2] = rank;
    this.#slots[at + 3] = merged;
  }

  /** An entry for rank() and merged(), or -1. */
  find(left: number, right: number): number {
    const at = 4 * this.#slot(left, right);
    return this.#slots[at]! < 0 ? -1 : at;
  }

  rank(entry: number): number {
    return this.#slots[entry + 2]!;
  }

  merged(entry: number): number {
    return this.#slots[entry + 3]!;
  }

  #slot(left: number, right: number): number {
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & this.#mask;
    while (
      this.#slots[4 * slot]! >= 0 &&
      !(this.#slots[4 * slot] === left && this.#slots[4 * slot + 1] === right)
    ) {
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }
}

/** A binary heap of numbers, smallest first, of a known greatest size. */
class KeyHeap {
  readonly #keys: Float64Array;
  size = 0;

  constructor(capacity: number) {
    this.#keys = new Float64Array(capacity);
  }

  push(key: number): void {
    const keys = this.#keys;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[at] = keys[parent]!;
      at = parent;
    }
    keys[at] = key;
  }

  pop(): number {
    const keys = this.#keys;
    const top = keys[0]!;
    const key = keys[--this.size]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && keys[child + 1]! < keys[child]!) child++;
      if (keys[child]! >= key) break;
      keys[at] = keys[child]!;
      at = child;
    }
    keys[at] = key;
    return top;
  }
}
