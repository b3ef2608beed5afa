/** MinHash (Broder 1997) in bands (locality-sensitive hashing, Indyk and Motwani 1998): candidates without comparing all pairs. */
import { mix } from './words.ts';

export interface Bands {
  bands: number;
  rows: number;
}

/** Pairs at the threshold that may be missed. */
const missed = 0.02;

/**
 * Cuts at most `permutations` rows into bands: the longest bands (fewest false candidates) by which a pair at the threshold
 * is missed in at most 2 of 100 cases; (1 - threshold ^ rows) ^ bands are missed.
 */
export function bandsFor(threshold: number, permutations: number): Bands {
  let best: Bands = { bands: permutations, rows: 1 };
  for (let rows = 2; rows <= permutations; rows++) {
    const bands = Math.floor(permutations / rows);
    if ((1 - threshold ** rows) ** bands <= missed) best = { bands, rows };
  }
  return best;
}

export class MinHash {
  readonly permutations: number;
  readonly #xor: Uint32Array;
  readonly #times: Uint32Array;

  /** The same permutations every time: a set has one signature. */
  constructor(permutations: number) {
    this.permutations = permutations;
    this.#xor = Uint32Array.from({ length: permutations }, (_, i) => mix(2 * i + 1));
    this.#times = Uint32Array.from({ length: permutations }, (_, i) => mix(2 * i + 2) | 1);
  }

  /** The least hash of a non-empty set under each permutation, into `signature`. */
  sign(set: Uint32Array, signature: Uint32Array): void {
    for (let p = 0; p < this.permutations; p++) {
      const xor = this.#xor[p]!;
      const times = this.#times[p]!;
      // Signed: an order like any other, and whole numbers of 31 bits are twice as fast.
      let least = 0x7fffffff;
      for (let i = 0; i < set.length; i++) {
        const hash = Math.imul(set[i]! ^ xor, times);
        if (hash < least) least = hash;
      }
      signature[p] = least;
    }
  }
}

/** One hash for each band of a signature, into `hashes`. */
export function bandHashes(signature: Uint32Array, { bands, rows }: Bands, hashes: Uint32Array): void {
  for (let band = 0; band < bands; band++) {
    let hash = band;
    for (let row = 0; row < rows; row++) hash = mix(hash ^ signature[band * rows + row]!) + row;
    hashes[band] = hash;
  }
}
