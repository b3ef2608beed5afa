/** The index by which answers are attributed: what a run leaves, when it is ended in between and when not. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Value } from 'typebox/value';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { adapterHash } from '../../gateway/contract/index.ts';
import { type NativeTrainer, native, type TrainingExample } from '../../native/binding/index.ts';
import { readHyperparameters } from '../backends/native/hf_hyperparameters.ts';
import { readInfluenceCheckpoints } from './influence_checkpoints.ts';
import { influenceCheckpoints, writeInfluence } from './influence_file.ts';
import { type Recipe, recipeSchema } from './recipe.ts';
import { checkpointFolder, type RunState } from './run.ts';

/** Four layers of random weights. */
const tiny = fileURLToPath(new URL('../../gateway/e2e/fixtures/architectures/qwen3', import.meta.url));
const config = join(tiny, 'config.json');

const recipe = (influence_checkpoints: number): Recipe => ({
  ...(Value.Create(recipeSchema) as Recipe),
  influence_checkpoints,
});
const example = (seed: number): TrainingExample => ({
  tokens: Int32Array.from({ length: 12 }, (_, i) => (seed * 41 + i * i * 7) % 128),
  weights: Float32Array.from({ length: 12 }, (_, i) => (i > 6 ? 1 : 0)),
});
const items = [1, 2, 3, 4, 5, 6].map(example);
const row = (step: number, kept?: true) => ({
  step,
  train: { loss: 1, accuracy: 0 },
  learningRate: step / 10,
  gradientNorm: 1,
  ...(kept ? { kept } : {}),
});
/** Of six steps, of which each second one is kept and the fourth is the best. */
const state = {
  step: 6,
  log: [row(1), row(2, true), row(3), row(4, true), row(5), row(6, true)],
  best: { step: 4, loss: 1 },
  ended: 'completed',
} as unknown as RunState;

let trainer: NativeTrainer;
beforeAll(async () => {
  const modules = (['q', 'v'] as const).map((linear) => ({ layer: 3, linear, rank: 2, scaling: 2 }));
  trainer = await native().createTrainer({
    model: {
      format: 'safetensors',
      paths: [join(tiny, 'model.safetensors')],
      hyperparameters: readHyperparameters(JSON.parse(readFileSync(config, 'utf8')), config),
    },
    modules,
    maxRows: 64,
  });
});

let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-influence-'));
  trainer.initialise(1);
  for (const step of [2, 4, 6]) {
    const adapter = checkpointFolder(folder, step);
    mkdirSync(adapter, { recursive: true });
    await trainer.step(items, { learningRate: 0.01 });
    await trainer.save(join(adapter, 'adapter_model.safetensors'));
    writeFileSync(join(adapter, 'adapter_config.json'), '{}\n');
  }
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const index = () => join(folder, 'influence.index');
const rows = () => join(folder, 'influence.index.rows');
const hash = async (step: number) => {
  const of = async (name: string) =>
    Buffer.from(await native().hashFile(join(checkpointFolder(folder, step), name)), 'hex');
  return adapterHash(await of('adapter_config.json'), await of('adapter_model.safetensors'));
};
const write = (most: number, signal?: AbortSignal) =>
  writeInfluence(folder, { trainer, items, recipe: recipe(most), state, ...(signal ? { signal } : {}) });

test('checkpoints up to the adapter itself, each standing for the steps before it', () => {
  expect(influenceCheckpoints(state, 0)).toEqual([]);
  expect(influenceCheckpoints(state, 1)).toEqual([{ step: 4, rate: expect.closeTo(1, 9) }]);
  const both = [
    { step: 2, rate: expect.closeTo(0.3, 9) },
    { step: 4, rate: expect.closeTo(0.7, 9) },
  ];
  expect(influenceCheckpoints(state, 2)).toEqual(both);
  expect(influenceCheckpoints(state, 3)).toEqual(both);
  const last = influenceCheckpoints({ ...state, best: undefined }, 2);
  expect(last.map(({ step }) => step)).toEqual([4, 6]);
});

test('an example is found by its own state and gradients, at the adapter as it was left', async () => {
  expect(await write(2)).toBe(true);
  expect(existsSync(rows())).toBe(false);
  await expect(async () => native().openInfluenceIndex(index(), await hash(6))).rejects.toThrow(
    /is of another adapter/,
  );
  const opened = native().openInfluenceIndex(index(), await hash(4));
  await opened.check();
  const layout = opened.info();
  expect(layout).toMatchObject({ examples: 6, hidden: 32 });
  expect(layout.rates).toEqual(influenceCheckpoints(state, 2).map(({ rate }) => rate));
  await trainer.load(join(checkpointFolder(folder, 4), 'adapter_model.safetensors'));
  const { trained, base } = opened.losses();
  const [ours] = await trainer.evaluate([items[3]!]);
  expect(trained[3]).toBeCloseTo(ours!.loss / ours!.weight, 5);
  expect(base[3]).toBeGreaterThan(trained[3]!);
  for (const byToken of [false, true]) {
    const query = await trainer.influenceQuery(items[3]!, layout, { byToken, gradient: true });
    expect(query.rows).toBe(byToken ? 5 : 1);
    const gradients = [undefined, query.gradients![0]];
    for (const method of ['repsim', 'grad-dot', 'cosine', 'datainf', 'logra', 'trak'] as const) {
      const scores = await opened.scores(method, { ...query, gradients });
      const sums = items.map((_, i) => {
        let sum = 0;
        for (let token = 0; token < query.rows; token++) sum += scores[token * items.length + i]!;
        return sum;
      });
      expect(Math.max(...sums), method).toBe(sums[3]);
      if (method === 'repsim' || method === 'cosine') expect(sums[3]).toBeCloseTo(1, 1);
    }
  }
  const [earlier, ...others] = await readInfluenceCheckpoints(folder, await hash(4));
  expect(others).toEqual([]);
  await trainer.load(join(checkpointFolder(folder, 2), 'adapter_model.safetensors'));
  expect(earlier).toEqual(trainer.values());
  await expect(opened.scores('repsim', { rows: 1 })).rejects.toThrow(/1 rows of 32 are needed/);
  await expect(async () => opened.scores('best' as never, { rows: 1 })).rejects.toThrow(
    /no influence method/,
  );
});

test('where it is ended and begun again does not change a byte', async () => {
  await write(2);
  const whole = readFileSync(index());
  rmSync(index());
  let stopped = 0;
  for (let looks = 1; ; looks++) {
    // Ends before the piece of that number, counted from where it began.
    let left = looks === 1 ? 0 : 2;
    const signal = {
      get aborted() {
        return left-- <= 0;
      },
    } as AbortSignal;
    if (await write(2, signal)) break;
    expect(existsSync(index())).toBe(false);
    stopped++;
  }
  expect(stopped).toBeGreaterThan(2);
  expect(readFileSync(index()).equals(whole)).toBe(true);
});

test('rows that are damaged, cut, or of another training are made again', async () => {
  await write(2);
  const whole = readFileSync(index());
  const after = (pieces: number) => {
    let left = pieces;
    return write(2, {
      get aborted() {
        return left-- <= 0;
      },
    } as AbortSignal);
  };
  for (const spoil of [
    (bytes: Buffer) => {
      bytes[bytes.length - 40]! ^= 1;
      return bytes;
    },
    (bytes: Buffer) => bytes.subarray(0, bytes.length - 1),
    (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('more')]),
    (bytes: Buffer) => Buffer.concat([Buffer.alloc(32), bytes.subarray(32)]),
    () => Buffer.alloc(0),
  ]) {
    rmSync(index(), { force: true });
    expect(await after(3)).toBe(false);
    writeFileSync(rows(), spoil(readFileSync(rows())));
    expect(await write(2)).toBe(true);
    expect(readFileSync(index()).equals(whole)).toBe(true);
  }
});

test('of pairs the answers that were preferred teach, and none are kept where none are wanted', async () => {
  await write(1);
  const whole = readFileSync(index());
  rmSync(index());
  const pairs = items.map((preferred) => ({ preferred, other: example(9) }));
  await writeInfluence(folder, { trainer, items: pairs, recipe: recipe(1), state });
  expect(readFileSync(index()).equals(whole)).toBe(true);
  rmSync(index());
  expect(await write(0)).toBe(true);
  expect(existsSync(index())).toBe(false);
});
