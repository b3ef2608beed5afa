/**
 * Linear datamodelling score (Park et al., "TRAK", arXiv 2303.14186): how well sums of scores foretell what models say that
 * were trained on parts of the data.
 */
import { createHash } from 'node:crypto';
import { mean, spearman } from './statistics.ts';

/** A value with the interval in which it lies with 95%. */
export interface Estimate {
  value: number;
  low: number;
  high: number;
}

/** Trainings on parts of the data. */
export interface Retrains {
  /** Of each, the positions of its examples. */
  subsets: readonly (readonly number[])[];
  /** Of each, every query's loss. */
  losses: readonly ArrayLike<number>[];
}

/** Of each query a score for each example: higher where the example lowers the query's loss. */
export type Scores = readonly ArrayLike<number>[];

const draws = 1000;

/** Mean over the queries of Spearman's correlation, over the retrains, between the sum of their examples' scores and minus the loss. */
export function lds(scores: Scores, retrains: Retrains): Estimate {
  return estimate(retrains, [sums(scores, retrains)], ([own]) => own!);
}

/** How much higher that is for `scores` than for `others`, over the same draws. */
export function ldsOver(scores: Scores, others: Scores, retrains: Retrains): Estimate {
  const both = [sums(scores, retrains), sums(others, retrains)];
  return estimate(retrains, both, ([own, other]) => own! - other!);
}

/** Of each query and retrain, the sum of the examples' scores. */
function sums(scores: Scores, { subsets }: Retrains): Float64Array[] {
  return scores.map((own) =>
    Float64Array.from(subsets, (examples) => examples.reduce((sum, example) => sum + own[example]!, 0)),
  );
}

/** Bootstrap over the retrains and the queries, as both were drawn by chance. The same data give the same interval. */
function estimate(
  { subsets, losses }: Retrains,
  methods: Float64Array[][],
  of: (means: number[]) => number,
): Estimate {
  const queries = methods[0]!.map((_, query) => query);
  const gained = queries.map((query) => Float64Array.from(losses, (all) => -all[query]!));
  const means = (retrains: Uint32Array, which: ArrayLike<number>) =>
    methods.map((foretold) => {
      const byQuery = queries.map((query) =>
        spearman(
          Float64Array.from(retrains, (i) => foretold[query]![i]!),
          Float64Array.from(retrains, (i) => gained[query]![i]!),
        ),
      );
      return mean(Array.from(which, (query) => byQuery[query]!));
    });
  const all = Uint32Array.from(subsets, (_, i) => i);
  const value = of(means(all, queries));
  const draw = chance();
  const found = Float64Array.from({ length: draws }, () =>
    of(
      means(
        all.map(() => draw(all.length)),
        queries.map(() => draw(queries.length)),
      ),
    ),
  ).sort();
  return { value, low: found[Math.floor(draws * 0.025)]!, high: found[Math.ceil(draws * 0.975) - 1]! };
}

/** Whole numbers below a limit, always the same ones: SHA-512 of a counter, 32 bits each. */
function chance(): (limit: number) => number {
  let block = Buffer.alloc(0);
  let counter = 0;
  return (limit) => {
    if (block.length === 0) block = createHash('sha512').update(`lds ${counter++}`).digest();
    const value = block.readUInt32LE(0);
    block = block.subarray(4);
    return Math.floor((value / 2 ** 32) * limit);
  };
}
