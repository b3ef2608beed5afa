/** Which queries lose their best examples together, and what they lose. */
import { counterfactual } from '../../plugins/attribution/fidelity/counterfactual.ts';
import type { Estimate } from '../../plugins/attribution/fidelity/estimate.ts';
import { say } from '../lib/main.ts';
import type { FidelityData } from './data.ts';
import { type Setting, trained } from './retrains.ts';

/** Examples left out for each query. */
const each = 5;

/** By method. In each of so many rounds the best examples of one query of every class are left out together, as these share few. */
export async function lostWithout(
  setting: Setting,
  data: FidelityData,
  scores: Readonly<Record<string, number[][]>>,
  rounds: number,
): Promise<Record<string, Estimate>> {
  const found = await counterfactual({
    count: data.train.examples.length,
    each,
    asked: Array.from({ length: rounds }, (_, round) => queriesOf(data, round / rounds)),
    scores,
    retrained: (tasks) => trained(setting, data, tasks),
  });
  for (const [method, { value, low, high }] of Object.entries(found))
    say(
      `Without the best ${each} by ${method} a query loses ${value.toFixed(3)} nats a token more (${low.toFixed(3)} to ${high.toFixed(3)}).`,
    );
  return found;
}

/** One of each class, so far into it. */
function queriesOf({ queries }: FidelityData, share: number): number[] {
  return [...new Set(queries.classes)].map((chosen) => {
    const own = queries.examples.map((_, i) => i).filter((i) => queries.classes[i] === chosen);
    return own[Math.floor(share * own.length)]!;
  });
}
