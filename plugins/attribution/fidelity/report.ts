/** How faithful each method's scores are on one adapter, and by which its shares are to be settled. */
import { difference, type Estimate, estimateOf } from './estimate.ts';
import { lds, type Retrains, type Scores } from './lds.ts';
import { auc, mean, recall } from './statistics.ts';

/** What fidelity is measured on. */
export interface FidelityInput {
  /** By method. */
  scores: Readonly<Record<string, Scores>>;
  /** The one that every method has to beat. */
  baseline: string;
  /** Those that answers can be settled by. */
  candidates: readonly string[];
  retrains: Retrains;
  /** What each example is about, and each query, where that is known. */
  classes?: { examples: readonly unknown[]; queries: readonly unknown[] };
}

export interface MethodFidelity {
  method: string;
  lds: Estimate;
  /** Above the baseline's, over the same draws; absent for itself. */
  overBaseline?: Estimate;
  /** Means over the queries: examples of its class against the others; absent where there is one class, or none is known. */
  classAuc?: number;
  classRecall?: number;
}

export interface FidelityReport {
  /** How many trainings on parts of the data. */
  retrains: number;
  /** Best first. */
  methods: MethodFidelity[];
  /** The candidate whose score is highest, where it is surely above the baseline's; null: it is not, and shares fall back to spans. */
  chosen: string | null;
}

export function fidelityOf(input: FidelityInput): FidelityReport {
  const { scores, baseline, candidates, retrains } = input;
  const base = lds(scores[baseline]!, retrains);
  const methods = Object.entries(scores).map(([method, own]): MethodFidelity => {
    const foretold = lds(own, retrains);
    return {
      method,
      lds: estimateOf(foretold),
      ...(method === baseline ? {} : { overBaseline: difference(foretold, base) }),
      ...classesFound(own, input.classes),
    };
  });
  methods.sort((a, b) => b.lds.value - a.lds.value);
  const best = methods.find(({ method }) => candidates.includes(method));
  return {
    retrains: retrains.subsets.length,
    methods,
    chosen: best && isSure(best) ? best.method : null,
  };
}

/** Whether a method foretells better than the baseline beyond doubt. */
export const isSure = ({ overBaseline }: Pick<MethodFidelity, 'overBaseline'>): boolean =>
  overBaseline !== undefined && overBaseline.low > 0;

function classesFound(
  scores: Scores,
  classes: FidelityInput['classes'],
): Pick<MethodFidelity, 'classAuc' | 'classRecall'> {
  if (!classes) return {};
  const { examples, queries } = classes;
  const over = (measure: typeof auc) =>
    scores.flatMap((row, query) => measure(row, (i) => examples[i] === queries[query]) ?? []);
  const aucs = over(auc);
  return aucs.length === 0 ? {} : { classAuc: mean(aucs), classRecall: mean(over(recall)) };
}
