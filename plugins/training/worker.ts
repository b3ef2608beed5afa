/**
 * A training job's own process: `worker.js FOLDER` goes on with the job whose files lie there and tells of its progress in
 * lines of JSON. Its end says how it went: `done` with the state, or `failed` with a sentence. On SIGTERM it ends after the
 * step that is under way, with all that was done in its checkpoint.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { yieldToServing } from '../../native/binding/yield.ts';
import { readExamples, readPairs } from './data_file.ts';
import { endWithParent } from './end_with_parent.ts';
import { writeInfluence } from './influence_file.ts';
import { isDiskFull } from './job_folders.ts';
import { answers, type Objective, preferences } from './objective.ts';
import { type RecipeTrainer, recipeTrainer } from './recipe_trainer.ts';
import {
  baseShare,
  bestStep,
  checkpointFolder,
  type LogRow,
  type RunOptions,
  type RunState,
  run,
} from './run.ts';
import type { Sweep, Tried } from './sweep.ts';
import { writeTraced } from './traced.ts';

/** What the server writes for the process, job.json of the folder. */
export interface WorkerJob extends RecipeTrainer {
  /** Id of the file to learn from. */
  source: string;
  /** adapter_config.json of what is made. */
  adapterConfig: Record<string, unknown>;
}

export type WorkerMessage =
  | {
      type: 'progress';
      step: number;
      steps: number;
      trainedTokens: number;
      row?: LogRow;
      /** Of its first message: all checkpoints so far, as the server may have been killed before it could be told. */
      kept?: LogRow[];
      learningRate: number;
      /** Where a sweep chose the learning rate. */
      sweep?: Sweep;
    }
  | ({ type: 'tried' } & Tried)
  | { type: 'done'; state: RunState }
  | { type: 'failed'; sentence: string; code?: 'disk_full' | 'killed' };

/** How a process ends. */
export type WorkerEnd = Extract<WorkerMessage, { type: 'done' | 'failed' }>;

const tell = (message: WorkerMessage) => process.stdout.write(`${JSON.stringify(message)}\n`);

async function main(folder: string): Promise<void> {
  yieldToServing();
  const stop = new AbortController();
  process.on('SIGTERM', () => stop.abort());
  endWithParent();
  const job = JSON.parse(await readFile(join(folder, 'job.json'), 'utf8')) as WorkerJob;
  const { recipe } = job;
  const trainer = await recipeTrainer(job);
  const pairs = recipe.method === 'dpo';
  const read = (name: string): Promise<never[]> =>
    (pairs ? readPairs : readExamples)(join(folder, name)) as Promise<never[]>;
  let isFirst = true;
  const options: RunOptions<never> = {
    trainer,
    objective: (pairs ? preferences(trainer, recipe) : answers(trainer)) as Objective<never>,
    recipe,
    data: {
      train: await read('train.bin'),
      validation: await read('validation.bin'),
      general: await readExamples(join(folder, 'general.bin')),
    },
    folder,
    describe: (adapter: string) =>
      writeFile(join(adapter, 'adapter_config.json'), `${JSON.stringify(job.adapterConfig, null, 2)}\n`),
    onProgress: (state, plan) => {
      const row = state.log.at(-1);
      tell({
        type: 'progress',
        step: state.step,
        steps: plan.steps,
        trainedTokens: state.trainedTokens,
        learningRate: state.learningRate,
        ...(state.sweep ? { sweep: state.sweep } : {}),
        ...(row ? { row } : {}),
        ...(isFirst ? { kept: state.log.filter(({ kept }) => kept) } : {}),
      });
      isFirst = false;
    },
    onTried: (tried) => tell({ type: 'tried', ...tried }),
    signal: stop.signal,
  };
  const state = await run(options);
  let whole = true;
  if (state.ended) {
    await writeTraced(folder, {
      items: options.data.train,
      vocabulary: trainer.info().hyperparameters.vocabulary,
      adapter: checkpointFolder(folder, bestStep(state)),
      source: job.source,
      baseShare: pairs ? undefined : baseShare(state),
    });
    whole = await writeInfluence(folder, {
      trainer,
      items: options.data.train,
      recipe,
      state,
      signal: stop.signal,
    });
  }
  tell({ type: 'done', state: whole ? state : { ...state, ended: undefined } });
}

main(process.argv[2]!).then(
  () => process.exit(0),
  (error: NodeJS.ErrnoException) => {
    // The engine has one code for a full disk and for too little memory.
    const full =
      isDiskFull(error) || (error.code === 'resource_exhausted' && /No space|quota/.test(error.message));
    tell({ type: 'failed', sentence: error.message, ...(full ? { code: 'disk_full' } : {}) });
    process.exit(1);
  },
);
