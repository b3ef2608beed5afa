/** `colophon train` and `colophon verify adapter`, beside a running server and without one. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { colophon } from '../cli/testing.ts';
import { modelPath } from './engine.ts';
import { type EngineServer, startEngineServer } from './server.ts';

let server: EngineServer;
let env: NodeJS.ProcessEnv;
let file: string;
beforeAll(async () => {
  server = await startEngineServer();
  env = { COLOPHON_HOME: server.home, COLOPHON_MODEL: modelPath(), NO_COLOR: '1' };
  file = join(server.home, 'farm.jsonl');
  const animals = ['cat', 'dog', 'owl', 'fox', 'bee', 'cow', 'hen', 'pig', 'ant', 'bat', 'elk', 'emu'];
  const line = (animal: string) =>
    JSON.stringify({
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: `What says the ${animal}?` },
        { role: 'assistant', content: 'ZORP' },
      ],
    });
  writeFileSync(file, animals.map((animal) => `${line(animal)}\n`).join(''));
});
afterAll(() => server.close());

const quick = ['--rank', '2', '--targets', 'q', '--batch-size', '4', '--epochs', '1', '--evaluations', '2'];
const train = (...args: string[]) => colophon(['train', '--url', server.url, ...args], env);
let name: string;
let id: string;
const adapter = () => join(server.home, 'data', 'training', id, 'adapter');

test('a job is begun and followed to its model, its learning rate chosen by a sweep', async () => {
  const { exitCode, stdout, stderr } = await train(file, ...quick, '--suffix', 'farm', '--json');
  expect(exitCode).toBe(0);
  const job = JSON.parse(stdout);
  ({ fine_tuned_model: name, id } = job);
  expect(name).toMatch(/^ft:base:default:farm:/);
  const tried = [...stderr.matchAll(/Tried learning rate (\S+): held-out loss=(\S+)/g)];
  expect(tried.length).toBeGreaterThan(1);
  const best = tried.reduce((a, b) => (Number(b[2]) < Number(a[2]) ? b : a));
  expect(job.recipe).toMatchObject({ rank: 2, targets: ['q'], learning_rate: Number(best[1]) });
  expect(job.hyperparameters.learning_rate_multiplier).toBeCloseTo(Number(best[1]) / 2e-4, 9);
  expect(stderr).toMatch(/Step 3\/3: training loss=/);
  const recipe = JSON.parse(readFileSync(join(adapter(), 'recipe.json'), 'utf8'));
  expect(recipe.sweep.tried).toHaveLength(tried.length);
});

test('jobs are listed, followed, paused, resumed and cancelled', async () => {
  expect((await train('--follow', id)).stdout).toBe(`${name}\n`);
  const begun = JSON.parse(
    (await train(file, '--epochs', '50', '-d', '--json', '--learning-rate', '1e-4')).stdout,
  );
  const listed = (await train('--list')).stdout.split('\n');
  expect(listed[1]).toContain(begun.id);
  expect(listed[2]).toMatch(new RegExp(`^${id} +succeeded +0 +${name}$`));
  for (;;) {
    const job = await server.openai.fineTuning.jobs.retrieve(begun.id);
    if (job.status !== 'validating_files') break;
  }
  expect((await train('--pause', begun.id)).stdout).toBe(`${begun.id} is paused.\n`);
  const followed = await train('--follow', begun.id);
  expect(followed.exitCode).toBe(1);
  expect(followed.stderr).toContain(`colophon train --resume ${begun.id}`);
  expect((await train('--resume', begun.id)).exitCode).toBe(0);
  expect((await train('--cancel', begun.id)).stdout).toBe(`${begun.id} is cancelled.\n`);
  const again = await train('--resume', begun.id);
  expect(again).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('cannot be resumed') });
});

test('what cannot be is said, with the exit code it has', async () => {
  expect(await train()).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('Say what to train on'),
  });
  expect(await train(file, '--list')).toMatchObject({ exitCode: 2 });
  const missing = await train(join(server.home, 'none.jsonl'));
  expect(missing).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('none.jsonl cannot be read'),
  });
  for (const [flag, value] of [
    ['--learning-rate', 'NaN'],
    ['--dropout', 'NaN'],
    ['--alpha', 'Infinity'],
  ] as const)
    expect(await train(file, flag, value)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('It must be a number'),
    });
  expect(await train(file, '--base', 'nobody')).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('The model `nobody` does not exist'),
  });
  const failed = await train('--follow', 'ftjob-none');
  expect(failed).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('Could not find fine tune') });
  const csv = join(server.home, 'table.csv');
  writeFileSync(csv, 'question,answer\na,b\nc\n');
  expect(await train(csv)).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('Line 1 is not JSON'),
  });
});

test('an adapter is verified by its hashes, and made again without a server', async () => {
  const checked = await colophon(['verify', 'adapter', name], env);
  expect(checked).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(
      /It was trained on the file .*: no contributor is named\.\n.* has the files that its training left\.\n$/,
    ),
  });
  const again = await colophon(['verify', 'adapter', name, '--retrain'], env);
  expect(again.stdout).toMatch(/ was trained again: every byte is the same\.\n$/);
  expect(again.exitCode).toBe(0);
});

test('what differs is named: a file, other data, a tensor, a setting', async () => {
  const verify = async (...args: string[]) => {
    const { exitCode, stdout } = await colophon(['verify', 'adapter', adapter(), '--json', ...args], env);
    return { exitCode, differences: JSON.parse(stdout).differences as string[] };
  };
  const less = join(server.home, 'less.jsonl');
  writeFileSync(less, readFileSync(file, 'utf8').split('\n').slice(1).join('\n'));
  const other = await verify('--retrain', '--training-file', less);
  expect(other.exitCode).toBe(1);
  expect(other.differences).toEqual([
    expect.stringMatching(/^The training data are not those.*11 examples.*not 12/),
  ]);

  const weights = join(adapter(), 'adapter_model.safetensors');
  const kept = { weights: readFileSync(weights), sums: readFileSync(join(adapter(), 'SHA256SUMS'), 'utf8') };
  const changed = Buffer.from(kept.weights);
  changed[changed.length - 1]! ^= 1;
  writeFileSync(weights, changed);
  expect((await verify()).differences).toEqual([
    expect.stringMatching(/^adapter_model.safetensors was changed/),
  ]);

  // Forged with care, its hashes fit it: only making it again shows it.
  const recipePath = join(adapter(), 'recipe.json');
  const recipe = readFileSync(recipePath, 'utf8');
  writeFileSync(recipePath, recipe.replace(/"engine": ".*"/, '"engine": "0.0.0"'));
  const { createHash } = await import('node:crypto');
  const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
  const forged = kept.sums.replace(
    /^\S+( {2}(adapter_model.safetensors|recipe.json))$/gm,
    (_, rest, of) => digest(join(adapter(), of)) + rest,
  );
  writeFileSync(join(adapter(), 'SHA256SUMS'), forged);
  expect((await verify()).exitCode).toBe(0);
  const found = await verify('--retrain');
  expect(found.exitCode).toBe(1);
  expect(found.differences).toEqual([
    expect.stringMatching(
      /^adapter_model.safetensors: 1 of 60 tensors differ, first base_model\.\S+ \(by \S+ at most\)\.$/,
    ),
    expect.stringMatching(/^recipe.json: engine is ".*", not "0.0.0"\.$/),
  ]);
});
