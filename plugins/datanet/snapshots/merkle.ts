/** Merkle trees as RFC 6962 (section 2.1) and RFC 9162 (section 2.1.3 to 2.1.5) define them, over SHA-256. */
import { createHash } from 'node:crypto';

export const hashBytes = 32;

const leafPrefix = Buffer.of(0);
const nodePrefix = Buffer.of(1);

export const leafHash = (leaf: Uint8Array): Buffer =>
  createHash('sha256').update(leafPrefix).update(leaf).digest();

/** Of the tree whose halves have these roots. */
export const nodeHash = (left: Uint8Array, right: Uint8Array): Buffer =>
  createHash('sha256').update(nodePrefix).update(left).update(right).digest();

/** The root of the tree with no leaves. */
export const emptyRoot = () => createHash('sha256').digest();

/** Leaves in order, one after the other; holds one hash a level. */
export class MerkleRoot {
  /** Roots of full subtrees, largest first: one for each bit that is set in `#size`. */
  readonly #subtrees: Buffer[] = [];
  #size = 0;

  add(leaf: Uint8Array): void {
    this.#subtrees.push(leafHash(leaf));
    this.#size++;
    for (let size = this.#size; size % 2 === 0; size /= 2) {
      const right = this.#subtrees.pop()!;
      this.#subtrees.push(nodeHash(this.#subtrees.pop()!, right));
    }
  }

  get size(): number {
    return this.#size;
  }

  /** Of the leaves so far. */
  root(): Buffer {
    return this.#subtrees.length === 0
      ? emptyRoot()
      : this.#subtrees.reduceRight((right, left) => nodeHash(left, right));
  }
}

/**
 * Leaves of one length, one after the other in `leaves` (size × leafBytes). A proof hashes every leaf once, in memory of one
 * hash a level.
 */
export interface Leaves {
  leaves: Uint8Array;
  leafBytes: number;
}

const sizeOf = ({ leaves, leafBytes }: Leaves) => leaves.length / leafBytes;

function rootOf({ leaves, leafBytes }: Leaves, from: number, to: number): Buffer {
  const root = new MerkleRoot();
  for (let at = from; at < to; at++) root.add(leaves.subarray(at * leafBytes, (at + 1) * leafBytes));
  return root.root();
}

export const merkleRoot = (leaves: Leaves): Buffer => rootOf(leaves, 0, sizeOf(leaves));

/** Largest power of two below `size` (at least 2). */
export function splitAt(size: number): number {
  let half = 1;
  while (half * 2 < size) half *= 2;
  return half;
}

/** Hashes that lead from the leaf at `index` to the root, from the leaf upwards: PATH of RFC 6962, 2.1.1. */
export function inclusionProof(tree: Leaves, index: number): Buffer[] {
  const size = sizeOf(tree);
  if (!Number.isInteger(index) || index < 0 || index >= size) {
    throw new RangeError(`The tree has ${size} leaves; there is none at ${index}.`);
  }
  const path: Buffer[] = [];
  let from = 0;
  let to = size;
  while (to - from > 1) {
    const middle = from + splitAt(to - from);
    if (index < middle) {
      path.push(rootOf(tree, middle, to));
      to = middle;
    } else {
      path.push(rootOf(tree, from, middle));
      from = middle;
    }
  }
  return path.reverse();
}

/** Hashes that show the tree of the first `first` leaves to be the beginning of this one: PROOF of RFC 6962, 2.1.2. */
export function consistencyProof(tree: Leaves, first: number): Buffer[] {
  const size = sizeOf(tree);
  if (!Number.isInteger(first) || first < 1 || first > size) {
    throw new RangeError(`The tree has ${size} leaves; it did not begin with ${first}.`);
  }
  const path: Buffer[] = [];
  let from = 0;
  let to = size;
  let rest = first; // Of the leaves from `from`, how many the first tree has.
  let known = true; // Whether the root of what remains is the first tree's own, which the verifier has.
  while (rest < to - from) {
    const half = splitAt(to - from);
    if (rest <= half) {
      path.push(rootOf(tree, from + half, to));
      to = from + half;
    } else {
      path.push(rootOf(tree, from, from + half));
      from += half;
      rest -= half;
      known = false;
    }
  }
  if (!known) path.push(rootOf(tree, from, to));
  return path.reverse();
}

/** Whether `path` leads from the leaf at `index` to the root of a tree of `size` leaves: RFC 9162, 2.1.3.2. */
export function verifyInclusion(
  leaf: Uint8Array,
  index: number,
  size: number,
  path: Uint8Array[],
  root: Uint8Array,
): boolean {
  if (!Number.isSafeInteger(size) || !Number.isSafeInteger(index) || index < 0 || index >= size) return false;
  let node = index;
  let last = size - 1;
  let hash = leafHash(leaf);
  for (const other of path) {
    if (last === 0 || other.length !== hashBytes) return false;
    if (node % 2 === 1 || node === last) {
      hash = nodeHash(other, hash);
      while (node % 2 === 0 && node !== 0) {
        node /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      hash = nodeHash(hash, other);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && hash.equals(root);
}

/** Whether `path` shows that the tree of `size` leaves began as the tree of `first`: RFC 9162, 2.1.4.2. */
export function verifyConsistency(
  first: number,
  firstRoot: Uint8Array,
  size: number,
  root: Uint8Array,
  path: Uint8Array[],
): boolean {
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(size) || first < 1 || first > size) return false;
  if (first === size) return path.length === 0 && Buffer.compare(firstRoot, root) === 0;
  const isPower = splitAt(first + 1) === first;
  const [start, ...rest] = isPower ? [firstRoot, ...path] : path;
  if (start === undefined || path.length === 0 || path.some((one) => one.length !== hashBytes)) return false;
  let node = first - 1;
  let last = size - 1;
  while (node % 2 === 1) {
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  let old: Buffer = Buffer.from(start);
  let now: Buffer = old;
  for (const other of rest) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      old = nodeHash(other, old);
      now = nodeHash(other, now);
      while (node % 2 === 0 && node !== 0) {
        node /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      now = nodeHash(now, other);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && old.equals(firstRoot) && now.equals(root);
}
