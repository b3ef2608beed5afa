/** How the trainings learn that fidelity is measured by, and the two whose checkpoints are kept. */
import { Value } from 'typebox/value';
import { mislabelled, type Retrain } from '../../plugins/attribution/fidelity/subsets.ts';
import { type Recipe, recipeSchema } from '../../plugins/training/recipe.ts';
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

/** What the scores are computed of. */
export const full = (count: number): Retrain => ({
  id: 'full',
  examples: Array.from({ length: count }, (_, i) => i),
  checkpoints: true,
});

/** What suspicions are computed of. */
export const wronglyTaught = (count: number) => ({ ...mislabelled(count), checkpoints: true as const });
