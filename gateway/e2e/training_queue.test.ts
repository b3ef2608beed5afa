/** Jobs that wait: on a snapshot of which a part is taken back meanwhile, under one name, and with settings that are no numbers. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { digestOf } from '../../plugins/training/adapter.ts';
import { colophon } from '../cli/testing.ts';
import {
  accepted as acceptedBy,
  done as asked,
  chatLine,
  frozen as frozenIn,
  until as untilIn,
} from './datanet_client.ts';
import { type ServerProcess, startServerProcess } from './server_process.ts';
import { writeTinyBase } from './tiny_base.ts';
import { holdTrainer, type JobFiles, retrieveJob, uploadExamples } from './training_jobs.ts';

const home = mkdtempSync(join(tmpdir(), 'colophon-training-queue-'));
let server: ServerProcess;
let files: JobFiles;
let contributor: string;

beforeAll(async () => {
  server = await startServerProcess(home, {
    model: writeTinyBase(join(home, 'base')),
    config: { plugins: { native: { demo_adapters: false } } },
  });
  files = await uploadExamples(server);
  await done('POST', '/datanets', { name: 'farm', kinds: ['chat'] });
  contributor = (await done('POST', '/datanets/farm/contributors', { name: 'Ada' })).id;
});
afterAll(async () => {
  await server.kill();
  rmSync(home, { recursive: true, force: true });
});

const done = (method: string, path: string, body?: unknown) => asked(server, method, path, body);
const until = (path: string, state: string) => untilIn(server, path, state);
const jobPath = (id: string) => `/v1/fine_tuning/jobs/${id}`;

const accepted = (words: string[]) =>
  acceptedBy(
    server,
    'farm',
    contributor,
    words.map((word) => chatLine(`What says the ${word}?`, 'ZORP')),
  );
const frozen = () => frozenIn(server, 'farm');

const recipe = { rank: 2, batch_size: 4, epochs: 2, evaluations: 1, learning_rate: 1e-3 };
const create = async (change: object): Promise<string> =>
  (await done('POST', '/v1/fine_tuning/jobs', { model: 'base', recipe, ...change })).id;

test('a job that waits does not learn from what was taken back meanwhile, and says so', async () => {
  await accepted(['cat', 'dog', 'owl', 'fox', 'bee', 'cow', 'hen', 'pig', 'ant', 'bat']);
  const secret = await accepted(['xylograph']);
  const snapshot = await frozen();
  // One job runs at once.
  const first = await create({ ...files, recipe: { ...recipe, epochs: 50 } });
  await holdTrainer(home);
  const [waits, rests] = [
    await create({ training_file: `datanet:farm@${snapshot}`, suffix: 'waits' }),
    await create({ training_file: `datanet:farm@${snapshot}`, suffix: 'rests' }),
  ];
  await until(jobPath(waits), 'queued');
  await until(jobPath(rests), 'queued');
  await done('POST', `${jobPath(rests)}/pause`);
  expect((await retrieveJob(server, first)).status).toBe('running');

  await done('POST', `/datanets/farm/contributions/${secret}/withdraw`, {});
  await done('POST', `${jobPath(first)}/cancel`);
  await until(jobPath(waits), 'failed');
  await done('POST', `${jobPath(rests)}/resume`);
  await until(jobPath(rests), 'failed');
  for (const id of [waits, rests]) {
    const { error, fine_tuned_model } = await retrieveJob(server, id);
    expect(error).toMatchObject({
      code: 'contribution_withdrawn',
      message: expect.stringContaining(secret),
    });
    expect(fine_tuned_model).toBeNull();
    const { data } = await done('GET', `${jobPath(id)}/events`);
    expect(data.map(({ message }: { message: string }) => message)).toContain(error.message);
    // Nor are its tokens kept.
    const kept = join(home, 'data', 'training', id, 'train.bin');
    await expect.poll(() => existsSync(kept)).toBe(false);
    const printed = await colophon(['train', '--follow', id, '--url', server.url], { COLOPHON_HOME: home });
    expect(printed).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(error.message) });
  }
  const models = (await done('GET', '/v1/models')).data.map(({ id }: { id: string }) => id);
  expect(models.filter((id: string) => /:(waits|rests):/.test(id))).toEqual([]);

  const without = await frozen();
  expect(without).not.toBe(snapshot);
  await until(jobPath(await create({ training_file: `datanet:farm@${without}` })), 'succeeded');
});

test('two jobs of one suffix at once have a model each, of the same bytes', async () => {
  const ids = await Promise.all([1, 2].map(() => create({ ...files, suffix: 'same' })));
  const names = [];
  for (const id of ids) names.push((await until(jobPath(id), 'succeeded')).fine_tuned_model);
  expect(new Set(names).size).toBe(2);
  for (const name of names) expect(name).toMatch(/^ft:base:default:same:[0-9a-f]{8}$/);
  const models = (await done('GET', '/v1/models')).data.map(({ id }: { id: string }) => id);
  expect(models).toEqual(expect.arrayContaining(names));
  const [one, two] = await Promise.all(
    ids.map((id) => digestOf(join(home, 'data', 'training', id, 'adapter', 'adapter_model.safetensors'))),
  );
  expect(one).toBe(two);
});

test.each([
  ['NaN', 'invalid_json'],
  ['Infinity', 'invalid_json'],
  ['1e999', null],
  ['-1e999', null],
  ['null', null],
  ['"NaN"', null],
])('a learning rate, a rank and a seed of %s are refused', async (value, code) => {
  const before = (await done('GET', '/v1/fine_tuning/jobs')).data.length;
  for (const setting of [
    `"recipe":{"learning_rate":${value}}`,
    `"recipe":{"rank":${value}}`,
    `"recipe":{"alpha":${value}}`,
    `"recipe":{"seed":${value}}`,
    `"hyperparameters":{"n_epochs":${value}}`,
    `"hyperparameters":{"learning_rate_multiplier":${value}}`,
  ]) {
    const answer = await fetch(`${server.url}/v1/fine_tuning/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: `{"model":"base","training_file":"${files.training_file}",${setting}}`,
    });
    const { error } = (await answer.json()) as { error: { code: string | null; param: string | null } };
    expect(answer.status, `${setting}: ${JSON.stringify(error)}`).toBe(400);
    if (code) expect(error.code).toBe(code);
    else expect(setting).toContain(error.param!.split(/[.[]/).at(-1));
  }
  expect((await done('GET', '/v1/fine_tuning/jobs')).data.length).toBe(before);
});
