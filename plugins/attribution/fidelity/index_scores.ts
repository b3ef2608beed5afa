/** What an adapter's own influence index says of queries: as answers are settled by it. */
import { join } from 'node:path';
import { type BaseWeights, influenceIndexFile } from '../../../gateway/contract/index.ts';
import { type InfluenceMethod, native, type TrainingExample } from '../../../native/binding/index.ts';
import { checkBase } from '../../training/recipe_trainer.ts';
import { openAdapter, queryOf } from '../gradients/adapter_trainer.ts';
import { candidates } from './fidelity_file.ts';

export interface IndexScores {
  weights: BaseWeights;
  /** Of the base that it has to be. */
  baseHash: string;
  /** Of the adapter, and its content hash. */
  folder: string;
  adapter: string;
  threads: number;
  /** Tokens of the longest query. */
  longest: number;
  queries: readonly TrainingExample[];
  /** Those that scores are wanted of, by their numbers in the index. */
  examples: readonly number[];
  signal?: AbortSignal;
}

/** By method [queries][examples]: all that the index has, and the loss, which knows nothing of a query. Rejects where it is damaged. */
export async function indexScores(of: IndexScores): Promise<Record<string, number[][]>> {
  const index = native().openInfluenceIndex(join(of.folder, influenceIndexFile), of.adapter);
  await index.check();
  const layout = index.info();
  const methods: InfluenceMethod[] = [
    ...candidates.filter((method) => method !== 'less' || layout.preconditioned),
    'loss',
  ];
  const opened = await openAdapter(of);
  checkBase(opened.trainer, of.baseHash);
  const found: Record<string, number[][]> = Object.fromEntries(methods.map((method) => [method, []]));
  for (const query of of.queries) {
    of.signal?.throwIfAborted();
    const asked = await queryOf(opened, query, layout, 'all');
    for (const method of methods) {
      const scores = await index.scores(method, asked);
      found[method]!.push(of.examples.map((example) => scores[example]!));
    }
  }
  return found;
}
