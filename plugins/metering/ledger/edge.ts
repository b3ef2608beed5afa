/** The right edge of a growing tree: roots of its largest full subtrees, from the left, one for each bit set in its size. */
import { emptyRoot, hashBytes, nodeHash } from '../../datanet/snapshots/merkle.ts';

/** Roots of subtrees of 16, 256, 4096... entries are kept: a proof hashes 16 at each such level, and reads as many rows. */
export const nodeFanout = 16;

export class Edge {
  readonly #subtrees: Buffer[];
  #size: number;

  /** `bytes`: as bytes() gave them of that size. Throws where they are of another. */
  constructor(size = 0, bytes: Uint8Array = Buffer.alloc(0)) {
    this.#size = size;
    this.#subtrees = Array.from({ length: bytes.length / hashBytes }, (_, at) =>
      Buffer.from(bytes.subarray(at * hashBytes, (at + 1) * hashBytes)),
    );
    let set = 0;
    for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) set += rest % 2;
    if (bytes.length !== set * hashBytes)
      throw new Error(
        `A tree of ${size} entries has ${set} hashes on its edge, and there are ${bytes.length} bytes of them.`,
      );
  }

  get size(): number {
    return this.#size;
  }

  /** Takes the next leaf's hash; gives each subtree of 16, 256... leaves that is full by it. */
  add(leaf: Buffer, onFull: (level: number, index: number, hash: Buffer) => void): void {
    let hash = leaf;
    this.#size++;
    let span = 1;
    for (let count = this.#size; count % 2 === 0; count /= 2) {
      hash = nodeHash(this.#subtrees.pop()!, hash);
      span *= 2;
      const level = Math.log2(span) / Math.log2(nodeFanout);
      if (Number.isInteger(level)) onFull(level, this.#size / span - 1, hash);
    }
    this.#subtrees.push(hash);
  }

  root(): Buffer {
    if (this.#size === 0) return emptyRoot();
    return this.#subtrees.reduceRight((right, left) => nodeHash(left, right));
  }

  bytes(): Buffer {
    return Buffer.concat(this.#subtrees);
  }
}
