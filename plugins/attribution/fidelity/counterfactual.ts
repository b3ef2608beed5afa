/** What an answer loses without the examples that are said to have taught it, against as many others. */
import { type Estimate, meanEstimate } from './estimate.ts';
import { sample } from './random.ts';
import type { Retrained } from './retrains.ts';
import { descending, mean } from './statistics.ts';
import type { Retrain } from './subsets.ts';

export interface Removals {
  /** Training examples. */
  count: number;
  /** Examples left out for each query. */
  each: number;
  /** The queries of each round, as many in each: the best examples of them are left out together. */
  asked: readonly (readonly number[])[];
  /** By method, [queries][examples]. */
  scores: Readonly<Record<string, number[][]>>;
  retrained(tasks: Retrain[]): Promise<Retrained[]>;
}

/** By method, the mean over the queries of how much more its loss is than without as many examples by chance, nats a token. */
export async function counterfactual(of: Removals): Promise<Record<string, Estimate>> {
  const { count, each, asked, scores } = of;
  const without = (id: string, gone: number[]): Retrain => {
    const left = new Set(gone);
    return { id, examples: Array.from({ length: count }, (_, i) => i).filter((i) => !left.has(i)) };
  };
  const size = asked[0]!.length * each;
  const byChance = await of.retrained(
    asked.map((_, round) => without(`without-random-${round}`, sample(count, size, 2000 + round))),
  );
  const expected = (query: number) => mean(byChance.map(({ losses }) => losses[query]!));
  const found: Record<string, Estimate> = {};
  for (const [method, rows] of Object.entries(scores)) {
    const best = (query: number) => descending(rows[query]!).slice(0, each);
    const done = await of.retrained(
      asked.map((queries, round) => without(`without-${method}-${round}`, queries.flatMap(best))),
    );
    found[method] = meanEstimate(
      asked.flatMap((queries, round) =>
        queries.map((query) => done[round]!.losses[query]! - expected(query)),
      ),
    );
  }
  return found;
}
