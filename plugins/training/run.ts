/**
 * A training run from its first step, or from its last checkpoint, to its end. What it computes depends on the data and the
 * recipe alone: where it was interrupted, how often and by what does not change a bit.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { NativeTrainer, TrainingExample } from '../../native/binding/index.ts';
import { readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { answers, type Measured, type Objective } from './objective.ts';
import type { Recipe } from './recipe.ts';
import { batchOf, learningRate, type Plan, planOf } from './schedule.ts';
import { begin, chooseRate, type Sweep, type Tried } from './sweep.ts';

export interface RunData<Item> {
  train: Item[];
  /** Held out; may be empty: then nothing stops early, and the last checkpoint is the best. */
  validation: Item[];
  /** Of general text: what the model could before; may be empty. */
  general: TrainingExample[];
}

/** One step, or one evaluation after it, for the log. */
export interface LogRow {
  step: number;
  train: Measured;
  learningRate: number;
  gradientNorm: number;
  /** After the step: all of the held-out examples, and the general text. */
  validation?: Measured;
  general?: Measured;
  /** A checkpoint of this step is kept. */
  kept?: true;
}

export interface RunState {
  /** Hash of the base. */
  base: string;
  /** Done. */
  step: number;
  trainedTokens: number;
  /** Of the recipe, or what the sweep chose. */
  learningRate: number;
  sweep?: Sweep;
  log: LogRow[];
  /** Of the held-out loss before the first step. */
  before: { validation?: Measured; general?: Measured };
  best: { step: number; loss: number } | undefined;
  /** Evaluations since the best. */
  worse: number;
  ended: 'completed' | 'stopped_early' | undefined;
}

export interface RunOptions<Item> {
  trainer: NativeTrainer;
  objective: Objective<Item>;
  recipe: Recipe;
  data: RunData<Item>;
  /** Holds the checkpoint, and checkpoints/step-N with an adapter each. */
  folder: string;
  /** Writes what makes an adapter of a checkpoint's folder, beside its values. */
  describe(folder: string): Promise<void>;
  onProgress?(state: RunState, plan: Plan): void;
  /** Of the sweep for a learning rate. */
  onTried?(tried: Tried): void;
  /** Ends the run after the step that is under way, or between two calls of an evaluation; it can go on later. */
  signal?: AbortSignal;
  /** A checkpoint at least so often; default 60 s. */
  checkpointSeconds?: number;
}

/**
 * Runs to the end, or until `signal`: then `ended` is undefined and the last checkpoint holds all that was done. A sweep for
 * the learning rate is begun anew.
 */
export async function run<Item>(options: RunOptions<Item>): Promise<RunState> {
  const { trainer, objective, recipe, data, folder, signal } = options;
  if (data.train.length === 0) throw new Error('There is nothing to train on.');
  const plan = planOf(recipe, data.train.length);
  const file = join(folder, 'checkpoint');
  const saved = await readCheckpoint<RunState>(file);
  let state: RunState;
  const base = trainer.info().baseHash;
  if (saved) {
    if (saved.state.base !== base)
      throw new Error(
        `The base model's weights are not those that the run began with (${base}, not ${saved.state.base}). Put them back, or begin anew.`,
      );
    trainer.setValues(saved.values);
    trainer.restoreOptimizer(saved.optimizer);
    state = saved.state;
  } else {
    const none = {
      base,
      step: 0,
      trainedTokens: 0,
      log: [],
      before: {},
      best: undefined,
      worse: 0,
      ended: undefined,
    };
    let chosen: { rate: number; sweep?: Sweep } | undefined;
    if (recipe.learning_rate !== 'auto') chosen = { rate: recipe.learning_rate };
    else chosen = await chooseRate({ ...options, plan });
    if (!chosen) return { ...none, learningRate: 0 };
    const { rate, sweep } = chosen;
    state = { ...none, learningRate: rate, ...(sweep ? { sweep } : {}) };
    begin(trainer, recipe);
  }
  let savedAt = Date.now();
  const save = async () => {
    await writeCheckpoint(file, { state, values: trainer.values(), optimizer: trainer.optimizer() });
    savedAt = Date.now();
  };
  const general = answers(trainer);
  const measure = async () => ({
    ...(data.validation.length > 0 ? { validation: await objective.evaluate(data.validation) } : {}),
    ...(data.general.length > 0 ? { general: await general.evaluate(data.general) } : {}),
  });
  if (!saved) {
    state.before = await measure();
    await save();
  }
  options.onProgress?.(state, plan);
  while (!state.ended) {
    if (signal?.aborted) {
      await save();
      return state;
    }
    const step = state.step + 1;
    const items = batchOf(plan, recipe, step).map((index) => data.train[index]!);
    const rate = learningRate(recipe, state.learningRate, step, plan.steps);
    const { tokens, gradientNorm, ...train } = await objective.step(items, {
      learningRate: rate,
      clip: recipe.clip,
      dropout: recipe.dropout,
      seed: recipe.seed,
      firstExample: (step - 1) * recipe.batch_size,
    });
    const row: LogRow = { step, train, learningRate: rate, gradientNorm };
    const evaluated = plan.evaluateAfter.has(step);
    if (evaluated) {
      Object.assign(row, await measure(), { kept: true });
      const adapter = checkpointFolder(folder, step);
      await mkdir(adapter, { recursive: true });
      await trainer.save(join(adapter, 'adapter_model.safetensors'));
      await options.describe(adapter);
    }
    state = next(state, row, tokens, recipe, plan);
    if (evaluated || Date.now() - savedAt > 1000 * (options.checkpointSeconds ?? 60)) await save();
    options.onProgress?.(state, plan);
  }
  return state;
}

export function checkpointFolder(folder: string, step: number): string {
  return join(folder, 'checkpoints', `step-${step}`);
}

function next(state: RunState, row: LogRow, tokens: number, recipe: Recipe, plan: Plan): RunState {
  const after: RunState = {
    ...state,
    step: row.step,
    trainedTokens: state.trainedTokens + tokens,
    log: [...state.log, row],
  };
  if (row.validation) {
    const better = !state.best || row.validation.loss < state.best.loss;
    after.best = better ? { step: row.step, loss: row.validation.loss } : state.best;
    after.worse = better ? 0 : state.worse + 1;
    if (recipe.patience > 0 && after.worse >= recipe.patience) after.ended = 'stopped_early';
  }
  if (row.step === plan.steps) after.ended = 'completed';
  return after;
}

/**
 * How much of a held-out token's probability the base alone would have given it, where losses are of tokens: a mean loss less is a
 * factor of the probability. Undefined where nothing was held out.
 */
export function baseShare({ best, before }: RunState): number | undefined {
  return best && before.validation && Math.min(1, Math.exp(best.loss - before.validation.loss));
}

/** The step whose checkpoint is the run's result. */
export function bestStep(state: RunState): number {
  return state.best?.step ?? state.step;
}
