/** Measures the fidelity of one adapter as it lies on the disk, and leaves the report beside it. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type BaseWeights,
  corpusFile,
  type ExampleOrigin,
  influenceIndexFile,
} from '../../../gateway/contract/index.ts';
import { native, type TrainingExample } from '../../../native/binding/index.ts';
import { digestOf, type RecipeFile } from '../../training/adapter.ts';
import { layersOf } from '../../training/recipe_trainer.ts';
import { planOf } from '../../training/schedule.ts';
import { hashOfAdapter, originsFile } from '../../training/traced.ts';
import { type MadeOf, readAgain } from '../../training/verify.ts';
import { Origins } from '../corpus.ts';
import { type Fidelity, writeFidelity } from './fidelity_file.ts';
import { type Drawn, drawn, swapped } from './held_out.ts';
import { indexScores } from './index_scores.ts';
import { type Cost, costOf, type Measuring, measured } from './measure.ts';
import { fingerprint } from './retrain_job.ts';
import type { Retraining, RetrainWatch } from './retrains.ts';
import { stepsOf } from './trainings.ts';

export interface MeasuredAdapter extends MadeOf {
  /** Of the adapter, which is as its training left it. */
  folder: string;
  weights: BaseWeights;
  threads: number;
  activationBytes: number;
  /** Trainings that are done are kept in a folder of their own below it. */
  cache: string;
  /** At most; rounds of removals. */
  wanted: { examples: number; queries: number; retrains: number; rounds: number };
}

/** What is about to be done, before it is. */
export interface MeasuringPlan {
  /** Trained on again, of all. */
  examples: number;
  of: number;
  queries: number;
  heldOut: Drawn['queries']['from'];
  cost: Cost;
  /** Of one training on half of them. */
  steps: number;
  /** Of an example, over all epochs of a training. */
  tokensPerExample: number;
  /** Where they are kept. */
  folder: string;
}

export interface MeasuringWatch extends RetrainWatch {
  onPlan?(plan: MeasuringPlan): void;
}

/** Why there is nothing to measure of an adapter, a sentence; undefined where there is. */
export function nothingToMeasure(folder: string, { name, recipe }: RecipeFile): string | undefined {
  if (recipe.method !== 'supervised')
    return `${name} learned to prefer one answer to another (${recipe.method}); fidelity is measured of what answers taught (supervised).`;
  if (!existsSync(join(folder, corpusFile)))
    return `${name} was trained on a file, not on a Datanet: nobody is named as having taught it, and its answers have no shares.`;
  if (!existsSync(join(folder, influenceIndexFile)))
    return `${name} has no ${influenceIndexFile}, as its recipe has influence_checkpoints ${recipe.influence_checkpoints ?? 0}: its answers are settled by spans alone. Train it with 1 or more.`;
  return undefined;
}

/** Goes on with what an earlier run of the same left. Rejects with a sentence; the report there was stays then. */
export async function measureAdapter(of: MeasuredAdapter, watch: MeasuringWatch = {}): Promise<Fidelity> {
  const { folder, made, wanted } = of;
  const adapter = await hashOfAdapter(folder);
  const { training, validation, givers } = await readData(of);
  const draw = drawn(training, validation, wanted);
  const queriesOf = draw.queries.from === 'validation' ? validation : training;
  const train = draw.examples.map((at) => training[at]!);
  const queries = draw.queries.positions.map((at) => queriesOf[at]!);
  const wrong = swapped(train, made.recipe.max_tokens);
  const data = { train, queries, swapped: wrong.swapped };
  const share = made.step / planOf(made.recipe, training.length).steps;
  const engine = native().machine().version;
  const way = { adapter, engine, share, recipe: made.recipe };
  const retraining: Retraining = {
    weights: of.weights,
    layers: await layersOf(of.weights),
    recipe: made.recipe,
    baseHash: made.base_hash,
    threads: of.threads,
    activationBytes: of.activationBytes,
    share,
    folder: join(of.cache, 'fidelity', fingerprint(way, data)),
    data,
  };
  const measuring: Measuring = {
    retraining,
    differs: wrong.differs,
    retrains: wanted.retrains,
    rounds: wanted.rounds,
    ...(await classesOf({ folder, adapter, training, givers }, draw)),
    indexScores: () =>
      indexScores({
        weights: of.weights,
        baseHash: made.base_hash,
        folder,
        adapter,
        threads: of.threads,
        longest: made.recipe.max_tokens,
        queries,
        examples: draw.examples,
        ...(watch.signal ? { signal: watch.signal } : {}),
      }),
  };
  watch.onPlan?.(planned(measuring, training.length, draw));
  const found = await measured(measuring, watch);
  const report: Fidelity = {
    format: 1,
    adapter,
    recipe: await digestOf(join(folder, 'recipe.json')),
    engine,
    data: {
      examples: train.length,
      of: training.length,
      queries: queries.length,
      heldOut: draw.queries.from,
      share,
    },
    ...found,
  };
  await writeFidelity(folder, report);
  return report;
}

function planned(of: Measuring, all: number, { queries }: Drawn): MeasuringPlan {
  const { recipe, share, data, folder } = of.retraining;
  const tokens = data.train.reduce((sum, example) => sum + example.tokens.length, 0);
  return {
    examples: data.train.length,
    of: all,
    queries: data.queries.length,
    heldOut: queries.from,
    cost: costOf(of),
    steps: stepsOf(recipe, share, data.train.length >> 1),
    tokensPerExample: (tokens / data.train.length) * recipe.epochs * share,
    folder,
  };
}

/** Both as they were learned; with who gave each that was held out, where that is known. Rejects where they are not those of the recipe. */
async function readData(of: MeasuredAdapter) {
  const origins = await mkdtemp(join(tmpdir(), 'colophon-fidelity-'));
  try {
    const read = await readAgain(of, { validation: origins });
    if ('faults' in read) throw new Error(read.faults.join(' '));
    const path = join(origins, originsFile);
    const lines = existsSync(path) ? (await readFile(path, 'utf8')).trimEnd().split('\n') : undefined;
    return {
      training: read.training as TrainingExample[],
      validation: read.validation as TrainingExample[],
      givers: lines?.map((line) => (JSON.parse(line) as ExampleOrigin).contributor),
    };
  } finally {
    await rm(origins, { recursive: true, force: true });
  }
}

/** An example's class is who gave it. */
async function classesOf(
  of: { folder: string; adapter: string; training: TrainingExample[]; givers: string[] | undefined },
  { examples, queries: { from, positions } }: Drawn,
): Promise<Pick<Measuring, 'classes'>> {
  const origins = await Origins.open(of.folder, of.adapter, of.training.length);
  if (!origins || (from === 'validation' && !of.givers)) return {};
  const learned = async (numbers: number[]) => {
    const found = await origins.of(numbers);
    return numbers.map((number) => found.get(number)!.contributor);
  };
  return {
    classes: {
      examples: await learned(examples),
      queries: from === 'validation' ? positions.map((at) => of.givers![at]) : await learned(positions),
    },
  };
}
