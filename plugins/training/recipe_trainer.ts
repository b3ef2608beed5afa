/** The trainer of a recipe's adapter. */
import type { BaseWeights } from '../../gateway/contract/index.ts';
import { type NativeTrainer, native, type TrainerOptions } from '../../native/binding/index.ts';
import { type Recipe, scalingOf } from './recipe.ts';

export interface RecipeTrainer {
  weights: BaseWeights;
  /** Of the base. */
  layers: number;
  recipe: Recipe;
  threads: number;
  /** What is kept of a forward pass; the result is the same. */
  activationBytes: number;
  /** Of the base that it has to be; absent: any. */
  baseHash?: string;
}

/** Its values are those of no adapter yet. Rejects where the base cannot be read or trained, or is another one. */
export async function recipeTrainer(of: RecipeTrainer): Promise<NativeTrainer> {
  const { recipe } = of;
  const trainer = await native().createTrainer({
    model: of.weights as TrainerOptions['model'],
    threads: of.threads,
    modules: Array.from({ length: of.layers }, (_, layer) =>
      recipe.targets.map((linear) => ({ layer, linear, rank: recipe.rank, scaling: scalingOf(recipe) })),
    ).flat(),
    maxRows: recipe.max_tokens,
    activationBytes: of.activationBytes,
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: recipe.weight_decay },
  });
  if (of.baseHash) checkBase(trainer, of.baseHash);
  return trainer;
}

/** Throws a sentence where a trainer's base is not the one with the hash. */
export function checkBase(trainer: NativeTrainer, hash: string): void {
  const { baseHash } = trainer.info();
  if (baseHash !== hash)
    throw new Error(
      `The base model here is not the one that the adapter was trained on: its weights have the hash ${baseHash}, not ${hash}.`,
    );
}

/** How many layers a base has. */
export async function layersOf(weights: BaseWeights): Promise<number> {
  if (weights.format === 'safetensors') return Number(weights.hyperparameters.layers);
  const metadata = await native().readGgufMetadata(weights.path);
  return Number(metadata[`${metadata['general.architecture']}.block_count`]);
}
