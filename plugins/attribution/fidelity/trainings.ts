/** Trainings on parts of the data, in this process. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NativeTrainer, TrainingExample } from '../../../native/binding/index.ts';
import type { Recipe } from '../../training/recipe.ts';
import { batchOf, learningRate, planOf } from '../../training/schedule.ts';
import { begin } from '../../training/sweep.ts';

export interface Training {
  trainer: NativeTrainer;
  recipe: Recipe;
  /** Of the recipe's steps that are done, above 0 to 1: an adapter is the best checkpoint of its run, not always the last. */
  share: number;
}

/** From a new adapter to the last step; `onEpoch` after each epoch, the last of which may have been begun only. */
export async function train(
  { trainer, recipe, share }: Training,
  examples: TrainingExample[],
  onEpoch: (epoch: number, learningRate: number) => void = () => {},
): Promise<void> {
  const plan = planOf(recipe, examples.length);
  const last = stepsOf(recipe, share, examples.length);
  begin(trainer, recipe);
  const rates: number[] = [];
  for (let step = 1; step <= last; step++) {
    const rate = learningRate(recipe, recipe.learning_rate as number, step, plan.steps);
    rates.push(rate);
    await trainer.step(
      batchOf(plan, recipe, step).map((index) => examples[index]!),
      {
        learningRate: rate,
        clip: recipe.clip,
        dropout: recipe.dropout,
        seed: recipe.seed,
        firstExample: (step - 1) * recipe.batch_size,
      },
    );
    if (step % plan.stepsPerEpoch > 0 && step < last) continue;
    onEpoch(
      Math.ceil(step / plan.stepsPerEpoch),
      rates.reduce((sum, value) => sum + value, 0) / rates.length,
    );
    rates.length = 0;
  }
}

/** Of a training on so many examples. */
export function stepsOf(recipe: Recipe, share: number, examples: number): number {
  return Math.max(1, Math.round(planOf(recipe, examples).steps * share));
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
