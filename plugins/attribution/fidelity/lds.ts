/**
 * Linear datamodelling score (Park et al., "TRAK", arXiv 2303.14186): how well sums of scores foretell what models say that
 * were trained on parts of the data.
 */
import { bootstrap, type Estimate } from './estimate.ts';
import { mean, spearman } from './statistics.ts';

/** Trainings on parts of the data. */
export interface Retrains {
  /** Of each, the positions of its examples. */
  subsets: readonly (readonly number[])[];
  /** Of each, every query's loss. */
  losses: readonly ArrayLike<number>[];
}

/** Of each query a score for each example: higher where the example lowers the query's loss. */
export type Scores = readonly ArrayLike<number>[];

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

/** Retrains and queries were both drawn by chance, and are drawn anew. */
function estimate(
  { subsets, losses }: Retrains,
  methods: Float64Array[][],
  of: (means: number[]) => number,
): Estimate {
  const queries = methods[0]!.map((_, query) => query);
  const gained = queries.map((query) => Float64Array.from(losses, (all) => -all[query]!));
  const means = (retrains: number[], chosen: number[]) =>
    methods.map((foretold) =>
      mean(
        chosen.map((query) =>
          spearman(
            retrains.map((i) => foretold[query]![i]!),
            retrains.map((i) => gained[query]![i]!),
          ),
        ),
      ),
    );
  const all = subsets.map((_, i) => i);
  const some = (of: number[], draw: (limit: number) => number) => of.map(() => draw(of.length));
  return bootstrap(of(means(all, queries)), (draw) => of(means(some(all, draw), some(queries, draw))));
}
