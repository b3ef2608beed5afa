/** The trainings of a work folder, and the trainer that they are made with. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Retrained, type Retraining, retrained } from '../../plugins/attribution/fidelity/retrains.ts';
import type { Retrain } from '../../plugins/attribution/fidelity/subsets.ts';
import { checkpointFile, readCheckpoint } from '../../plugins/attribution/fidelity/trainings.ts';
import { adapterConfigOf } from '../../plugins/training/inputs.ts';
import type { Recipe } from '../../plugins/training/recipe.ts';
import { layersOf, type RecipeTrainer, recipeTrainer } from '../../plugins/training/recipe_trainer.ts';
import { say } from '../lib/main.ts';
import type { FidelityData } from './data.ts';

export interface Setting {
  gguf: string;
  recipe: Recipe;
  threads: number;
  folder: string;
}

/** Of each task in its order; the missing ones are trained, in a process of their own. */
export async function trained(
  setting: Setting,
  { train, queries, mislabelled }: FidelityData,
  tasks: Retrain[],
): Promise<Retrained[]> {
  const retraining: Retraining = {
    ...(await trainerOf(setting)),
    share: 1,
    background: true,
    folder: setting.folder,
    data: { train: train.examples, queries: queries.examples, swapped: mislabelled },
  };
  let done = 0;
  return retrained(retraining, tasks, { onTrained: ({ id }) => say(`Trained ${id} (${++done}).`) });
}

async function trainerOf({ gguf, recipe, threads }: Setting): Promise<RecipeTrainer> {
  const weights = { format: 'gguf' as const, path: gguf };
  return { weights, layers: await layersOf(weights), recipe, threads, activationBytes: 2 ** 30 };
}

export const createTrainer = async (setting: Setting) => recipeTrainer(await trainerOf(setting));

/** The folder of the adapter that a training with checkpoints ended with, as PEFT has it. */
export async function adapterOf(setting: Setting, id: string): Promise<string> {
  const { gguf, recipe, folder } = setting;
  const adapter = join(folder, `adapter-${id}`);
  const config = join(adapter, 'adapter_config.json');
  if (existsSync(config)) return adapter;
  mkdirSync(adapter, { recursive: true });
  const trainer = await createTrainer(setting);
  trainer.setValues(readCheckpoint(checkpointFile(folder, id, recipe.epochs)).values);
  await trainer.save(join(adapter, 'adapter_model.safetensors'));
  // Written last: where it is, all is there.
  writeFileSync(config, JSON.stringify(adapterConfigOf(gguf, recipe), undefined, 2));
  return adapter;
}
