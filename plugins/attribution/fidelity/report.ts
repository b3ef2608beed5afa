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
  retrains: Retrains;
  /** What each example is about, and each query. */
  exampleClasses: readonly unknown[];
  queryClasses: readonly unknown[];
}

export interface MethodFidelity {
  method: string;
  lds: Estimate;
  /** Above the baseline's, over the same draws; absent for itself. */
  overBaseline?: Estimate;
  /** Means over the queries: examples of its class against the others. */
  classAuc: number;
  classRecall: number;
}

export interface FidelityReport {
  /** How many trainings on parts of the data. */
  retrains: number;
  /** Best first. */
  methods: MethodFidelity[];
  /** Whose score is highest, where it is surely above the baseline's; null: none is, and shares fall back to spans. */
  chosen: string | null;
}

export function fidelityOf(input: FidelityInput): FidelityReport {
  const { scores, baseline, retrains, exampleClasses, queryClasses } = input;
  const base = lds(scores[baseline]!, retrains);
  const methods = Object.entries(scores).map(([method, own]): MethodFidelity => {
    const ofClass = (measure: typeof auc) =>
      mean(own.flatMap((row, query) => measure(row, (i) => exampleClasses[i] === queryClasses[query]) ?? []));
    const foretold = lds(own, retrains);
    return {
      method,
      lds: estimateOf(foretold),
      ...(method === baseline ? {} : { overBaseline: difference(foretold, base) }),
      classAuc: ofClass(auc),
      classRecall: ofClass(recall),
    };
  });
  methods.sort((a, b) => b.lds.value - a.lds.value);
  const best = methods[0];
  return {
    retrains: retrains.subsets.length,
    methods,
    chosen: best?.overBaseline && best.overBaseline.low > 0 ? best.method : null,
  };
}
