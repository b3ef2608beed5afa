/** RFC 6962, 2.1, word for word: slow, and easy to read beside it. Entries are bytes. */
import { createHash } from 'node:crypto';
import type { TileSource } from '../tree.ts';

const sha256 = (...parts: Uint8Array[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** The largest power of two smaller than n. */
const k = (n: number) => 2 ** Math.floor(Math.log2(n - 1));

/** MTH(D[n]). */
export function plainRoot(d: readonly Uint8Array[]): Buffer {
  if (d.length === 0) return sha256();
  if (d.length === 1) return sha256(Buffer.of(0), d[0]!);
  const half = k(d.length);
  return sha256(Buffer.of(1), plainRoot(d.slice(0, half)), plainRoot(d.slice(half)));
}

/** PATH(m, D[n]). */
export function plainPath(m: number, d: readonly Uint8Array[]): Buffer[] {
  if (d.length === 1) return [];
  const half = k(d.length);
  return m < half
    ? [...plainPath(m, d.slice(0, half)), plainRoot(d.slice(half))]
    : [...plainPath(m - half, d.slice(half)), plainRoot(d.slice(0, half))];
}

/** PROOF(m, D[n]). */
export const plainProof = (m: number, d: readonly Uint8Array[]): Buffer[] => subproof(m, d, true);

function subproof(m: number, d: readonly Uint8Array[], known: boolean): Buffer[] {
  if (m === d.length) return known ? [] : [plainRoot(d)];
  const half = k(d.length);
  return m <= half
    ? [...subproof(m, d.slice(0, half), known), plainRoot(d.slice(half))]
    : [...subproof(m - half, d.slice(half), false), plainRoot(d.slice(0, half))];
}

/** Tiles as c2sp.org/tlog-tiles defines them. */
export class PlainTiles implements TileSource {
  readonly #d: readonly Uint8Array[];
  readonly fanout: number;

  constructor(d: readonly Uint8Array[], fanout = 256) {
    this.#d = d;
    this.fanout = fanout;
  }

  tile(level: number, number: number, width: number): Buffer {
    const span = this.fanout ** level;
    if (number * this.fanout + width > Math.floor(this.#d.length / span) || width < 1)
      throw new Error(`There is no tile ${level} ${number} of ${width}.`);
    return Buffer.concat(
      Array.from({ length: width }, (_, i) => {
        const at = number * this.fanout + i;
        return plainRoot(this.#d.slice(at * span, (at + 1) * span));
      }),
    );
  }
}
