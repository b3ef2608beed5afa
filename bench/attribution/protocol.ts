/** The trainings that fidelity is measured by: which examples each has, and how it learns. */
import { Value } from 'typebox/value';
import { type Recipe, recipeSchema } from '../../plugins/training/recipe.ts';
import { seeded } from '../lib/random.ts';
import { maxTokens } from './data.ts';

export const recipe: Recipe = {
  ...(Value.Create(recipeSchema) as Recipe),
  epochs: 3,
  batch_size: 8,
  learning_rate: 1e-3,
  rank: 8,
  alpha: 16,
  evaluations: 1,
  patience: 0,
  max_tokens: maxTokens,
};

/** One training of which the queries' losses are kept. */
export interface Retrain {
  id: string;
  /** Positions in the training data, rising. */
  examples: number[];
  /** Of these, positions whose answers are another class's. */
  mislabelled?: number[];
  /** The adapter after each epoch is kept too. */
  checkpoints?: true;
}

/** What the scores are computed of. */
export const full = (count: number): Retrain => ({
  id: 'full',
  examples: Array.from({ length: count }, (_, i) => i),
  checkpoints: true,
});

/** All of the data, a fifth of it with wrong answers. */
export const mislabelled = (count: number): Retrain => ({
  ...full(count),
  id: 'mislabelled',
  mislabelled: sample(count, Math.round(count / 5), 500),
});

/** So many of 0..count-1 by chance, rising. */
export function sample(count: number, size: number, seed: number): number[] {
  const draw = seeded(seed);
  const left = Array.from({ length: count }, (_, i) => i);
  const chosen = Array.from({ length: size }, () => left.splice(Math.floor(draw() * left.length), 1)[0]!);
  return chosen.sort((a, b) => a - b);
}

/** Halves of the data, each drawn for itself: what the linear datamodelling score is measured over. */
export function halves(count: number, subsets: number): Retrain[] {
  return Array.from({ length: subsets }, (_, i) => ({
    id: `half-${i}`,
    examples: sample(count, count >> 1, 1000 + i),
  }));
}
