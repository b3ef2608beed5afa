/** What an answer loses without the examples that are said to have taught it, against as many others. */
import { type Estimate, meanEstimate } from '../../plugins/attribution/fidelity/estimate.ts';
import { descending, mean } from '../../plugins/attribution/fidelity/statistics.ts';
import { say } from '../lib/main.ts';
import type { FidelityData } from './data.ts';
import { type Retrain, sample } from './protocol.ts';
import { retrained, type Setting } from './retrains.ts';

/** Examples left out for each query. */
const each = 5;

/**
 * By method, the mean over the queries of how much more its loss is than without as many examples by chance, nats a token. In each
 * of so many rounds the best examples of one query of every class are left out together, as these share few.
 */
export async function counterfactual(
  setting: Setting,
  data: FidelityData,
  scores: Readonly<Record<string, number[][]>>,
  rounds: number,
): Promise<Record<string, Estimate>> {
  const asked = Array.from({ length: rounds }, (_, round) => queriesOf(data, round / rounds));
  const count = data.train.examples.length;
  const without = (id: string, gone: number[]): Retrain => {
    const left = new Set(gone);
    return { id, examples: data.train.examples.map((_, i) => i).filter((i) => !left.has(i)) };
  };
  const size = asked[0]!.length * each;
  const random = asked.map((_, round) =>
    without(`without-random-${round}`, sample(count, size, 2000 + round)),
  );
  const byChance = await retrained(setting, random);
  const expected = (query: number) => mean(byChance.map(({ losses }) => losses[query]!));
  const found: Record<string, Estimate> = {};
  for (const [method, rows] of Object.entries(scores)) {
    const best = (query: number) => descending(rows[query]!).slice(0, each);
    const removals = asked.map((queries, round) =>
      without(`without-${method}-${round}`, queries.flatMap(best)),
    );
    const done = await retrained(setting, removals);
    const estimate = meanEstimate(
      asked.flatMap((queries, round) =>
        queries.map((query) => done[round]!.losses[query]! - expected(query)),
      ),
    );
    found[method] = estimate;
    const { value, low, high } = estimate;
    say(
      `Without the best ${each} by ${method} a query loses ${value.toFixed(3)} nats a token more (${low.toFixed(3)} to ${high.toFixed(3)}).`,
    );
  }
  return found;
}

/** One of each class, so far into it. */
function queriesOf({ queries }: FidelityData, share: number): number[] {
  return [...new Set(queries.classes)].map((chosen) => {
    const own = queries.examples.map((_, i) => i).filter((i) => queries.classes[i] === chosen);
    return own[Math.floor(share * own.length)]!;
  });
}
