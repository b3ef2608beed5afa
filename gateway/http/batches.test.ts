import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toFile } from 'openai';
import type { Batch } from 'openai/resources/batches';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BatchRecord } from '../batches/batch.ts';
import { ColophonError } from '../contract/index.ts';
import { ObjectStore } from '../store/object_store.ts';
import { startTestServer, type TestServer, type TestServerOptions, until } from './testing.ts';

const model = 'mock/base';
const homes: string[] = [];
afterAll(() => {
  for (const home of homes) rmSync(home, { recursive: true, force: true });
});

function newHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'colophon-batches-'));
  homes.push(home);
  return home;
}

const start = (home: string, options: TestServerOptions = {}) =>
  startTestServer({ ...options, env: { COLOPHON_HOME: home } });

const chatLine = (id: string, more: object = {}) => ({
  custom_id: id,
  method: 'POST',
  url: '/v1/chat/completions',
  body: { model, messages: [{ role: 'user', content: id }], max_tokens: 3, ...more },
});

type Client = TestServer['openai'];

async function upload(client: Client, lines: Array<object | string>) {
  const text = lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('');
  return client.files.create({ file: await toFile(Buffer.from(text), 'in.jsonl'), purpose: 'batch' });
}

async function create(client: Client, lines: Array<object | string>, more: object = {}) {
  const { id } = await upload(client, lines);
  const endpoint = '/v1/chat/completions' as const;
  return client.batches.create({ input_file_id: id, endpoint, completion_window: '24h', ...more });
}

async function reach(client: Client, id: string, done: (batch: Batch) => boolean): Promise<Batch> {
  for (;;) {
    const batch = await client.batches.retrieve(id);
    if (done(batch)) return batch;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const over = ({ status }: Batch) => ['completed', 'failed', 'expired', 'cancelled'].includes(status);

// biome-ignore lint/suspicious/noExplicitAny: tests reach into bodies of every shape
async function linesOf(client: Client, file: string | null | undefined): Promise<any[]> {
  if (!file) return [];
  const text = await (await client.files.content(file)).text();
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

describe('batches', () => {
  let server: TestServer;
  const press = () => server.openai.withOptions({ apiKey: 'press-key' });
  beforeAll(async () => {
    server = await start(newHome(), {
      adapters: ['one'],
      change: (config) => {
        config.batches.lines = 100;
        config.batches.unfinished = 4;
        const key = { min_priority: 0, isolate: false };
        config.access.keys = [
          { ...key, key: 'press-key', tenant: 'press' },
          { ...key, key: 'bank-key', tenant: 'bank', isolate: true },
        ];
      },
    });
  });
  afterAll(() => server.close());

  test("lines are answered as the routes answer them, as their tenant's, last in line", async () => {
    const lines = [
      chatLine('first'),
      chatLine('second', { model: 'one', priority: 0 }),
      chatLine('wrong', { temperature: 9 }),
      chatLine('unknown', { model: 'nobody' }),
      chatLine('streamed', { stream: true }),
    ];
    const created = await create(press(), lines, { metadata: { project: 'x' } });
    expect(created).toMatchObject({
      id: expect.stringMatching(/^batch_[0-9a-f]{32}$/),
      object: 'batch',
      status: 'validating',
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { project: 'x' },
      request_counts: { total: 0, completed: 0, failed: 0 },
    });
    expect(created.expires_at! - created.created_at).toBe(24 * 3600);
    const batch = await reach(press(), created.id, over);
    expect(batch).toMatchObject({
      status: 'completed',
      model,
      errors: null,
      request_counts: { total: 5, completed: 2, failed: 3 },
      in_progress_at: expect.any(Number),
      finalizing_at: expect.any(Number),
      completed_at: expect.any(Number),
      failed_at: null,
      cancelled_at: null,
    });
    const good = await linesOf(press(), batch.output_file_id);
    expect(good.map((line) => line.custom_id).sort()).toEqual(['first', 'second']);
    for (const line of good) {
      expect(line).toMatchObject({
        id: expect.stringMatching(/^batch_req_/),
        error: null,
        response: {
          status_code: 200,
          request_id: expect.stringMatching(/^req_/),
          body: { object: 'chat.completion', choices: [{ message: { role: 'assistant' } }] },
        },
      });
    }
    const used = good.map((line) => line.response.body.usage.total_tokens).reduce((a, b) => a + b);
    expect(batch.usage).toMatchObject({ total_tokens: used });
    const bad = await linesOf(press(), batch.error_file_id);
    const statuses = Object.fromEntries(bad.map((line) => [line.custom_id, line.response.status_code]));
    expect(statuses).toEqual({ wrong: 400, unknown: 404, streamed: 400 });
    expect(bad.find((line) => line.custom_id === 'unknown').response.body.error.code).toBe('model_not_found');
    for (const asked of server.backend.requests) {
      expect(asked).toMatchObject({ tenant: 'press', priority: 2 ** 31 - 1 });
    }
    const output = await press().files.retrieve(batch.output_file_id!);
    expect(output).toMatchObject({ purpose: 'batch_output', filename: `${batch.id}_output.jsonl` });
    // It was hers alone.
    const bank = server.openai.withOptions({ apiKey: 'bank-key' });
    await expect(bank.batches.retrieve(batch.id)).rejects.toMatchObject({ status: 404 });
    await expect(bank.batches.cancel(batch.id)).rejects.toMatchObject({ status: 404 });
    await expect(bank.files.content(batch.output_file_id!)).rejects.toMatchObject({ status: 404 });
    expect((await bank.batches.list()).data).toEqual([]);
    expect((await press().batches.list()).data).toEqual([batch]);
    await expect(press().batches.cancel(batch.id)).rejects.toMatchObject({ status: 409 });
  });

  test('text completions too; the input may be deleted while it runs', async () => {
    const line = { custom_id: 'a', method: 'POST', url: '/v1/completions', body: { model, prompt: 'x' } };
    const file = await upload(press(), [line]);
    server.backend.pause();
    const created = await press().batches.create({
      input_file_id: file.id,
      endpoint: '/v1/completions',
      completion_window: '24h',
    });
    await press().files.delete(file.id);
    server.backend.resume();
    const batch = await reach(press(), created.id, over);
    expect(batch).toMatchObject({ status: 'completed', error_file_id: null });
    expect((await linesOf(press(), batch.output_file_id))[0].response.body.object).toBe('text_completion');
  });

  test.each<[string, Array<object | string>, Array<[string, number | null, string | null]>]>([
    ['an empty file', ['', '  '], [['empty_file', null, null]]],
    [
      'no JSON',
      [chatLine('a'), '{"custom', '[]'],
      [
        ['invalid_json_line', 2, null],
        ['invalid_json_line', 3, null],
      ],
    ],
    ['a custom_id twice', [chatLine('a'), chatLine('a')], [['duplicate_custom_id', 2, 'custom_id']]],
    [
      'no custom_id',
      [{ ...chatLine('a'), custom_id: undefined }],
      [['missing_required_parameter', 1, 'custom_id']],
    ],
    ['another method', [{ ...chatLine('a'), method: 'GET' }], [['invalid_method', 1, 'method']]],
    ['another URL', [{ ...chatLine('a'), url: '/v1/files' }], [['mismatched_endpoint', 1, 'url']]],
    ['a body that is none', [{ ...chatLine('a'), body: 'x' }], [['invalid_type', 1, 'body']]],
    [
      'more lines than allowed',
      Array.from({ length: 101 }, (_, index) => chatLine(`${index}`)),
      [['too_many_requests', 101, null]],
    ],
  ])('%s fails before anything runs', async (_name, lines, expected) => {
    const before = server.backend.requests.length;
    const batch = await reach(press(), (await create(press(), lines)).id, over);
    expect(batch).toMatchObject({ status: 'failed', failed_at: expect.any(Number), output_file_id: null });
    expect(batch.errors!.data!.map(({ code, line, param }) => [code, line, param])).toEqual(expected);
    expect(server.backend.requests.length).toBe(before);
  });

  test('what cannot be ordered is refused', async () => {
    const { id } = await upload(press(), [chatLine('a')]);
    const other = await press().files.create({ file: await toFile(Buffer.from('x'), 'x'), purpose: 'evals' });
    const order = { input_file_id: id, endpoint: '/v1/chat/completions', completion_window: '24h' };
    const headers = { authorization: 'Bearer press-key' };
    for (const [change, param] of [
      [{ input_file_id: 'file-none' }, 'input_file_id'],
      [{ input_file_id: other.id }, 'input_file_id'],
      [{ input_file_id: '../x' }, 'input_file_id'],
      [{ endpoint: '/v1/files' }, 'endpoint'],
      [{ completion_window: '1h' }, 'completion_window'],
      [{ metadata: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [index, ''])) }, 'metadata'],
      [{ output_expires_after: { anchor: 'created_at', seconds: 1 } }, 'output_expires_after.seconds'],
    ] as Array<[object, string]>) {
      const { status, body } = await server.post('/v1/batches', { ...order, ...change }, headers);
      expect(status, param).toBe(400);
      expect(body.error.param).toBe(param);
    }
    const foreign = await server.post('/v1/batches', order, { authorization: 'Bearer bank-key' });
    expect(foreign.body.error).toMatchObject({ code: 'file_not_found', param: 'input_file_id' });
  });

  test('cancelled: what runs is answered, what waits never begins, and those behind it need not wait', async () => {
    server.backend.pause();
    const before = server.backend.requests.length;
    const lines = Array.from({ length: 50 }, (_, index) => chatLine(`${index}`));
    const first = await create(press(), lines);
    const second = await create(press(), lines);
    await reach(press(), first.id, () => server.backend.requests.length === before + 8);
    await reach(press(), second.id, ({ status }) => status === 'in_progress');
    expect((await press().batches.cancel(second.id)).status).toBe('cancelling');
    await reach(press(), second.id, ({ status }) => status === 'cancelled');
    const cancelling = await press().batches.cancel(first.id);
    expect(cancelling).toMatchObject({ status: 'cancelling', cancelling_at: expect.any(Number) });
    server.backend.resume();
    const batch = await reach(press(), first.id, over);
    expect(batch).toMatchObject({
      status: 'cancelled',
      cancelled_at: expect.any(Number),
      request_counts: { total: 50, completed: 8, failed: 0 },
    });
    expect(await linesOf(press(), batch.output_file_id)).toHaveLength(8);
    expect(server.backend.requests.length).toBe(before + 8);
  });

  test('a tenant has so many batches at once', async () => {
    server.backend.pause();
    const made = [];
    for (let index = 0; index < 4; index++) made.push(await create(press(), [chatLine('a')]));
    await expect(create(press(), [chatLine('a')])).rejects.toMatchObject({
      status: 429,
      code: 'too_many_batches',
    });
    server.backend.resume();
    for (const { id } of made) await reach(press(), id, over);
  });
});

test('a busy backend is asked again', async () => {
  let refusals = 3;
  const server = await start(newHome(), {
    fail: () => {
      if (refusals-- <= 0) return undefined;
      return new ColophonError('Full.', {
        type: 'rate_limit_error',
        code: 'queue_full',
        retryAfterSeconds: 0.001,
      });
    },
  });
  const { id } = await create(server.openai, [chatLine('a'), chatLine('b')]);
  const batch = await reach(server.openai, id, over);
  expect(batch.request_counts).toEqual({ total: 2, completed: 2, failed: 0 });
  await server.close();
});

test('after the window, what was not answered says so', async () => {
  const home = newHome();
  const first = await start(home);
  first.backend.pause();
  const { id } = await create(first.openai, [chatLine('a'), chatLine('b')]);
  await reach(first.openai, id, ({ status }) => status === 'in_progress');
  const copy = newHome();
  cpSync(home, copy, { recursive: true });
  first.backend.resume();
  await reach(first.openai, id, over);
  await first.close();
  // A day later.
  const store = new ObjectStore(join(copy, 'data'));
  store.change<BatchRecord>('batch', 'default', id, (record) => {
    record.batch.expires_at = record.batch.created_at - 1;
    return record;
  });
  store.close();
  const second = await start(copy);
  const batch = await reach(second.openai, id, over);
  expect(batch).toMatchObject({
    status: 'expired',
    expired_at: expect.any(Number),
    output_file_id: null,
    request_counts: { total: 2, completed: 0, failed: 2 },
  });
  for (const line of await linesOf(second.openai, batch.error_file_id)) {
    expect(line).toMatchObject({ response: null, error: { code: 'batch_expired' } });
  }
  expect(second.backend.requests).toEqual([]);
  await second.close();
});

test('killed at any moment, every line is answered once in the end', async () => {
  const home = newHome();
  const ids = Array.from({ length: 60 }, (_, index) => `line-${index}`);
  const server = await start(home);
  const { id } = await create(
    server.openai,
    ids.map((one) => (one === 'line-7' ? chatLine(one, { temperature: 9 }) : chatLine(one))),
  );
  // What a process that is killed leaves is what is on disk at that moment.
  const left: string[] = [];
  let ended = false;
  const ending = reach(server.openai, id, over).then(() => {
    ended = true;
  });
  while (!ended && left.length < 12) {
    const copy = newHome();
    cpSync(home, copy, { recursive: true });
    left.push(copy);
    for (let turns = 0; turns < 10; turns++) await new Promise((resolve) => setImmediate(resolve));
  }
  await ending;
  await server.close();
  expect(left.length).toBeGreaterThan(2);
  for (const copy of left) {
    const again = await start(copy);
    const batch = await reach(again.openai, id, over);
    expect(batch).toMatchObject({
      status: 'completed',
      request_counts: { total: 60, completed: 59, failed: 1 },
    });
    const answers = await linesOf(again.openai, batch.output_file_id);
    const errors = await linesOf(again.openai, batch.error_file_id);
    expect(errors.map((line) => line.custom_id)).toEqual(['line-7']);
    expect([...answers, ...errors].map((line) => line.custom_id).sort()).toEqual([...ids].sort());
    // Nothing is left over: the input and the two results.
    expect(readdirSync(join(copy, 'data/files'))).toHaveLength(3);
    await until(() => readdirSync(join(copy, 'data/batches')).length === 0);
    await again.close();
  }
});

test('stopped and started again, every line is answered once', async () => {
  const home = newHome();
  const ids = Array.from({ length: 40 }, (_, index) => `line-${index}`);
  let server = await start(home);
  const { id } = await create(
    server.openai,
    ids.map((one) => chatLine(one)),
  );
  for (let stop = 0; stop < 3; stop++) {
    await reach(server.openai, id, ({ request_counts: counts }) => counts!.completed >= stop * 8);
    await server.close();
    server = await start(home);
  }
  const batch = await reach(server.openai, id, over);
  expect(batch).toMatchObject({
    status: 'completed',
    request_counts: { total: 40, completed: 40, failed: 0 },
  });
  const answers = await linesOf(server.openai, batch.output_file_id);
  expect(answers.map((line) => line.custom_id).sort()).toEqual([...ids].sort());
  await until(() => readdirSync(join(home, 'data/batches')).length === 0);
  await server.close();
});

test('what runs when the server cannot wait any longer is asked again by the next', async () => {
  const home = newHome();
  const first = await start(home, {
    change: (config) => {
      config.server.drain_seconds = 0.05;
    },
  });
  first.backend.pause();
  const { id } = await create(first.openai, [chatLine('a'), chatLine('b')]);
  await until(() => first.backend.requests.length === 2);
  await first.close();
  const second = await start(home);
  const batch = await reach(second.openai, id, over);
  expect(batch.request_counts).toEqual({ total: 2, completed: 2, failed: 0 });
  await second.close();
});
