/** What a contributor may send wrongly, over HTTP, to the service as a server opens it: each is told with file, line and field. */
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { places } from '../places.ts';
import { type OpenService, openService } from '../service.ts';
import { signedStatement } from '../snapshots/canonical.ts';
import { withoutModels } from '../testing/without_models.ts';
import { contributionRoutes } from './contributions.ts';
import { contributorRoutes } from './contributors.ts';
import { datanetRoutes } from './datanets.ts';
import { snapshotRoutes } from './snapshots.ts';

const app = fastify();
let folder: string;
let service: OpenService;
let url: string;
let contributor: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'colophon-datanet-'));
  service = await openService({
    ...places(folder, {}),
    ...withoutModels,
    uploadBytes: 2 ** 31,
    limits: { rowBytes: 2 ** 16, ratio: 100, expandedBytes: 2 ** 26 },
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  app.setErrorHandler((error, _request, reply) =>
    error instanceof ColophonError
      ? reply.status(error.status).send(error.toBody())
      : reply.status((error as { statusCode?: number }).statusCode ?? 500).send(String(error)),
  );
  const parts = {
    service: async () => service,
    caller: () => ({ tenant: 'ada', operator: false }),
    files: withoutModels.host.files,
    contributorBytes: 2 ** 31,
  };
  datanetRoutes(app, parts);
  contributorRoutes(app, parts);
  contributionRoutes(app, parts);
  snapshotRoutes(app, parts);
  url = await app.listen({ port: 0, host: '127.0.0.1' });
  await ask('POST', '/datanets', {
    name: 'net',
    kinds: ['chat', 'completion', 'text'],
    licence_policy: { denied: ['GPL-3.0-only'] },
  });
  contributor = (await ask('POST', '/datanets/net/contributors', { name: 'Ada' })).body.id;
});

afterAll(async () => {
  await app.close();
  await service.close();
  await rm(folder, { recursive: true });
});

async function ask(method: string, path: string, body?: object) {
  const sent =
    body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(url + path, { method, ...sent });
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  return { status: answer.status, body: (await answer.json()) as any };
}

type File = string | Uint8Array<ArrayBuffer>;

async function send(file: File, filename: string, said: Record<string, string> = {}, net = 'net') {
  const query = new URLSearchParams({
    contributor,
    filename,
    licence: 'CC0-1.0',
    source: 'own work',
    rights: 'Mine.',
    ...said,
  });
  const answer = await fetch(`${url}/datanets/${net}/contributions?${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: file,
  });
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  return { status: answer.status, body: (await answer.json()) as any };
}

/** The contribution once its check has ended, with its refused rows. */
async function checked(file: File, filename: string, said: Record<string, string> = {}) {
  const { status, body } = await send(file, filename, said);
  expect(status, JSON.stringify(body)).toBe(200);
  const path = `/datanets/net/contributions/${body.id}`;
  await expect
    .poll(async () => (await ask('GET', path)).body.state, { timeout: 300_000 })
    .not.toBe('submitted');
  const refused = (await ask('GET', `${path}/refused_rows`)).body.data;
  return { ...(await ask('GET', path)).body, refusedRows: refused };
}

const good = (word: string) => JSON.stringify({ prompt: word, completion: 'Yes.' });
/** What a refused upload must not leave. */
const kept = async () => (await ask('GET', '/datanets/net/contributions?limit=100')).body.data.length;

test('broken JSON lines and invalid UTF-8 are refused rows with line and reason; the others are kept', async () => {
  const bytes = Buffer.concat([
    Buffer.from(`${good('a')}\n{"prompt": \n{"prompt":"b"}\n{"prompt":"`),
    Buffer.from([0xff, 0xfe]),
    Buffer.from(`","completion":"c"}\n${good('d')}\n`),
  ]);
  const { state, rows, refused, refusedRows } = await checked(bytes, 'broken.jsonl');
  expect({ state, rows, refused }).toEqual({ state: 'checked', rows: 5, refused: 3 });
  expect(refusedRows.map(({ line }: { line: number }) => line)).toEqual([2, 3, 4]);
  expect(refusedRows[0].reason).toContain('line 2');
  expect(refusedRows[1]).toMatchObject({ field: 'completion', reason: expect.stringContaining('line 3') });
  expect(refusedRows[2].reason).toMatch(/UTF-8.*line 4/);
});

test('a line of a kind that the Datanet does not take names its kind and line', async () => {
  const row = {
    input: { messages: [{ role: 'user', content: 'q' }] },
    preferred_output: [{ role: 'assistant', content: 'a' }],
    non_preferred_output: [{ role: 'assistant', content: 'b' }],
  };
  const { refusedRows } = await checked(`${JSON.stringify(row)}\n${good('kind')}\n`, 'kinds.jsonl');
  expect(refusedRows).toMatchObject([
    { line: 1, reason: expect.stringContaining("kind 'preference' on line 1") },
  ]);
});

test('an empty file, and one of nothing but blank lines', async () => {
  const before = await kept();
  expect(await send('', 'empty.jsonl')).toMatchObject({
    status: 400,
    body: { error: { code: 'empty_file', message: expect.stringContaining('empty.jsonl') } },
  });
  expect(await kept()).toBe(before);
  expect(await checked('\n\n \n', 'blank.jsonl')).toMatchObject({
    state: 'failed',
    reason: expect.stringContaining('blank.jsonl'),
  });
});

test('a CSV with rows of too few or too many cells, and a formula', async () => {
  const table = 'prompt,completion\na,b\nonly one\nx,y,z\n"=HYPERLINK(""http://x"")",y\n';
  const { rows, refusedRows } = await checked(table, 'table.csv');
  expect(rows).toBe(4);
  expect(refusedRows.map(({ line }: { line: number }) => line)).toEqual([3, 4, 5]);
  for (const { line, reason } of refusedRows) expect(reason).toContain(`line ${line}`);
  expect(refusedRows[2]).toMatchObject({ field: 'prompt', reason: expect.stringContaining('formula') });
});

test('the same file again, too much of one contributor, and a licence that is not allowed', async () => {
  const rows = `${good('twice')}\n`;
  const first = await checked(rows, 'once.jsonl');
  const before = await kept();
  expect(await send(rows, 'again.jsonl')).toMatchObject({
    status: 409,
    body: { error: { code: 'duplicate_upload', param: 'file', message: expect.stringContaining(first.id) } },
  });
  expect(await send(good('l'), 'l.jsonl', { licence: 'GPL-3.0-only' })).toMatchObject({
    status: 400,
    body: { error: { code: 'licence_forbidden', param: 'licence' } },
  });
  expect(await send(good('l'), 'l.jsonl', { licence: 'Not-A-Licence' })).toMatchObject({
    status: 400,
    body: { error: { param: 'licence' } },
  });
  await ask('POST', '/datanets', { name: 'small', kinds: ['completion'], contributor_bytes: 100 });
  expect(await send(`${good('long'.repeat(50))}\n`, 'long.jsonl', {}, 'small')).toMatchObject({
    status: 413,
    body: { error: { code: 'contributor_over_quota', message: expect.stringContaining('100 bytes') } },
  });
  expect(await kept()).toBe(before);
});

test('a signature must be the contributor’s, over this very contribution', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');
  const signer = (await ask('POST', '/datanets/net/contributors', { name: 'Sig', public_key: key })).body.id;
  const rows = `${good('signed')}\n`;
  const statement = signedStatement({
    datanet: 'net',
    contributor: signer,
    sha256: createHash('sha256').update(rows).digest('hex'),
    licence: 'CC0-1.0',
    source: 'own work',
    rights: 'Mine.',
  });
  const signature = sign(null, statement, privateKey).toString('hex');
  const bad = { status: 400, body: { error: { code: 'bad_signature', param: 'signature' } } };
  expect(await send(rows, 's.jsonl', { contributor: signer })).toMatchObject(bad);
  expect(await send(rows, 's.jsonl', { contributor: signer, signature: 'ab'.repeat(64) })).toMatchObject(bad);
  expect(await send(rows, 's.jsonl', { contributor: signer, signature, rights: 'Other.' })).toMatchObject(
    bad,
  );
  expect(await send(`${rows} `, 's.jsonl', { contributor: signer, signature })).toMatchObject(bad);
  expect((await send(rows, 's.jsonl', { contributor: signer, signature })).status).toBe(200);
});
