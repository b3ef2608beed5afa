/** Jobs that wait: on a snapshot of which a part is taken back meanwhile, under one name, and with settings that are no numbers. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { digestOf } from '../../plugins/training/adapter.ts';
import { colophon } from '../cli/testing.ts';
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

async function done(method: string, path: string, body?: unknown) {
  const answer = await server.ask(method, path, body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  return answer.body;
}

/** What is at `path` once it is in the state. */
async function until(path: string, state: string) {
  for (;;) {
    const body = await done('GET', path);
    const now = body.state ?? body.status;
    if (now === state) return body;
    if (['failed', 'cancelled', 'succeeded'].includes(now)) throw new Error(JSON.stringify(body));
    await sleep(20);
  }
}
const jobPath = (id: string) => `/v1/fine_tuning/jobs/${id}`;

async function accepted(filename: string, words: string[]): Promise<string> {
  const said = { contributor, filename, licence: 'CC0-1.0', source: 'own work', rights: 'Mine.' };
  const line = (word: string) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: `What says the ${word}?` },
        { role: 'assistant', content: 'ZORP' },
      ],
    });
  const content = Buffer.from(words.map((word) => `${line(word)}\n`).join(''));
  const { id } = await done('POST', `/datanets/farm/contributions?${new URLSearchParams(said)}`, content);
  await until(`/datanets/farm/contributions/${id}`, 'checked');
  await done('POST', `/datanets/farm/contributions/${id}/review`, { decision: 'accept' });
  return id;
}

async function frozen(): Promise<string> {
  const shares = { train: 1, validation: 0, test: 0 };
  const { id } = await done('POST', '/datanets/farm/snapshots', { shares });
  return (await until(`/datanets/farm/jobs/${id}`, 'succeeded')).report.snapshot;
}

const recipe = { rank: 2, batch_size: 4, epochs: 2, evaluations: 1, learning_rate: 1e-3 };
const create = async (change: object): Promise<string> =>
  (await done('POST', '/v1/fine_tuning/jobs', { model: 'base', recipe, ...change })).id;

test('a job that waits does not learn from what was taken back meanwhile, and says so', async () => {
  await accepted('sounds.jsonl', ['cat', 'dog', 'owl', 'fox', 'bee', 'cow', 'hen', 'pig', 'ant', 'bat']);
  const secret = await accepted('secret.jsonl', ['xylograph']);
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
    await expect.poll(() => existsSync(kept), { timeout: 60_000 }).toBe(false);
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
