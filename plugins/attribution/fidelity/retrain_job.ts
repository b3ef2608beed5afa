/** What the process that trains is given, on its stdin: a line of JSON, then the tokens of all examples. Nothing of it is kept. */
import { createHash } from 'node:crypto';
import type { TrainingExample } from '../../../native/binding/index.ts';
import { decodeExamples, encodeItems } from '../../training/data_file.ts';
import type { RecipeTrainer } from '../../training/recipe_trainer.ts';
import type { Retrain } from './subsets.ts';

/** What is trained on again, and what is asked of each training. */
export interface RetrainData {
  train: TrainingExample[];
  queries: TrainingExample[];
  /** Each training example with another one's answer in place of its own. */
  swapped: TrainingExample[];
}

export interface RetrainJob extends RecipeTrainer {
  share: number;
  /** Where what is done is kept. */
  folder: string;
  /** It takes only what nobody else on the machine wants. */
  background?: boolean;
  tasks: Retrain[];
}

/** One that is done. `loss`: mean over the queries, nats a token. */
export interface Trained {
  id: string;
  loss: number;
}

/** A line of what the process says. */
export type RetrainMessage =
  /** Before the first training: what one token of a step takes. */
  | { type: 'pace'; secondsPerToken: number }
  | ({ type: 'trained' } & Trained)
  | { type: 'failed'; sentence: string };

/** What names the trainings on this data in this way: others are never mixed with them. */
export function fingerprint(way: object, { train, queries, swapped }: RetrainData): string {
  const hash = createHash('sha256').update(JSON.stringify(way));
  for (const examples of [train, queries, swapped]) hash.update(encodeItems(examples));
  return hash.digest('hex').slice(0, 12);
}

export function encodeJob(job: RetrainJob, { train, queries, swapped }: RetrainData): Buffer {
  const parts = [train, queries, swapped].map(encodeItems);
  const head = { job, bytes: parts.map(({ length }) => length) };
  return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), ...parts]);
}

export function decodeJob(bytes: Buffer): { job: RetrainJob; data: RetrainData } {
  let at = bytes.indexOf(10);
  const { job, bytes: lengths } = JSON.parse(bytes.toString('utf8', 0, at)) as {
    job: RetrainJob;
    bytes: number[];
  };
  at++;
  const [train, queries, swapped] = lengths.map((length) => {
    at += length;
    return decodeExamples(bytes.subarray(at - length, at));
  });
  return { job, data: { train: train!, queries: queries!, swapped: swapped! } };
}
