/** Which examples are trained on and which are held out: the same for the same examples and settings, whatever their order. */
import { createHash } from 'node:crypto';
import type { Split, SplitShares } from '../model.ts';
import { hashBytes } from './merkle.ts';

export const splits: readonly Split[] = ['train', 'validation', 'test'];

/** Ties examples together: those with one key (0 and above; -1: none) are never in two splits. One entry a row. */
export interface Tie {
  /** Which leaf the row is. */
  leaf: Uint32Array;
  key: Int32Array;
}

/**
 * Index into `splits` of each leaf. `hashes`: the leaves' hashes (count × 32), ascending. What is tied, directly or over others,
 * is one component; components go, the largest first and equal ones in the order of a hash keyed by `seed`, each to the split
 * that lacks most of its share. So the shares are met but for the size of the components.
 */
export function assignSplits(
  hashes: Uint8Array,
  ties: Tie[],
  { seed, shares }: { seed: number; shares: SplitShares },
): Uint8Array {
  const count = hashes.length / hashBytes;
  const component = componentsOf(count, ties);
  const sizes = new Uint32Array(count);
  for (const root of component) sizes[root]!++;
  const roots = new Uint32Array(count).map((_, at) => at).filter((at) => sizes[at]! > 0);
  const keys = new Float64Array(count);
  for (const root of roots)
    keys[root] = keyOf(seed, hashes.subarray(root * hashBytes, (root + 1) * hashBytes));
  roots.sort((a, b) => sizes[b]! - sizes[a]! || keys[a]! - keys[b]! || a - b);

  const lacking = splits.map((split) => shares[split] * count);
  const candidates = splits.map((_, at) => at).filter((at) => shares[splits[at]!] > 0);
  const chosen = new Uint8Array(count);
  for (const root of roots) {
    const most = candidates.reduce((best, at) => (lacking[at]! > lacking[best]! ? at : best));
    chosen[root] = most;
    lacking[most]! -= sizes[root]!;
  }
  return chosen.map((_, leaf) => chosen[component[leaf]!]!);
}

/** Union-find; each leaf's component is named by its first leaf. */
function componentsOf(count: number, ties: Tie[]): Uint32Array {
  const parent = new Uint32Array(count).map((_, at) => at);
  const find = (leaf: number): number => {
    let at = leaf;
    while (parent[at] !== at) {
      parent[at] = parent[parent[at]!]!;
      at = parent[at]!;
    }
    return at;
  };
  for (const { leaf, key } of ties) {
    const first = new Map<number, number>();
    for (let row = 0; row < key.length; row++) {
      if (key[row]! < 0) continue;
      const other = first.get(key[row]!);
      if (other === undefined) {
        first.set(key[row]!, leaf[row]!);
        continue;
      }
      const [a, b] = [find(leaf[row]!), find(other)];
      if (a !== b) parent[Math.max(a, b)] = Math.min(a, b);
    }
  }
  for (let at = 0; at < count; at++) parent[at] = find(at);
  return parent;
}

/** 48 bits by which components of one size are ordered. */
const keyOf = (seed: number, hash: Uint8Array) =>
  createHash('sha256').update(`split:${seed}:`).update(hash).digest().readUIntBE(0, 6);
