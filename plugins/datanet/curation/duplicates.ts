/** Rows that are the same, or nearly: MinHash in bands finds candidates, their sets of shingles decide. */
import { Clusters } from './clusters.ts';
import type { Fingerprints } from './fingerprints.ts';
import { Growing } from './growing.ts';
import { bandsFor } from './minhash.ts';
import { sketchJaccard } from './shingles.ts';
import { Sketches } from './sketches.ts';
import type { Finding, Findings } from './stage.ts';

/** 160 MB: beside it a million rows have 100 MB of bands. */
const sketchBudget = 40_000_000;

/** Of rows with the same band, how many of those before are compared with each: more are mostly of one cluster already. */
const comparedAtMost = 256;

const findingsAtOnce = 1000;

/** Clusters are connected components of "similarity >= threshold", so the order of rows only decides which one stands for all: the first. */
export class DuplicateSearch {
  readonly #threshold: number;
  readonly #sketches: Sketches;
  /** By row: its seq, 64 bits of its content's hash, and the hash of each band. */
  readonly #seqs = new Growing(Float64Array);
  readonly #exact = [new Growing(Uint32Array), new Growing(Uint32Array)] as const;
  readonly #byBand: Array<Growing<Uint32Array>>;

  constructor(
    { threshold, permutations }: { threshold: number; permutations: number },
    budget = sketchBudget,
  ) {
    this.#threshold = threshold;
    this.#sketches = new Sketches(budget);
    const { bands } = bandsFor(threshold, permutations);
    this.#byBand = Array.from({ length: bands }, () => new Growing(Uint32Array));
  }

  /** Takes the rows of a chunk in, those for which `takes` has a 1. Chunks come in the order of their rows. */
  add({ seqs, exact, bands, sketches, ends }: Fingerprints, takes: Uint8Array): void {
    for (let row = 0; row < seqs.length; row++) {
      if (takes[row] !== 1) continue;
      this.#seqs.push(seqs[row]!);
      this.#exact[0].push(exact[2 * row]!);
      this.#exact[1].push(exact[2 * row + 1]!);
      this.#sketches.push(sketches.subarray(row === 0 ? 0 : ends[row - 1]!, ends[row]!));
      const count = this.#byBand.length;
      for (let band = 0; band < count; band++) this.#byBand[band]!.push(bands[count * row + band]!);
    }
  }

  /** Each row that is linked to another. `without`: seqs of rows that were set aside since they were taken in. */
  *end(without: ReadonlySet<number> = new Set()): Generator<Findings> {
    const clusters = this.#cluster((row) => without.has(this.#seqs.at(row)));
    const sizes = new Map<number, number>();
    let findings: Finding[] = [];
    let exact = 0;
    for (let row = 0; row < this.#seqs.length; row++) {
      const root = clusters.root(row);
      if (root === row) continue;
      sizes.set(root, (sizes.get(root) ?? 1) + 1);
      const same = this.#same(row, root);
      if (same) exact++;
      findings.push(this.#finding(row, root, same));
      if (findings.length < findingsAtOnce) continue;
      yield { findings, counts: { exact, near: findings.length - exact } };
      findings = [];
      exact = 0;
    }
    yield {
      findings,
      counts: { exact, near: findings.length - exact, clusters: sizes.size },
      measures: { clusterSize: [...sizes.values()] },
    };
  }

  #finding(row: number, root: number, same: boolean): Finding {
    const canonical = this.#seqs.at(root);
    const similarity = this.#similarity(row, root);
    const reason = same
      ? `It is the same as example ${canonical}.`
      : similarity >= this.#threshold
        ? `It is nearly the same as example ${canonical}: their similarity is ${similarity.toFixed(2)}.`
        : `It is nearly the same as an example that is nearly the same as example ${canonical}, to which its own similarity is ${similarity.toFixed(2)}.`;
    return { seq: this.#seqs.at(row), action: 'duplicate', reason, canonical };
  }

  #cluster(isOut: (row: number) => boolean): Clusters {
    const clusters = new Clusters(this.#seqs.length);
    const groups = function* (hashes: Growing<Uint32Array>) {
      for (const group of groupsOf(hashes))
        yield group.some(isOut) ? group.filter((row) => !isOut(row)) : group;
    };
    for (const group of groups(this.#exact[0])) {
      for (let i = 1; i < group.length; i++) {
        for (let j = i - 1; j >= Math.max(0, i - comparedAtMost); j--) {
          if (!this.#same(group[i]!, group[j]!)) continue;
          clusters.join(group[i]!, group[j]!);
          break;
        }
      }
    }
    for (const hashes of this.#byBand) {
      for (const group of groups(hashes)) this.#joinSimilar(group, clusters);
    }
    return clusters;
  }

  #joinSimilar(group: Uint32Array, clusters: Clusters): void {
    for (let i = 1; i < group.length; i++) {
      const row = group[i]!;
      for (let j = i - 1; j >= Math.max(0, i - comparedAtMost); j--) {
        const other = group[j]!;
        if (clusters.root(row) === clusters.root(other)) continue;
        if (this.#similarity(row, other) >= this.#threshold) clusters.join(row, other);
      }
    }
  }

  #same(a: number, b: number): boolean {
    return this.#exact.every((half) => half.at(a) === half.at(b));
  }

  /** 0 where one of them has no words: such rows are only compared as a whole. */
  #similarity(a: number, b: number): number {
    const [left, right] = [this.#sketches.at(a), this.#sketches.at(b)];
    if (left.length === 0 || right.length === 0) return 0;
    return sketchJaccard(left, right, this.#sketches.size);
  }
}

/** Rows that have the same hash, each group ascending, only those of two or more. Radix sort: in time and memory of its columns. */
function* groupsOf(hashes: Growing<Uint32Array>): Generator<Uint32Array> {
  const count = hashes.length;
  let rows = Uint32Array.from({ length: count }, (_, row) => row);
  let sorted = new Uint32Array(count);
  const bits = 16;
  const ends = new Uint32Array(2 ** bits + 1);
  for (let shift = 0; shift < 32; shift += bits) {
    const digit = (row: number) => (hashes.at(row) >>> shift) & (2 ** bits - 1);
    ends.fill(0);
    for (let i = 0; i < count; i++) ends[digit(i) + 1]!++;
    for (let i = 1; i < ends.length; i++) ends[i]! += ends[i - 1]!;
    for (let i = 0; i < count; i++) sorted[ends[digit(rows[i]!)]!++] = rows[i]!;
    [rows, sorted] = [sorted, rows];
  }
  for (let begin = 0, end = 1; begin < count; begin = end++) {
    while (end < count && hashes.at(rows[end]!) === hashes.at(rows[begin]!)) end++;
    if (end - begin > 1) yield rows.subarray(begin, end);
  }
}
