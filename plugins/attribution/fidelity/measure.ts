/**
 * How faithful the attribution of one adapter is: parts of its data are trained on again with its own recipe, and what scores say of
 * its examples is held against what became of the answers without them. docs/attribution.md has the protocol.
 */
import type { InfluenceMethod } from '../../../native/binding/index.ts';
import { counterfactual } from './counterfactual.ts';
import { candidates, type Fidelity } from './fidelity_file.ts';
import { bm25, tfidf } from './lexical.ts';
import { type FidelityInput, fidelityOf } from './report.ts';
import {
  missingOf,
  type Retrained,
  type Retraining,
  type RetrainWatch,
  retrained,
  retrainedIn,
} from './retrains.ts';
import { auc } from './statistics.ts';
import { halves, mislabelled, type Retrain } from './subsets.ts';
import type { Suspicions } from './suspicions.ts';

const baseline = 'bm25';
/** Examples that are left out for a query, and queries of a round, at most; together a quarter of the examples at most. */
const removed = 5;
const askedAtOnce = 6;

export interface Measuring {
  retraining: Retraining;
  /** Which of the training examples have another answer where they are swapped. */
  differs: readonly boolean[];
  /** On halves. */
  retrains: number;
  /** Of removals; 0: none. */
  rounds: number;
  classes?: FidelityInput['classes'];
  /** [queries][examples] by method, of the adapter's own index. */
  indexScores(): Promise<Record<string, number[][]>>;
}

/** What is measured, and nothing of where. */
export type Measured = Pick<Fidelity, 'retrains' | 'methods' | 'chosen' | 'mislabelled' | 'counterfactual'>;

/** Trainings of one kind. */
export interface Trainings {
  trainings: number;
  /** Of these, how many an earlier run has left. */
  done: number;
  /** That each learns from. */
  examples: number;
}

export interface Cost {
  halves: Trainings;
  mislabelled: Trainings;
  without: Trainings;
}

export function costOf(of: Measuring): Cost {
  const { train, queries } = of.retraining.data;
  const { folder } = of.retraining;
  const asked = askedOf(queries.length, train.length, of.rounds);
  const gone = (asked[0]?.length ?? 0) * removedOf(train.length);
  const kind = (tasks: Retrain[], examples: number): Trainings => ({
    trainings: tasks.length,
    done: tasks.length - missingOf(folder, tasks).length,
    examples,
  });
  // By chance, by the best method, by the baseline: which examples that leaves is known when scores are.
  const without = 3 * asked.length;
  const there = [...retrainedIn(folder).keys()].filter((id) => id.startsWith('without-')).length;
  return {
    halves: kind(halves(train.length, of.retrains), train.length >> 1),
    mislabelled: kind(wronglyTaught(of.differs), train.length),
    without: { trainings: without, done: Math.min(without, there), examples: train.length - gone },
  };
}

/** One training with a fifth of wrong answers; none where all answers are the same. */
function wronglyTaught(differs: readonly boolean[]): Array<Retrain & { mislabelled: number[] }> {
  const all = mislabelled(differs.length);
  const wrong = all.mislabelled.filter((i) => differs[i]);
  return wrong.length === 0 ? [] : [{ ...all, mislabelled: wrong, suspicions: true }];
}

/** Which queries each round leaves the best examples out of; the first rounds where there are too few for all. */
export function askedOf(queries: number, examples: number, rounds: number): number[][] {
  const each = removedOf(examples);
  const most = Math.floor(examples / 4 / each);
  const asked = Math.max(1, Math.min(askedAtOnce, most, Math.floor(queries / Math.max(1, rounds))));
  return Array.from({ length: Math.min(rounds, queries) }, (_, round) =>
    Array.from({ length: asked }, (_, i) => round + i * Math.floor(queries / asked)),
  );
}

/** Examples that are left out for each query. */
export const removedOf = (examples: number): number => Math.min(removed, Math.max(1, examples >> 2));

/** Goes on with what an earlier run did. Rejects with a sentence. */
export async function measured(of: Measuring, watch: RetrainWatch): Promise<Measured> {
  const { retraining, retrains } = of;
  const { data } = retraining;
  const tasks = [...halves(data.train.length, retrains), ...wronglyTaught(of.differs)];
  const done = await retrained(retraining, tasks, watch);
  const documents = data.train.map(({ tokens }) => tokens);
  const lexical = (method: typeof bm25) => {
    const score = method(documents);
    return data.queries.map(({ tokens }) => Array.from(score(tokens)));
  };
  const scores: Record<string, number[][]> = {
    bm25: lexical(bm25),
    tfidf: lexical(tfidf),
    ...(await of.indexScores()),
  };
  const halfDone = done.slice(0, retrains);
  const report = fidelityOf({
    scores,
    baseline,
    candidates,
    retrains: {
      subsets: halfDone.map(({ examples }) => examples),
      losses: halfDone.map(({ losses }) => losses),
    },
    ...(of.classes ? { classes: of.classes } : {}),
  });
  const best = report.methods.find(({ method }) => (candidates as readonly string[]).includes(method));
  return {
    ...report,
    chosen: report.chosen as InfluenceMethod | null,
    mislabelled: wrongFound(done[retrains]),
    counterfactual: await removals(of, watch, pick(scores, best?.method, baseline)),
  };
}

function wrongFound(done: Retrained | undefined): Fidelity['mislabelled'] {
  if (!done) return null;
  const wrong = new Set(done.mislabelled);
  const found = (scores: number[]) => auc(scores, (at) => wrong.has(done.examples[at]!))!;
  const by = Object.entries(done.found as Suspicions).map(([name, scores]) => [name, found(scores)]);
  return { examples: done.examples.length, wrong: wrong.size, auc: Object.fromEntries(by) };
}

async function removals(
  { retraining, rounds }: Measuring,
  watch: RetrainWatch,
  scores: Record<string, number[][]>,
): Promise<Fidelity['counterfactual']> {
  const { train, queries } = retraining.data;
  const asked = askedOf(queries.length, train.length, rounds);
  if (asked.length === 0) return null;
  const each = removedOf(train.length);
  const methods = await counterfactual({
    count: train.length,
    each,
    asked,
    scores,
    retrained: (tasks) => retrained(retraining, tasks, watch),
  });
  return { rounds: asked.length, queries: asked.flat().length, removed: each, methods };
}

function pick<T>(all: Record<string, T>, ...names: Array<string | undefined>): Record<string, T> {
  return Object.fromEntries(names.filter((name) => name !== undefined).map((name) => [name, all[name]!]));
}
