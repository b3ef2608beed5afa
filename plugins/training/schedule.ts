/** Which examples a step has and how large it is: functions of the recipe and the step alone, so that a run can go on anywhere. */
import type { Recipe } from './recipe.ts';

export interface Plan {
  /** Examples. */
  count: number;
  stepsPerEpoch: number;
  steps: number;
  /** After which steps the held-out loss is measured; the last is among them. */
  evaluateAfter: ReadonlySet<number>;
}

export function planOf(recipe: Pick<Recipe, 'epochs' | 'batch_size' | 'evaluations'>, count: number): Plan {
  const stepsPerEpoch = Math.ceil(count / recipe.batch_size);
  const steps = stepsPerEpoch * recipe.epochs;
  const evaluateAfter = new Set<number>();
  for (let i = 1; i <= recipe.evaluations; i++)
    evaluateAfter.add(Math.ceil((steps * i) / recipe.evaluations));
  return { count, stepsPerEpoch, steps, evaluateAfter };
}

/** Of step 1..steps: rises to `rate` in a line over the warm-up, then stays, or falls to 0 one step behind the last. */
export function learningRate(
  recipe: Pick<Recipe, 'schedule' | 'warmup'>,
  rate: number,
  step: number,
  steps: number,
): number {
  const warmup = Math.floor(recipe.warmup * steps);
  if (step <= warmup) return (rate * step) / warmup;
  if (recipe.schedule === 'constant') return rate;
  const left = (steps + 1 - step) / (steps + 1 - warmup);
  if (recipe.schedule === 'linear') return rate * left;
  return rate * (1 - cosine(left)) * 0.5;
}

/**
 * cos(pi * x) for x in [0, 1], the same bits on every machine: Math.cos is not. The odd series of sin around the middle, to
 * 1e-12, by products and sums alone.
 */
function cosine(x: number): number {
  const t = (0.5 - x) * Math.PI;
  const square = t * t;
  let term = t;
  let sum = t;
  for (let i = 1; i <= 9; i++) {
    term = (-term * square) / (2 * i * (2 * i + 1));
    sum += term;
  }
  return sum;
}

/** Positions of the examples that a step (1..) learns from, in order. */
export function batchOf(plan: Plan, recipe: Pick<Recipe, 'batch_size' | 'seed'>, step: number): number[] {
  const epoch = Math.floor((step - 1) / plan.stepsPerEpoch);
  const first = ((step - 1) % plan.stepsPerEpoch) * recipe.batch_size;
  return Array.from(shuffled(plan.count, recipe.seed, epoch).subarray(first, first + recipe.batch_size));
}

let last: { key: string; order: Uint32Array } | undefined;

/** 0..count-1 in the order of an epoch (Fisher and Yates). */
export function shuffled(count: number, seed: number, epoch: number): Uint32Array {
  const key = `${count} ${seed} ${epoch}`;
  if (last?.key === key) return last.order;
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const draw = randomOf(seed, epoch);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  last = { key, order };
  return order;
}

/** Uniform in [0, 1), 32 bits: a counter through Murmur3's finaliser, begun from both numbers. */
function randomOf(seed: number, epoch: number): () => number {
  let state = mix(mix(seed ^ 0x9e3779b9) ^ epoch);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return mix(state) / 2 ** 32;
  };
}

function mix(bits: number): number {
  let x = bits | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
