/** What a search for duplicates has to know of rows. Threads make them, a chunk of rows at a time; one search takes them all. */
import { bandHashes, bandsFor, MinHash } from './minhash.ts';
import { shinglesOf } from './shingles.ts';
import { longestSketch } from './sketches.ts';
import { mix } from './words.ts';

export interface Fingerprints {
  seqs: Float64Array;
  /** Two words a row: 64 bits of its content's SHA-256. */
  exact: Uint32Array;
  /** A word for each band of a row's MinHash signature. */
  bands: Uint32Array;
  /** Rows' sketches one after another, and where each ends. */
  sketches: Uint32Array;
  ends: Uint32Array;
}

export interface FingerprintSettings {
  threshold: number;
  permutations: number;
}

export class Fingerprinter {
  readonly #bands;
  readonly #minHash: MinHash;
  readonly #signature: Uint32Array;

  constructor({ threshold, permutations }: FingerprintSettings) {
    this.#bands = bandsFor(threshold, permutations);
    this.#minHash = new MinHash(this.#bands.bands * this.#bands.rows);
    this.#signature = new Uint32Array(this.#minHash.permutations);
  }

  /** `digest`: SHA-256 of the content; `text`: what of it is compared. */
  of(rows: Array<{ seq: number; digest: Uint8Array; text: string }>): Fingerprints {
    const { bands } = this.#bands;
    const prints = {
      seqs: Float64Array.from(rows, ({ seq }) => seq),
      exact: new Uint32Array(2 * rows.length),
      bands: new Uint32Array(bands * rows.length),
    };
    const ends = new Uint32Array(rows.length);
    const sketches: Uint32Array[] = [];
    let end = 0;
    for (const [row, { digest, text }] of rows.entries()) {
      const words = new DataView(digest.buffer, digest.byteOffset);
      prints.exact[2 * row] = words.getUint32(0, true);
      prints.exact[2 * row + 1] = words.getUint32(4, true);
      const shingles = shinglesOf(text);
      const hashes = prints.bands.subarray(bands * row, bands * (row + 1));
      if (shingles.length > 0) {
        this.#minHash.sign(shingles, this.#signature);
        bandHashes(this.#signature, this.#bands, hashes);
      } else {
        // Rows without words are no candidates of one another: only whole contents tell them apart.
        for (let band = 0; band < bands; band++) hashes[band] = mix(prints.exact[2 * row]! + band);
      }
      const sketch = shingles.subarray(0, longestSketch);
      sketches.push(sketch);
      end += sketch.length;
      ends[row] = end;
    }
    const all = new Uint32Array(end);
    for (const [row, sketch] of sketches.entries()) all.set(sketch, ends[row]! - sketch.length);
    return { ...prints, sketches: all, ends };
  }
}
