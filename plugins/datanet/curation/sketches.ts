/** Sketches of many sets, within a budget: where they do not fit, all become shorter. */
import { Growing } from './growing.ts';

const chunkLength = 2 ** 18;

/** Longest sketch: most rows of conversations have fewer shingles, so that theirs is the whole set. */
export const longestSketch = 256;

/** Shortest that still tells 0.7 from 0.5. */
const shortest = 64;

export class Sketches {
  readonly #budget: number;
  #size = longestSketch;
  #used = 0;
  #chunks: Uint32Array[] = [];
  #filled = chunkLength;
  /** Where each begins: chunk * chunkLength + offset; none lies across two. */
  #starts = new Growing(Float64Array);
  #lengths = new Growing(Uint32Array);

  /** `budget`: hashes (of four bytes) that are kept, unless sketches of the shortest size need more. */
  constructor(budget: number) {
    this.#budget = budget;
  }

  /** Hashes that a sketch has at most; one that has fewer is the whole set. */
  get size(): number {
    return this.#size;
  }

  /** The sketch of an ascending set; it is number `count - 1` then. */
  push(set: Uint32Array): void {
    this.#append(set.subarray(0, this.#size));
    while (this.#used > this.#budget && this.#size > shortest) this.#halve();
  }

  at(index: number): Uint32Array {
    const start = this.#starts.at(index);
    const offset = start % chunkLength;
    return this.#chunks[(start - offset) / chunkLength]!.subarray(offset, offset + this.#lengths.at(index));
  }

  #append(sketch: Uint32Array): void {
    // An empty one too begins within a chunk.
    if (this.#filled + sketch.length >= chunkLength) {
      this.#chunks.push(new Uint32Array(chunkLength));
      this.#filled = 0;
    }
    this.#chunks.at(-1)!.set(sketch, this.#filled);
    this.#starts.push((this.#chunks.length - 1) * chunkLength + this.#filled);
    this.#lengths.push(sketch.length);
    this.#filled += sketch.length;
    this.#used += sketch.length;
  }

  /** The first half of a sketch is the sketch of half the size. */
  #halve(): void {
    const [chunks, starts, lengths] = [this.#chunks, this.#starts, this.#lengths];
    this.#size /= 2;
    this.#used = 0;
    this.#chunks = [];
    this.#filled = chunkLength;
    this.#starts = new Growing(Float64Array);
    this.#lengths = new Growing(Uint32Array);
    for (let index = 0; index < lengths.length; index++) {
      const start = starts.at(index);
      const [chunk, offset] = [Math.floor(start / chunkLength), start % chunkLength];
      // What is behind is not needed any more: both arenas together are never much more than one.
      if (chunk > 0) chunks[chunk - 1] = new Uint32Array(0);
      const length = Math.min(lengths.at(index), this.#size);
      this.#append(chunks[chunk]!.subarray(offset, offset + length));
    }
  }
}
