/** What a curation found, in total: by stage, and what became of the rows. */
import type { Verdict } from '../store/datanet_store.ts';
import { Growing } from './growing.ts';
import type { Findings } from './stage.ts';

/** Each row is one of kept, quarantined, linked and refused. */
export interface CurationTotals {
  rows: number;
  kept: number;
  /** Set aside by a stage. */
  quarantined: number;
  /** Duplicates of another row, which stands for them. */
  linked: number;
  /** Set aside by a curator's word. */
  refused: number;
  /** Of all rows, those whose text a stage changed. */
  masked: number;
}

export interface StageReport extends Record<Verdict['action'], number> {
  /** How often something was seen. */
  counts: Record<string, number>;
  measures: Record<string, Quantiles>;
}

export interface Quantiles {
  count: number;
  mean: number;
  min: number;
  p5: number;
  p50: number;
  p95: number;
  max: number;
}

export class CurationReport {
  readonly totals: CurationTotals = { rows: 0, kept: 0, quarantined: 0, linked: 0, refused: 0, masked: 0 };
  readonly #stages = new Map<string, Omit<StageReport, 'measures'>>();
  readonly #measures = new Map<string, Map<string, Growing<Float64Array>>>();

  add(name: string, { findings, counts = {}, measures = {} }: Findings): void {
    let stage = this.#stages.get(name);
    if (!stage) {
      stage = { quarantine: 0, duplicate: 0, mask: 0, note: 0, counts: {} };
      this.#stages.set(name, stage);
      this.#measures.set(name, new Map());
    }
    for (const { action } of findings) stage[action]++;
    for (const [what, count] of Object.entries(counts))
      stage.counts[what] = (stage.counts[what] ?? 0) + count;
    const all = this.#measures.get(name)!;
    for (const [what, values] of Object.entries(measures)) {
      let gathered = all.get(what);
      if (!gathered) {
        gathered = new Growing(Float64Array);
        all.set(what, gathered);
      }
      for (const value of values) gathered.push(value);
    }
  }

  /** While it runs: without quantiles, for which all values are sorted. */
  soFar(): Record<string, unknown> {
    return { totals: { ...this.totals }, stages: Object.fromEntries(this.#stages) };
  }

  end(): { totals: CurationTotals; stages: Record<string, StageReport> } {
    const stages = [...this.#stages].map(([name, stage]) => {
      const measures = [...this.#measures.get(name)!].map(([what, values]) => [what, quantilesOf(values)]);
      return [name, { ...stage, measures: Object.fromEntries(measures) }];
    });
    return { totals: { ...this.totals }, stages: Object.fromEntries(stages) };
  }
}

function quantilesOf(values: Growing<Float64Array>): Quantiles {
  const count = values.length;
  const sorted = Float64Array.from({ length: count }, (_, at) => values.at(at)).sort();
  const at = (part: number) => sorted[Math.min(count - 1, Math.floor(part * count))] ?? 0;
  let sum = 0;
  for (const value of sorted) sum += value;
  return {
    count,
    mean: count === 0 ? 0 : sum / count,
    min: at(0),
    p5: at(0.05),
    p50: at(0.5),
    p95: at(0.95),
    max: at(1),
  };
}
