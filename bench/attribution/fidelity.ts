/** The cases that say how faithful scores are, of what trainings and methods gave. */
import { candidates } from '../../plugins/attribution/fidelity/fidelity_file.ts';
import { type FidelityReport, fidelityOf } from '../../plugins/attribution/fidelity/report.ts';
import type { Retrained } from '../../plugins/attribution/fidelity/retrains.ts';
import { auc } from '../../plugins/attribution/fidelity/statistics.ts';
import { say } from '../lib/main.ts';
import { type CaseResult, caseResult } from '../lib/report.ts';
import type { FidelityData } from './data.ts';
import type { Scored } from './methods.ts';
import { wronglyTaught } from './protocol.ts';

export const baseline = 'bm25';

export type AllScores = Record<string, Scored>;

export function reportOf(data: FidelityData, scores: AllScores, halves: Retrained[]): FidelityReport {
  const found = fidelityOf({
    scores: Object.fromEntries(Object.entries(scores).map(([name, scored]) => [name, scored.scores])),
    baseline,
    candidates,
    retrains: {
      subsets: halves.map(({ examples }) => examples),
      losses: halves.map(({ losses }) => losses),
    },
    classes: { examples: data.train.classes, queries: data.queries.classes },
  });
  say(`By ${found.retrains} retrains on halves of the data (95% intervals):`);
  const shown = (value: number) => value.toFixed(3);
  for (const { method, lds, overBaseline: over, classAuc, classRecall } of found.methods)
    say(
      `  ${method.padEnd(20)} LDS ${shown(lds.value)} (${shown(lds.low)} to ${shown(lds.high)})` +
        `${over ? `, over ${baseline} ${shown(over.value)} (${shown(over.low)} to ${shown(over.high)})` : ''}` +
        `, class AUC ${shown(classAuc!)}, recall ${shown(classRecall!)}`,
    );
  say(
    found.chosen
      ? `Chosen: ${found.chosen}.`
      : `No method is surely above ${baseline}: shares fall back to spans.`,
  );
  return found;
}

/** The candidate that foretells best: what stands as ours; all others are peers. */
export function best({ methods }: FidelityReport): string {
  return methods.find(({ method }) => (candidates as readonly string[]).includes(method))!.method;
}

export function fidelityCases(found: FidelityReport, scores: AllScores): CaseResult[] {
  const ours = best(found);
  const of = (value: (method: string) => number | undefined) => {
    const peers = Object.keys(scores)
      .filter((method) => method !== ours)
      .flatMap((method) => {
        const theirs = value(method);
        return theirs === undefined ? [] : [[method, theirs] as const];
      });
    return [value(ours), Object.fromEntries(peers)] as const;
  };
  const row = (name: string) => found.methods.find(({ method }) => method === name)!;
  return [
    caseResult('lds', 'LDS', ...of((method) => row(method).lds.value)),
    caseResult('class-auc', 'AUC', ...of((method) => row(method).classAuc)),
    caseResult('query-seconds', 's', ...of((method) => scores[method]!.secondsPerQuery)),
  ];
}

/** Ours is the influence of an example on itself; a peer the plain loss. */
export function mislabelledCase(suspicions: Record<string, number[]>, examples: number): CaseResult {
  const wrong = new Set(wronglyTaught(examples).mislabelled);
  const of = (name: string) => auc(suspicions[name]!, (i) => wrong.has(i))!;
  return caseResult('mislabelled-auc', 'AUC', of('self-grad-dot'), {
    loss: of('loss'),
    'self-datainf': of('self-datainf'),
  });
}
