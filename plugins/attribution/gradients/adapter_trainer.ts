/** An adapter as it lies on the disk, opened to ask what moved it to an answer. */
import { join } from 'node:path';
import type { BaseWeights } from '../../../gateway/contract/index.ts';
import {
  type InfluenceLayout,
  type InfluenceQuery,
  type NativeTrainer,
  native,
  type TrainerOptions,
  type TrainingExample,
} from '../../../native/binding/index.ts';
import { modulesOf } from './modules.ts';

/** `longest`: tokens of the longest question and answer. */
export async function adapterTrainer(of: {
  weights: BaseWeights;
  folder: string;
  threads: number;
  longest: number;
}): Promise<NativeTrainer> {
  const trainer = await native().createTrainer({
    model: of.weights as TrainerOptions['model'],
    threads: of.threads,
    modules: await modulesOf(of.folder),
    maxRows: of.longest,
  });
  await trainer.load(join(of.folder, 'adapter_model.safetensors'));
  return trainer;
}

/** What its influence index is asked of an answer: the adapter itself is the last of the index's checkpoints. */
export async function queryOf(
  trainer: NativeTrainer,
  answer: TrainingExample,
  layout: InfluenceLayout,
  gradient: boolean,
): Promise<InfluenceQuery> {
  const query = await trainer.influenceQuery(answer, layout, { byToken: false, gradient });
  if (!query.gradients) return query;
  return { ...query, gradients: [...Array(layout.rates.length - 1), query.gradients[0]] };
}
