import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Value } from 'typebox/value';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Isa, type NativeTrainer, native, type TrainingExample } from '../../native/binding/index.ts';
import { answers, preferences } from './objective.ts';
import { type Recipe, recipeSchema, scalingOf } from './recipe.ts';
import { bestStep, checkpointFolder, type RunOptions, type RunState, run } from './run.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-run-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const recipe = (change: Partial<Recipe> = {}): Recipe => ({
  ...(Value.Create(recipeSchema) as Recipe),
  epochs: 2,
  batch_size: 2,
  rank: 2,
  alpha: 4,
  targets: ['q', 'v'],
  evaluations: 3,
  dropout: 0.1,
  seed: 5,
  learning_rate: 2e-3,
  ...change,
});

function trainerOf(of: Recipe, threads: number, isa?: Isa): Promise<NativeTrainer> {
  const modules = [28, 29].flatMap((layer) =>
    of.targets.map((linear) => ({ layer, linear, rank: of.rank, scaling: scalingOf(of) })),
  );
  return native().createTrainer({
    model: { format: 'gguf', path: process.env.COLOPHON_TEST_MODEL! },
    modules,
    maxRows: 64,
    threads,
    ...(isa ? { isa } : {}),
  });
}

const example = (seed: number, length = 12): TrainingExample => ({
  tokens: Int32Array.from({ length }, (_, i) => 100 + ((seed * 7919 + i * 31) % 40_000)),
  weights: Float32Array.from({ length }, (_, i) => (i > length / 2 ? 1 : 0)),
});
const data = {
  train: [1, 2, 3, 4, 5].map((seed) => example(seed)),
  validation: [example(1, 10), example(6)],
  general: [example(9, 20)],
};
const options = (trainer: NativeTrainer, of: Recipe, at = folder): RunOptions<TrainingExample> => ({
  trainer,
  objective: answers(trainer),
  recipe: of,
  data,
  folder: at,
  describe: async (adapter) => writeFileSync(join(adapter, 'described'), ''),
});
const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
const adapterAt = (at: string, step: number) => join(checkpointFolder(at, step), 'adapter_model.safetensors');

describe('a run', () => {
  test('ends with its last checkpoint, having learned', async () => {
    const of = recipe({ dropout: 0, epochs: 18, batch_size: 5, patience: 0 });
    const trainer = await trainerOf(of, 2);
    const seen: number[] = [];
    const state = await run({ ...options(trainer, of), onProgress: (now) => seen.push(now.step) });
    expect(state).toMatchObject({ step: 18, ended: 'completed' });
    expect(seen).toEqual(Array.from({ length: 19 }, (_, i) => i));
    expect(state.log.filter(({ kept }) => kept).map(({ step }) => step)).toEqual([6, 12, 18]);
    expect(state.log.at(-1)!.train.loss).toBeLessThan(state.log[0]!.train.loss - 0.2);
    expect(state.before.general!.loss).toBeGreaterThan(0);
    expect(readdirSync(join(folder, 'checkpoints')).sort()).toEqual(['step-12', 'step-18', 'step-6']);
    expect(existsSync(join(checkpointFolder(folder, bestStep(state)), 'described'))).toBe(true);
  });

  test('gives the same bytes wherever it was interrupted, on any number of threads', async () => {
    const of = recipe();
    const whole = await run(options(await trainerOf(of, 1), of));
    const at = mkdtempSync(join(folder, 'again'));
    let state: RunState | undefined;
    // A process of its own each time, as far as the run can tell.
    while (!state?.ended) {
      const trainer = await trainerOf(of, 2);
      const stop = new AbortController();
      const before = state?.step ?? 0;
      state = await run({
        ...options(trainer, of, at),
        signal: stop.signal,
        onProgress: ({ step }) => {
          if (step >= before + 2) stop.abort();
        },
      });
    }
    expect(state).toEqual(whole);
    for (const { step } of whole.log.filter(({ validation }) => validation))
      expect(digest(adapterAt(at, step))).toBe(digest(adapterAt(folder, step)));
  });

  test('gives the same bytes with every instruction set of this machine', async () => {
    const of = recipe({ epochs: 1, batch_size: 3 });
    const digests = new Set<string>();
    for (const isa of native().machine().supported) {
      const at = mkdtempSync(join(folder, isa));
      const state = await run(options(await trainerOf(of, 1, isa), of, at));
      digests.add(digest(adapterAt(at, bestStep(state))));
    }
    expect(digests.size).toBe(1);
  });

  test('chooses a learning rate by itself, the same bytes as when it is given', async () => {
    const auto = recipe({ learning_rate: 'auto', epochs: 1 });
    const tried: number[] = [];
    const chosen = await run({
      ...options(await trainerOf(auto, 2), auto),
      onTried: ({ learningRate }) => tried.push(learningRate),
    });
    expect(chosen.sweep!.tried.map(({ learningRate }) => learningRate)).toEqual(tried);
    const least = chosen.sweep!.tried.reduce((a, b) => ((b.loss ?? Infinity) < a.loss! ? b : a));
    expect(chosen.learningRate).toBe(least.learningRate);
    const given = recipe({ learning_rate: chosen.learningRate, epochs: 1 });
    const at = mkdtempSync(join(folder, 'given'));
    const state = await run(options(await trainerOf(given, 1), given, at));
    expect(state.log).toEqual(chosen.log);
    expect(digest(adapterAt(at, bestStep(state)))).toBe(digest(adapterAt(folder, bestStep(chosen))));
  });

  test('loses nothing on a full disk, and goes on when there is room', async () => {
    const of = recipe({ epochs: 1, evaluations: 2 });
    const whole = mkdtempSync(join(folder, 'whole'));
    const undisturbed = await run(options(await trainerOf(of, 2), of, whole));
    // The kernel's own full disk, in the place of what is written.
    const full = (path: string) => symlinkSync('/dev/full', path);
    const go = async (trainer: NativeTrainer) => run(options(trainer, of));
    full(join(folder, `checkpoint.${process.pid}.part`));
    await expect(trainerOf(of, 2).then(go)).rejects.toMatchObject({ code: 'ENOSPC' });
    mkdirSync(checkpointFolder(folder, 2), { recursive: true });
    full(join(checkpointFolder(folder, 2), 'adapter_model.safetensors.part'));
    await expect(trainerOf(of, 2).then(go)).rejects.toThrow('No space left');
    const state = await go(await trainerOf(of, 2));
    expect(state).toEqual(undisturbed);
    expect(digest(adapterAt(folder, 3))).toBe(digest(adapterAt(whole, 3)));
    expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  test('stops early where the held-out loss gets no better, and keeps the best', async () => {
    // What is held out contradicts what is learned.
    const of = recipe({ epochs: 20, evaluations: 20, patience: 2, learning_rate: 1e-2, dropout: 0 });
    const trainer = await trainerOf(of, 2);
    const state = await run({ ...options(trainer, of), data: { ...data, validation: [example(77)] } });
    expect(state.ended).toBe('stopped_early');
    expect(state.worse).toBe(2);
    const losses = state.log.flatMap(({ step, validation }) =>
      validation ? [[step, validation.loss] as const] : [],
    );
    const least = losses.reduce((a, b) => (b[1] < a[1] ? b : a));
    expect(bestStep(state)).toBe(least[0]);
  });

  test('without held-out data its last step is its best', async () => {
    const of = recipe({ epochs: 1 });
    const trainer = await trainerOf(of, 2);
    const state = await run({ ...options(trainer, of), data: { ...data, validation: [], general: [] } });
    expect(bestStep(state)).toBe(3);
    expect(state.before).toEqual({});
  });

  test('learns preferences', async () => {
    const of = recipe({
      method: 'dpo',
      epochs: 10,
      batch_size: 1,
      learning_rate: 5e-3,
      dropout: 0,
      patience: 0,
    });
    const trainer = await trainerOf(of, 2);
    const pairs = [{ preferred: example(1), other: example(2) }];
    const state = await run({
      ...options(trainer, of),
      objective: preferences(trainer, of),
      data: { train: pairs, validation: pairs, general: [] },
    } as never);
    expect(state.log[0]!.train.loss).toBeCloseTo(Math.log(2), 4);
    expect(state.log.at(-1)!.validation!).toMatchObject({ accuracy: 1 });
    expect(state.log.at(-1)!.validation!.loss).toBeLessThan(Math.log(2));
  });

  test('with nothing to learn says so', async () => {
    const of = recipe();
    const trainer = await trainerOf(of, 1);
    await expect(run({ ...options(trainer, of), data: { ...data, train: [] } })).rejects.toThrow(
      'nothing to train',
    );
  });
});
