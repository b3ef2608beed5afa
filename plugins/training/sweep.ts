/**
 * The learning rate where none is given: a few, each for a few steps from the same beginning, by the loss on examples that
 * those steps have not seen. All of it follows from the data and the recipe, so that it is chosen alike everywhere.
 */
import type { NativeTrainer } from '../../native/binding/index.ts';
import type { Objective } from './objective.ts';
import type { Recipe } from './recipe.ts';
import { learningRate, type Plan, shuffled } from './schedule.ts';

/** What a multiplier of 1 stands for. */
export const baseRates = { supervised: 2e-4, dpo: 5e-5 } as const;

/** Rising: beyond the first one that does worse than the one before, none is tried. */
const multipliers = [0.5, 1, 2.5, 5, 10];
/** Steps of one rate: so many of a run's, within bounds, so that the whole sweep takes an eighth of it at most. */
const shareOfSteps = 1 / 40;
const fewestSteps = 4;
const mostSteps = 12;
/** Examples that are held out; a share of all where there is no file of them. */
const mostHeldOut = 32;
const heldOutShare = 0.2;

/** A rate and the held-out loss after its steps (nats); undefined where the loss was no number any more. */
export interface Tried {
  learningRate: number;
  loss?: number;
}

export interface Sweep {
  steps: number;
  /** Held-out examples. */
  examples: number;
  tried: Tried[];
}

export interface SweepOptions<Item> {
  trainer: NativeTrainer;
  objective: Objective<Item>;
  recipe: Recipe;
  data: { train: Item[]; validation: Item[] };
  plan: Plan;
  onTried?(tried: Tried): void;
  signal?: AbortSignal;
}

/** The rate with the least loss, and what was tried; undefined where `signal` ended it. Leaves the trainer trained. */
export async function chooseRate<Item>(
  options: SweepOptions<Item>,
): Promise<{ rate: number; sweep: Sweep } | undefined> {
  const { recipe, plan } = options;
  const { front, heldOut } = slices(options);
  const steps = Math.min(mostSteps, Math.max(fewestSteps, Math.ceil(plan.steps * shareOfSteps)));
  const sweep: Sweep = { steps, examples: heldOut.length, tried: [] };
  let best: { rate: number; loss: number } | undefined;
  for (const multiplier of multipliers) {
    const rate = multiplier * baseRates[recipe.method];
    const loss = await lossAfter(options, rate, steps, front, heldOut);
    if (loss === 'ended') return undefined;
    const tried: Tried = { learningRate: rate, ...(loss === undefined ? {} : { loss }) };
    sweep.tried.push(tried);
    options.onTried?.(tried);
    if (loss === undefined || (best && loss >= best.loss)) break;
    best = { rate, loss };
  }
  if (!best)
    throw new Error(
      'The loss is no number even with the smallest learning rate; the examples cannot be learned from.',
    );
  return { rate: best.rate, sweep };
}

/** What the steps learn from, in its order, and what they are judged by. */
function slices<Item>({ data, recipe }: SweepOptions<Item>): { front: Item[]; heldOut: Item[] } {
  const train = Array.from(shuffled(data.train.length, recipe.seed, 0), (i) => data.train[i]!);
  if (data.validation.length > 0) {
    const order = shuffled(data.validation.length, recipe.seed, 0).subarray(0, mostHeldOut);
    return { front: train, heldOut: Array.from(order, (i) => data.validation[i]!) };
  }
  const held = Math.min(mostHeldOut, Math.max(1, Math.floor(train.length * heldOutShare)));
  // A single example is learned from and judged by: there is nothing else.
  return { front: train.slice(0, Math.max(1, train.length - held)), heldOut: train.slice(-held) };
}

async function lossAfter<Item>(
  { trainer, objective, recipe, signal }: SweepOptions<Item>,
  rate: number,
  steps: number,
  front: Item[],
  heldOut: Item[],
): Promise<number | 'ended' | undefined> {
  begin(trainer, recipe);
  for (let step = 1; step <= steps; step++) {
    if (signal?.aborted) return 'ended';
    const first = (step - 1) * recipe.batch_size;
    const items = Array.from({ length: recipe.batch_size }, (_, i) => front[(first + i) % front.length]!);
    const settings = {
      learningRate: learningRate(recipe, rate, step, steps),
      clip: recipe.clip,
      dropout: recipe.dropout,
      seed: recipe.seed,
      firstExample: first,
    };
    try {
      await objective.step(items, settings);
    } catch (error) {
      // Of a gradient that is no number: this rate is too large.
      if ((error as { code?: string }).code === 'invalid_argument') return undefined;
      throw error;
    }
  }
  if (signal?.aborted) return 'ended';
  const { loss } = await objective.evaluate(heldOut);
  return Number.isFinite(loss) ? loss : undefined;
}

/** As before the first step: the adapter changes nothing, the optimiser has seen nothing. */
export function begin(trainer: NativeTrainer, recipe: Pick<Recipe, 'seed'>): void {
  trainer.initialise(recipe.seed);
  const count = trainer.info().values;
  trainer.restoreOptimizer({ steps: 0, first: new Float32Array(count), second: new Float32Array(count) });
}
