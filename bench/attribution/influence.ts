/** Scores by the influence index, as it is kept beside an adapter. */
import { join } from 'node:path';
import {
  type InfluenceMethod,
  type InfluenceQuery,
  type NativeTrainer,
  native,
  type TrainingExample,
} from '../../native/binding/index.ts';
import { checkpointFile, readCheckpoint } from '../../plugins/attribution/fidelity/trainings.ts';
import { type GradientsAt, gradientsAt } from '../../plugins/attribution/gradients/adapter_trainer.ts';
import { bytesPerCheckpoint } from '../../plugins/training/influence_file.ts';
import type { Scored } from './methods.ts';
import type { Setting } from './retrains.ts';

export const influenceMethods: InfluenceMethod[] = [
  'repsim',
  'grad-dot',
  'cosine',
  'less',
  'datainf',
  'logra',
  'trak',
  'loss',
];

/** As trainings keep them, and as much again for gradients as AdamW scales them, which those do not keep. */
const bytesPerGradient = 2 * bytesPerCheckpoint;
const seed = 0;
/** Nobody else reads the index. */
const adapter = '00'.repeat(32);

export interface Influence {
  methods: Record<InfluenceMethod | 'trak-last', Scored>;
  indexBytesPerExample: number;
}

/** Of the training `id`, with all of its checkpoints. */
export async function influenceScores(
  trainer: NativeTrainer,
  { folder, recipe }: Setting,
  id: string,
  examples: TrainingExample[],
  queries: TrainingExample[],
): Promise<Influence> {
  const file = join(folder, `${id}.index`);
  const epochs = Array.from({ length: recipe.epochs }, (_, i) => i + 1);
  const checkpoints = epochs.map((epoch) => readCheckpoint(checkpointFile(folder, id, epoch)));
  const layout = trainer.influenceLayout({
    examples: examples.length,
    rates: checkpoints.map(({ learningRate }) => learningRate),
    bytesPerExample: checkpoints.length * bytesPerGradient,
    seed,
    preconditioned: true,
  });
  const writer = native().createInfluenceWriter(file, adapter, layout);
  trainer.setValues(checkpoints.at(-1)!.values);
  writer.add(await trainer.stateRows(examples, layout));
  const asked: InfluenceQuery[] = queries.map(() => ({ rows: 1, gradients: [] }));
  let gradientSeconds = 0;
  for (const { values, second, steps } of checkpoints) {
    trainer.setValues(values);
    trainer.restoreOptimizer({ steps, first: new Float32Array(values.length), second });
    writer.add(await trainer.gradientRows(examples, layout));
    const begin = performance.now();
    for (const [i, query] of queries.entries()) {
      const { gradients, states } = await trainer.influenceQuery(query, layout, {
        byToken: false,
        gradient: true,
      });
      asked[i]!.gradients!.push(gradients![0]);
      asked[i]!.states = states!; // The last checkpoint's stay.
    }
    gradientSeconds += since(begin);
  }
  await writer.finish();
  const index = native().openInfluenceIndex(file, adapter);
  const methods = {} as Influence['methods'];
  const measure = async (method: InfluenceMethod, at: GradientsAt, queries: InfluenceQuery[]) => {
    // What a method computes of the examples alone is kept after the first query.
    if (queries.length > 0) await index.scores(method, queries[0]!);
    const begin = performance.now();
    const scores: number[][] = [];
    for (const query of queries) scores.push(Array.from(await index.scores(method, query)));
    // A served answer's state comes with it. Methods of one checkpoint need its gradient alone.
    const gradients = { none: 0, last: gradientSeconds / checkpoints.length, all: gradientSeconds }[at];
    return { scores, secondsPerQuery: (since(begin) + gradients) / queries.length };
  };
  for (const method of influenceMethods) methods[method] = await measure(method, gradientsAt(method), asked);
  // As an index of the adapter alone has it.
  const last = asked.map((query) => ({
    ...query,
    gradients: query.gradients!.map((one, i) => (i < checkpoints.length - 1 ? undefined : one)),
  }));
  methods['trak-last'] = await measure('trak', 'last', last);
  return { methods, indexBytesPerExample: index.info().bytes / examples.length };
}

const since = (begin: number) => (performance.now() - begin) / 1000;
