/** An adapter as it lies on the disk, opened to ask what moved it to an answer. */
import { join } from 'node:path';
import { type BaseWeights, influenceCheckpointsFile } from '../../../gateway/contract/index.ts';
import {
  type InfluenceLayout,
  type InfluenceMethod,
  type InfluenceQuery,
  type NativeTrainer,
  native,
  type TrainerOptions,
  type TrainingExample,
} from '../../../native/binding/index.ts';
import { readInfluenceCheckpoints } from '../../training/influence_checkpoints.ts';
import { modulesOf } from './modules.ts';

/** At which of its index's checkpoints a method takes an answer's gradient; the last is the adapter itself. */
export type GradientsAt = 'none' | 'last' | 'all';

export function gradientsAt(method: InfluenceMethod): GradientsAt {
  if (method === 'repsim' || method === 'loss') return 'none';
  return method === 'datainf' || method === 'logra' ? 'last' : 'all';
}

export interface OpenedAdapter {
  trainer: NativeTrainer;
  /** The values of the adapter, and those of the checkpoints before it. */
  own: Float32Array;
  earlier: readonly Float32Array[];
}

/** `adapter`: its content hash. `longest`: tokens of the longest question and answer. Rejects with a sentence. */
export async function openAdapter(of: {
  weights: BaseWeights;
  folder: string;
  adapter: string;
  threads: number;
  longest: number;
}): Promise<OpenedAdapter> {
  const trainer = await native().createTrainer({
    model: of.weights as TrainerOptions['model'],
    threads: of.threads,
    modules: await modulesOf(of.folder),
    maxRows: of.longest,
  });
  await trainer.load(join(of.folder, 'adapter_model.safetensors'));
  const own = trainer.values();
  const earlier = await readInfluenceCheckpoints(of.folder, of.adapter);
  if (earlier.some(({ length }) => length !== own.length))
    throw new Error(
      `${join(of.folder, influenceCheckpointsFile)} has ${earlier[0]!.length} values of each checkpoint, and the adapter ${own.length}.`,
    );
  return { trainer, own, earlier };
}

/** What an adapter's influence index is asked of an answer. Where its checkpoints are not beside it, only its last knows the gradient. */
export async function queryOf(
  { trainer, own, earlier }: OpenedAdapter,
  answer: TrainingExample,
  layout: InfluenceLayout,
  at: GradientsAt,
): Promise<InfluenceQuery> {
  const gradients: Array<Float32Array | undefined> = Array(layout.rates.length).fill(undefined);
  const of = (gradient: boolean) => trainer.influenceQuery(answer, layout, { byToken: false, gradient });
  if (at === 'all' && earlier.length === layout.rates.length - 1) {
    try {
      for (const [checkpoint, values] of earlier.entries()) {
        trainer.setValues(values);
        gradients[checkpoint] = (await of(true)).gradients![0];
      }
    } finally {
      trainer.setValues(own);
    }
  }
  const query = await of(at !== 'none');
  if (!query.gradients) return query;
  gradients[gradients.length - 1] = query.gradients[0];
  return { ...query, gradients };
}
