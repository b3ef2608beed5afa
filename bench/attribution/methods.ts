/** Scores of each query for each training example, method by method; each is computed once for a work folder. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NativeTrainer } from '../../native/binding/index.ts';
import { bm25, tfidf } from '../../plugins/attribution/fidelity/lexical.ts';
import { suspicionsOf } from '../../plugins/attribution/fidelity/suspicions.ts';
import { checkpointFile, readCheckpoint } from '../../plugins/attribution/fidelity/trainings.ts';
import { say } from '../lib/main.ts';
import type { FidelityData } from './data.ts';
import { type Exact, exactInfluence } from './exact.ts';
import { type Influence, influenceScores } from './influence.ts';
import { wronglyTaught } from './protocol.ts';
import { createTrainer, type Setting } from './retrains.ts';

export interface Scored {
  /** [queries][examples], more is more helpful. */
  scores: number[][];
  /** Of one query, what is kept of the examples not counted; absent for what only others are measured by. */
  secondsPerQuery?: number;
}

/** Computes a value once for a work folder. */
export async function once<T>(folder: string, name: string, make: () => Promise<T>): Promise<T> {
  const file = join(folder, `${name}.json`);
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as T;
  say(`Computing ${name} ...`);
  const value = await make();
  writeFileSync(`${file}.part`, JSON.stringify(value));
  renameSync(`${file}.part`, file);
  return value;
}

export function lexicalScores({ train, queries }: FidelityData): Record<'bm25' | 'tfidf', Scored> {
  const documents = train.examples.map(({ tokens }) => tokens);
  const scored = (method: typeof bm25): Scored => {
    const score = method(documents);
    const begin = performance.now();
    const scores = queries.examples.map(({ tokens }) => Array.from(score(tokens)));
    return { scores, secondsPerQuery: (performance.now() - begin) / 1000 / queries.examples.length };
  };
  return { bm25: scored(bm25), tfidf: scored(tfidf) };
}

/** By the influence index of the training on all of the data. */
export function influenceScoresOf(setting: Setting, { train, queries }: FidelityData): Promise<Influence> {
  return once(setting.folder, 'scores-influence', async () =>
    influenceScores(await createTrainer(setting), setting, 'full', train.examples, queries.examples),
  );
}

/** By whole gradients at its end. */
export async function exactScoresOf(
  setting: Setting,
  { train, queries }: FidelityData,
): Promise<Record<string, Scored>> {
  const exact = await once<Exact>(setting.folder, 'scores-exact', async () =>
    exactInfluence(await trainerAt(setting, 'full'), train.examples, queries.examples),
  );
  return {
    'exact-grad-dot': { scores: exact.gradDot },
    'exact-cosine': { scores: exact.cosine },
    'exact-datainf': { scores: exact.datainf },
  };
}

/** What makes an example suspicious, by a training on data of which a fifth has wrong answers. */
export function suspicions(setting: Setting, data: FidelityData): Promise<Record<string, number[]>> {
  return once(setting.folder, 'suspicions', async () => {
    const wrong = new Set(wronglyTaught(data.train.examples.length).mislabelled);
    const examples = data.train.examples.map((each, i) => (wrong.has(i) ? data.mislabelled[i]! : each));
    const trainer = await trainerAt(setting, 'mislabelled');
    const { selfDatainf } = await exactInfluence(trainer, examples, []);
    return { ...(await suspicionsOf(trainer, examples)), 'self-datainf': selfDatainf };
  });
}

async function trainerAt(setting: Setting, id: string): Promise<NativeTrainer> {
  const trainer = await createTrainer(setting);
  trainer.setValues(readCheckpoint(checkpointFile(setting.folder, id, setting.recipe.epochs)).values);
  return trainer;
}
