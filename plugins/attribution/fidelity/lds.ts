/**
 * Linear datamodelling score (Park et al., "TRAK", arXiv 2303.14186): how well sums of scores foretell what models say that
 * were trained on parts of the data.
 */
import { bootstrap, type Drawn } from './estimate.ts';
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
export function lds(scores: Scores, { subsets, losses }: Retrains): Drawn {
  const foretold = scores.map((own) =>
    subsets.map((examples) => examples.reduce((sum, example) => sum + own[example]!, 0)),
  );
  const gained = scores.map((_, query) => losses.map((all) => -all[query]!));
  const over = (retrains: number[], queries: number[]) =>
    mean(
      queries.map((query) =>
        spearman(
          retrains.map((i) => foretold[query]![i]!),
          retrains.map((i) => gained[query]![i]!),
        ),
      ),
    );
  // Retrains and queries were both drawn by chance, and are drawn anew.
  const drawn = (count: number, draw: (limit: number) => number) =>
    Array.from({ length: count }, () => draw(count));
  return bootstrap(over([...subsets.keys()], [...scores.keys()]), (draw) =>
    over(drawn(subsets.length, draw), drawn(scores.length, draw)),
  );
}
