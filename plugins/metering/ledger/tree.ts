/** Roots and proofs of a log from its tiles (RFC 6962, section 2.1). Each reads a few tiles a level and keeps none. */
import { emptyRoot, nodeHash, splitAt } from '../../datanet/snapshots/merkle.ts';
import { hashOf } from './tiles.ts';

/** Where tiles are. */
export interface TileSource {
  /** Hashes of a full tile; each hash of a level is the root of a full tile of the level below. */
  readonly fanout: number;
  /** `width` hashes of a tile; more may come. Throws an Error with a sentence where they are not there. */
  tile(level: number, number: number, width: number): Buffer;
}

/** The tree of the first `size` entries. */
export class Tree {
  readonly #source: TileSource;
  readonly #tiles = new Map<string, Buffer>();
  readonly size: number;

  constructor(source: TileSource, size: number) {
    this.#source = source;
    this.size = size;
  }

  root(): Buffer {
    return this.size === 0 ? emptyRoot() : this.#range(0, this.size);
  }

  /** From the entry's sibling upwards: PATH of RFC 6962, 2.1.1. */
  inclusion(index: number): Buffer[] {
    if (!Number.isSafeInteger(index) || index < 0 || index >= this.size)
      throw new RangeError(`The log has ${this.size} entries; there is none at ${index}.`);
    const path: Buffer[] = [];
    let from = 0;
    let to = this.size;
    while (to - from > 1) {
      const middle = from + splitAt(to - from);
      const left = index < middle;
      path.push(left ? this.#range(middle, to) : this.#range(from, middle));
      if (left) to = middle;
      else from = middle;
    }
    return path.reverse();
  }

  /** That the log of `first` entries is how this one began: PROOF of RFC 6962, 2.1.2. None of nothing. */
  consistency(first: number): Buffer[] {
    if (!Number.isSafeInteger(first) || first < 0 || first > this.size)
      throw new RangeError(`The log has ${this.size} entries; it did not begin with ${first}.`);
    if (first === 0) return [];
    const path: Buffer[] = [];
    let from = 0;
    let to = this.size;
    // Whether what remains is the first tree itself, whose root the verifier has.
    let known = true;
    while (first < to) {
      const middle = from + splitAt(to - from);
      if (first <= middle) {
        path.push(this.#range(middle, to));
        to = middle;
      } else {
        path.push(this.#range(from, middle));
        from = middle;
        known = false;
      }
    }
    if (!known) path.push(this.#range(from, to));
    return path.reverse();
  }

  /** The root of a beginning of the log. */
  rootAt(size: number): Buffer {
    return new Tree(this.#source, size).root();
  }

  /** MTH(D[from:to]); only such ranges come as proofs have, whose full subtrees begin at a multiple of their size. */
  #range(from: number, to: number): Buffer {
    const size = to - from;
    let level = 0;
    for (let span = 1; span <= size; span *= this.#source.fanout, level++)
      if (span === size) return this.#hash(level, from / span);
    const middle = from + splitAt(size);
    return nodeHash(this.#range(from, middle), this.#range(middle, to));
  }

  #hash(level: number, index: number): Buffer {
    const { fanout } = this.#source;
    const number = Math.floor(index / fanout);
    const key = `${level} ${number}`;
    let tile = this.#tiles.get(key);
    if (!tile) {
      const hashes = Math.floor(this.size / fanout ** level);
      tile = this.#source.tile(level, number, Math.min(fanout, hashes - number * fanout));
      this.#tiles.set(key, tile);
    }
    return hashOf(tile, index % fanout);
  }
}
