/** Trainings of the fixed data, in this process. */

import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { type NativeTrainer, native, type TrainingExample } from '../../native/binding/index.ts';
import { type Recipe, scalingOf } from '../../plugins/training/recipe.ts';
import { batchOf, learningRate, planOf } from '../../plugins/training/schedule.ts';
import { begin } from '../../plugins/training/sweep.ts';
import { baseShapeOf } from '../lib/base_shape.ts';
import { type Retrain, recipe } from './protocol.ts';

export async function createTrainer(gguf: string, threads: number): Promise<NativeTrainer> {
  const { layers } = await baseShapeOf(gguf);
  return native().createTrainer({
    model: { format: 'gguf', path: gguf },
    threads,
    modules: Array.from({ length: layers }, (_, layer) =>
      recipe.targets.map((linear) => ({ layer, linear, rank: recipe.rank, scaling: scalingOf(recipe) })),
    ).flat(),
    maxRows: 1024,
    activationBytes: 2 ** 30,
  });
}

/** From a new adapter to the last step; `onEpoch` after each epoch. */
export async function train(
  trainer: NativeTrainer,
  recipe: Recipe,
  examples: TrainingExample[],
  onEpoch: (epoch: number, learningRate: number) => void = () => {},
): Promise<void> {
  const plan = planOf(recipe, examples.length);
  begin(trainer, recipe);
  let rates = 0;
  for (let step = 1; step <= plan.steps; step++) {
    const rate = learningRate(recipe, recipe.learning_rate as number, step, plan.steps);
    rates += rate;
    await trainer.step(
      batchOf(plan, recipe, step).map((index) => examples[index]!),
      { learningRate: rate, clip: recipe.clip, seed: recipe.seed },
    );
    if (step % plan.stepsPerEpoch > 0) continue;
    onEpoch(step / plan.stepsPerEpoch, rates / plan.stepsPerEpoch);
    rates = 0;
  }
}

/** Mean loss of each example's answer, nats a token. */
export async function lossesOf(trainer: NativeTrainer, examples: TrainingExample[]): Promise<number[]> {
  return (await trainer.evaluate(examples)).map(({ loss, weight }) => loss / weight);
}

/** An adapter in the middle of its training, with what AdamW knows of its gradients. */
export interface Checkpoint {
  values: Float32Array;
  second: Float32Array;
  steps: number;
  /** Mean over the epoch before it. */
  learningRate: number;
}

export function writeCheckpoint(path: string, trainer: NativeTrainer, learningRate: number): void {
  const { steps, second } = trainer.optimizer();
  const head = Float64Array.of(steps, learningRate);
  const parts = [head, trainer.values(), second].map(
    ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
  );
  writeFileSync(`${path}.part`, Buffer.concat(parts));
  renameSync(`${path}.part`, path);
}

export function readCheckpoint(path: string): Checkpoint {
  const bytes = readFileSync(path);
  const [steps, learningRate] = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 16));
  const both = new Float32Array(bytes.buffer.slice(bytes.byteOffset + 16, bytes.byteOffset + bytes.length));
  const count = both.length >> 1;
  return {
    values: both.subarray(0, count),
    second: both.subarray(count),
    steps: steps!,
    learningRate: learningRate!,
  };
}

export const checkpointFile = (folder: string, id: string, epoch: number) =>
  join(folder, `${id}-epoch-${epoch}.checkpoint`);
export const retrainsFile = 'retrains.jsonl';

/** A retrain that is done: a line of its file. */
export interface Retrained extends Retrain {
  /** Of each query, nats a token. */
  losses: number[];
}

/** Those whose line is whole: a process may have been ended while it wrote the last. */
export function retrainedIn(folder: string): Map<string, Retrained> {
  const file = join(folder, retrainsFile);
  const found = new Map<string, Retrained>();
  if (!existsSync(file)) return found;
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    try {
      const row = JSON.parse(line) as Retrained;
      found.set(row.id, row);
    } catch {
      // Cut: done again.
    }
  }
  return found;
}

/** Everything else goes first: all threads of a process that leads a session of its own get what is left. */
export function yieldToOthers(): void {
  const threads = process.platform === 'linux' ? readdirSync('/proc/self/task').map(Number) : [process.pid];
  for (const thread of threads) setPriority(thread, 19);
  try {
    // A session is weighed as one against the others, whatever its processes' own priorities are (sched(7)).
    writeFileSync('/proc/self/autogroup', '19');
  } catch {
    // This kernel groups no sessions.
  }
}
