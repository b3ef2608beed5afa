/** Rows that are the same, or nearly: MinHash in bands finds candidates, their sets of shingles decide. */
import { createHash } from 'node:crypto';
import { Clusters } from './clusters.ts';
import { Growing } from './growing.ts';
import { bandHashes, bandsFor, MinHash } from './minhash.ts';
import { shinglesOf, sketchJaccard } from './shingles.ts';
import { Sketches } from './sketches.ts';
import type { Comparison, Finding, Findings, Item, Stage } from './stage.ts';
import { ownText } from './texts.ts';

export const duplicates: Stage = {
  name: 'duplicates',
  compare: ({ settings }) => new DuplicateSearch(settings.duplicates),
};

/** 160 MB: beside it a million rows have 100 MB of bands. */
const sketchBudget = 40_000_000;

/** Of rows with the same band, how many of those before are compared with each: more are mostly of one cluster already. */
const comparedAtMost = 256;

const findingsAtOnce = 1000;

/** Clusters are connected components of "similarity >= threshold", so the order of rows only decides which one stands for all: the first. */
export class DuplicateSearch implements Comparison {
  readonly #threshold: number;
  readonly #bands;
  readonly #minHash: MinHash;
  readonly #signature: Uint32Array;
  readonly #hashes: Uint32Array;
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
    this.#bands = bandsFor(threshold, permutations);
    this.#minHash = new MinHash(this.#bands.bands * this.#bands.rows);
    this.#signature = new Uint32Array(this.#minHash.permutations);
    this.#hashes = new Uint32Array(this.#bands.bands);
    this.#sketches = new Sketches(budget);
    this.#byBand = Array.from(this.#hashes, () => new Growing(Uint32Array));
  }

  see(items: Item[]): void {
    for (const { example, content } of items) {
      const digest = createHash('sha256').update(JSON.stringify(content)).digest();
      this.#seqs.push(example.seq);
      this.#exact[0].push(digest.readUInt32LE(0));
      this.#exact[1].push(digest.readUInt32LE(4));
      const shingles = shinglesOf(ownText(content));
      this.#sketches.push(shingles);
      if (shingles.length > 0) {
        this.#minHash.sign(shingles, this.#signature);
        bandHashes(this.#signature, this.#bands, this.#hashes);
      }
      for (const [band, hashes] of this.#byBand.entries()) hashes.push(this.#hashes[band]!);
    }
  }

  *end(): Generator<Findings> {
    const clusters = this.#cluster();
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

  #cluster(): Clusters {
    const clusters = new Clusters(this.#seqs.length);
    for (const group of groupsOf(this.#exact[0])) {
      for (let i = 1; i < group.length; i++) {
        for (let j = i - 1; j >= Math.max(0, i - comparedAtMost); j--) {
          if (!this.#same(group[i]!, group[j]!)) continue;
          clusters.join(group[i]!, group[j]!);
          break;
        }
      }
    }
    for (const hashes of this.#byBand) {
      for (const group of groupsOf(hashes)) this.#joinSimilar(group, clusters);
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
