import { createReadStream, readdirSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer, until } from './testing.ts';

let server: TestServer;
let folder: string;
beforeAll(async () => {
  server = await startTestServer({
    change: (config) => {
      config.store.file_bytes = 100_000;
      config.store.tenant_bytes = 1_000_000;
      const key = { min_priority: 0, isolate: false };
      config.access.keys = [
        { ...key, key: 'press-key', tenant: 'press' },
        { ...key, key: 'bank-key', tenant: 'bank' },
        { ...key, key: 'full-key', tenant: 'full' },
      ];
      folder = join(config.paths.data, 'files');
    },
  });
});
afterAll(() => server.close());

const as = (key: string) => server.openai.withOptions({ apiKey: key });
const press = () => as('press-key');

/** Sends a form as it is. */
async function form(parts: string[], options: { boundary?: string; key?: string; type?: string } = {}) {
  const body = `${parts.map((part) => `--B\r\n${part}\r\n`).join('')}--B--\r\n`;
  return server.post('/v1/files', body, {
    authorization: `Bearer ${options.key ?? 'press-key'}`,
    'content-type': options.type ?? `multipart/form-data; boundary=${options.boundary ?? 'B'}`,
  });
}
const field = (name: string, value: string) =>
  `Content-Disposition: form-data; name="${name}"\r\n\r\n${value}`;
const file = (name: string, content: string, filename = 'a.txt') =>
  `Content-Disposition: form-data; name="${name}"; filename="${filename}"\r\nContent-Type: text/plain\r\n\r\n${content}`;
const contents = () => readdirSync(folder).sort();

describe('with the client of OpenAI', () => {
  test('a file is uploaded as a stream, listed, read and deleted', async () => {
    const path = join(folder, '../source.jsonl');
    const text = '{"a": "ä"}\n'.repeat(5000);
    writeFileSync(path, text);
    const created = await press().files.create({ file: createReadStream(path), purpose: 'user_data' });
    expect(created).toMatchObject({
      id: expect.stringMatching(/^file-[0-9a-f]{32}$/),
      object: 'file',
      bytes: Buffer.byteLength(text),
      filename: 'source.jsonl',
      purpose: 'user_data',
      status: 'processed',
      expires_at: null,
    });
    expect(await press().files.retrieve(created.id)).toEqual(created);
    const content = await press().files.content(created.id);
    expect(content.headers.get('content-length')).toBe(String(created.bytes));
    expect(content.headers.get('content-disposition')).toBe("attachment; filename*=UTF-8''source.jsonl");
    expect(await content.text()).toBe(text);
    expect((await press().files.list({ purpose: 'user_data' })).data).toEqual([created]);
    expect((await press().files.list({ purpose: 'batch' })).data).toEqual([]);
    // Another tenant has never heard of it.
    await expect(as('bank-key').files.retrieve(created.id)).rejects.toMatchObject({ status: 404 });
    await expect(as('bank-key').files.content(created.id)).rejects.toMatchObject({ status: 404 });
    await expect(as('bank-key').files.delete(created.id)).rejects.toMatchObject({ status: 404 });
    expect((await as('bank-key').files.list()).data).toEqual([]);
    expect(await press().files.delete(created.id)).toEqual({
      id: created.id,
      object: 'file',
      deleted: true,
    });
    await expect(press().files.retrieve(created.id)).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining(`No such File object: ${created.id}`),
    });
    expect(contents()).not.toContain(created.id);
  });

  test('pages of the list go on where the last one ended', async () => {
    const made: string[] = [];
    for (let index = 0; index < 5; index++) {
      const upload = await toFile(Buffer.from(`${index}`), `${index}.txt`);
      made.push((await as('bank-key').files.create({ file: upload, purpose: 'evals' })).id);
    }
    const seen: string[] = [];
    for await (const one of as('bank-key').files.list({ limit: 2, order: 'asc' })) seen.push(one.id);
    expect(seen).toEqual(made);
    for (const query of ['limit=0', 'limit=x', 'order=up', 'after=file-none', 'limit=1&limit=2']) {
      const response = await fetch(`${server.url}/v1/files?${query}`, {
        headers: { authorization: 'Bearer bank-key' },
      });
      expect(response.status, query).toBe(400);
      expect(((await response.json()) as { error: { param: string } }).error.param).toBe(query.split('=')[0]);
    }
  });

  test('files expire', async () => {
    const upload = await toFile(Buffer.from('x'), 'x.jsonl');
    const create = (more: object) => press().files.create({ file: upload, purpose: 'batch', ...more });
    const after = { expires_after: { anchor: 'created_at', seconds: 3600 } };
    const soon = await create(after);
    expect(soon.expires_at! - soon.created_at).toBe(3600);
    const later = await create({});
    expect(later.expires_at! - later.created_at).toBe(30 * 24 * 3600);
    await expect(create({ expires_after: { anchor: 'created_at', seconds: 5 } })).rejects.toMatchObject({
      status: 400,
      param: 'expires_after.seconds',
    });
    await expect(create({ expires_after: { anchor: 'now', seconds: 4000 } })).rejects.toMatchObject({
      param: 'expires_after.anchor',
    });
  });
});

describe('a form that is refused leaves nothing', () => {
  const many = (count: number) => Array.from({ length: count }, (_, index) => field(`f${index}`, 'x'));
  test.each<[string, string[], number, string]>([
    ['no purpose', [file('file', 'x')], 400, "'purpose' is a required property"],
    [
      'an unknown purpose',
      [file('file', 'x'), field('purpose', 'fun')],
      400,
      "'fun' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] - 'purpose'",
    ],
    ['no file', [field('purpose', 'batch')], 400, "'file' is a required property"],
    ['an empty file', [field('purpose', 'batch'), file('file', '')], 400, 'The file is empty.'],
    [
      'two files',
      [field('purpose', 'batch'), file('file', 'x'), file('file', 'y')],
      413,
      'The form has more than one file; send each in a request of its own.',
    ],
    [
      'a file of another name',
      [field('purpose', 'batch'), file('document', 'x')],
      400,
      "The form has a file under 'document'; send it as 'file'.",
    ],
    ['many fields', [file('file', 'x'), ...many(1000)], 413, 'The form has too many'],
    [
      'a field twice',
      [field('purpose', 'batch'), field('purpose', 'batch')],
      400,
      "The form has the field 'purpose' more than once.",
    ],
    ['a long name', [field('n'.repeat(5000), 'x')], 413, "The name of the form's field 'nnn"],
    ['a long value', [field('purpose', 'x'.repeat(5000))], 413, "The value of the form's field 'purpose'"],
    ['a file above the limit', [file('file', 'x'.repeat(100_001))], 413, 'The file is larger than'],
    ['a file far above it', [file('file', 'x'.repeat(3_000_000))], 413, 'The file is larger than'],
    ['__proto__', [field('__proto__', 'x'), file('file', 'x')], 400, 'The form could not be read'],
  ])('%s', async (_name, parts, status, sentence) => {
    const before = contents();
    const answer = await form(parts);
    expect(answer.body.error?.message).toContain(sentence);
    expect(answer.status).toBe(status);
    expect(contents()).toEqual(before);
  });

  test('a wrong or missing boundary, no form, a form elsewhere', async () => {
    const before = contents();
    const parts = [field('purpose', 'batch'), file('file', 'x')];
    for (const type of ['multipart/form-data', 'multipart/form-data; boundary=other']) {
      expect((await form(parts, { type })).status, type).toBe(400);
    }
    expect((await form(parts, { type: 'text/plain' })).status).toBe(415);
    const json = await server.post('/v1/files', { file: 'x' }, { authorization: 'Bearer press-key' });
    expect(json.status).toBe(415);
    const elsewhere = await server.post('/v1/completions', 'x', {
      authorization: 'Bearer press-key',
      'content-type': 'multipart/form-data; boundary=B',
    });
    expect(elsewhere.status).toBe(415);
    expect(contents()).toEqual(before);
  });

  test('a form that breaks off', async () => {
    const before = contents();
    const answer = await server.post('/v1/files', `--B\r\n${file('file', 'x'.repeat(500))}`, {
      authorization: 'Bearer press-key',
      'content-type': 'multipart/form-data; boundary=B',
    });
    expect(answer.status).toBe(400);
    expect(contents()).toEqual(before);
  });

  test('a client that leaves', async () => {
    const before = contents();
    const upload = httpRequest(`${server.url}/v1/files`, {
      method: 'POST',
      agent: false,
      headers: {
        authorization: 'Bearer press-key',
        'content-type': 'multipart/form-data; boundary=B',
        'content-length': 90_000,
      },
    });
    upload.on('error', () => {});
    upload.write(`--B\r\n${file('file', 'x'.repeat(40_000))}`);
    await until(() => contents().length > before.length);
    upload.destroy();
    await until(() => contents().length === before.length);
    expect(contents()).toEqual(before);
  });
});

test('the files of a tenant have a limit together, at once too', async () => {
  const results = await Promise.all(
    Array.from({ length: 15 }, () =>
      form([field('purpose', 'evals'), file('file', 'x'.repeat(90_000))], { key: 'full-key' }),
    ),
  );
  const kept = results.filter(({ status }) => status === 200).length;
  expect(kept).toBeGreaterThan(0);
  expect(kept).toBeLessThanOrEqual(11);
  const refused = results.find(({ status }) => status !== 200)!;
  expect(refused.status).toBe(413);
  expect(refused.body.error.code).toBe('storage_limit_exceeded');
  expect((await as('full-key').files.list()).data).toHaveLength(kept);
  // Another tenant's room is its own.
  expect((await form([field('purpose', 'evals'), file('file', 'x')])).status).toBe(200);
});

test("paths and other tenants' ids lead nowhere", async () => {
  for (const id of ['..%2F..%2Fgateway.sqlite', 'file-0', '%00', "x'--", 'a'.repeat(900)]) {
    for (const path of [`/v1/files/${id}`, `/v1/files/${id}/content`]) {
      const response = await fetch(server.url + path, { headers: { authorization: 'Bearer press-key' } });
      expect(response.status, path).toBe(404);
    }
  }
});

test('another method is told which there are', async () => {
  const headers = { authorization: 'Bearer press-key' };
  for (const [path, allowed] of [
    ['/v1/files', 'POST, GET'],
    ['/v1/files/x', 'GET, DELETE'],
    ['/v1/files/x/content', 'GET'],
    ['/v1/batches/x/cancel', 'POST'],
  ]) {
    const response = await fetch(server.url + path, { method: 'PUT', headers });
    expect([response.status, response.headers.get('allow')]).toEqual([405, allowed]);
  }
});

test('every answer says which API it speaks and how long it took', async () => {
  for (const path of ['/v1/models', '/v1/nothing', '/v1/files/none']) {
    const { headers } = await fetch(server.url + path, { headers: { authorization: 'Bearer press-key' } });
    expect(headers.get('openai-version')).toBe('2020-10-01');
    expect(headers.get('x-request-id')).toMatch(/^req_/);
    expect(headers.get('openai-processing-ms')).toMatch(/^\d+$/);
  }
});
