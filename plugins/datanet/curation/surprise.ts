/** Rows that the base model finds far harder (garbage) or far easier (boilerplate) than most. */
import type { Content } from '../model.ts';
import { Growing } from './growing.ts';
import type { CurationSettings } from './settings.ts';
import type { Comparison, Finding, Findings } from './stage.ts';

/** Mean loss per token of each content under the base model, nats; NaN: it has no token that follows another. */
export type Loss = (contents: Content[]) => Promise<number[]>;

const findingsAtOnce = 1000;

export function surprise(loss: Loss, settings: CurationSettings['surprise']): Comparison {
  const seqs = new Growing(Float64Array);
  const losses = new Growing(Float64Array);
  return {
    name: 'surprise',
    async see(items) {
      const values = await loss(items.map(({ content }) => content));
      for (const [i, { seq }] of items.entries()) {
        if (!Number.isFinite(values[i])) continue;
        seqs.push(seq);
        losses.push(values[i]!);
      }
    },
    *end(): Generator<Findings> {
      const { median, spread } = robust(losses);
      for (let begin = 0; begin < seqs.length; begin += findingsAtOnce) {
        const findings: Finding[] = [];
        const measured: number[] = [];
        for (let i = begin; i < Math.min(seqs.length, begin + findingsAtOnce); i++) {
          const value = losses.at(i);
          measured.push(value);
          const score = spread === 0 ? 0 : (value - median) / spread;
          if (Math.abs(score) < settings.deviations) continue;
          const which =
            score > 0
              ? 'harder to foresee than most, as garbage is'
              : 'easier to foresee than most, as boilerplate is';
          findings.push({
            seq: seqs.at(i),
            action: settings.action,
            reason: `The row is far ${which}: its loss per token is ${value.toFixed(2)} (median ${median.toFixed(2)}, robust z-score ${score.toFixed(1)}).`,
          });
        }
        yield { findings, measures: { loss: measured } };
      }
    },
  };
}

/** Median, and the median absolute deviation as a standard deviation of a normal distribution (MAD / 0.6745). */
function robust(values: Growing<Float64Array>): { median: number; spread: number } {
  const sorted = Float64Array.from({ length: values.length }, (_, i) => values.at(i)).sort();
  const median = middle(sorted);
  return { median, spread: middle(sorted.map((value) => Math.abs(value - median)).sort()) / 0.6745 };
}

function middle(sorted: Float64Array): number {
  if (sorted.length === 0) return 0;
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
