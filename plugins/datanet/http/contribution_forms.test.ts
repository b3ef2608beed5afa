/** Contributions as forms: file and fields in any order; what is refused or cut leaves nothing. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { answered, startTestServer, type TestServer } from '../../../gateway/http/testing.ts';
import datanet from '../index.ts';

let server: TestServer;
let home: string;
let folder: string;
let contributor: string;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'colophon-forms-'));
  const file = join(home, 'colophon.yaml');
  writeFileSync(file, 'plugins:\n  datanet:\n    upload_bytes: 300000\n');
  server = await startTestServer({
    plugins: [datanet],
    env: { COLOPHON_CONFIG: file },
    change: (config) => {
      folder = join(config.paths.data, 'datanets', 'blobs');
    },
  });
  const kinds = ['completion'];
  await server.post('/datanets', { name: 'net', kinds, licence_policy: { denied: ['MIT'] } });
  await server.post('/datanets', { name: 'small', kinds, contributor_bytes: 1_000 });
  contributor = (await server.post('/datanets/net/contributors', { name: 'Ada' })).body.id;
});
afterAll(async () => {
  await server.close();
  rmSync(home, { recursive: true });
});

const row = (text: string) => `${JSON.stringify({ prompt: text, completion: 'Yes.' })}\n`;
const said = () => ({ contributor, licence: 'CC0-1.0', source: 'own work', rights: 'Mine.' });

interface Parts {
  before?: Record<string, string>;
  file?: string;
  name?: string;
  filename?: string;
  after?: Record<string, string>;
}

function formOf({ before = said(), file, name = 'file', filename = 'rows.jsonl', after = {} }: Parts) {
  const form = new FormData();
  for (const [key, value] of Object.entries(before)) form.append(key, value);
  if (file !== undefined) form.append(name, new File([file], filename));
  for (const [key, value] of Object.entries(after)) form.append(key, value);
  return form;
}

const give = async (parts: Parts, url = '/datanets/net/contributions') =>
  answered(await fetch(server.url + url, { method: 'POST', body: formOf(parts) }));

async function checked({ id }: { id: string }) {
  const url = `${server.url}/datanets/net/contributions/${id}`;
  const one = async () => (await answered(await fetch(url))).body;
  await expect.poll(async () => (await one()).state).not.toBe('submitted');
  return one();
}

/** Names of all files that are kept: blobs, and what is on its way. */
const kept = () =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .sort();

test('a file and its fields come in a form, in any order', async () => {
  const text = Array.from({ length: 3_000 }, (_, at) => row(`row ${at} of the first`)).join('');
  const { contributor: id, ...others } = said();
  const given = await give({ before: { contributor: id }, file: text, after: others });
  expect(given.status, JSON.stringify(given.body)).toBe(200);
  const sha256 = createHash('sha256').update(text).digest('hex');
  const bytes = Buffer.byteLength(text);
  expect(given.body).toMatchObject({ filename: 'rows.jsonl', bytes, sha256, ...said(), format: {} });
  expect(await checked(given.body)).toMatchObject({ state: 'checked', rows: 3_000, refused: 0 });
  expect(kept()).toContain(sha256);

  const table = { format: 'csv', columns: 'prompt=q,completion=a', filename: 'named.csv' };
  const csv = await give({ before: {}, file: 'q,a\nb,c\n,\n', after: { ...said(), ...table } });
  expect(await checked(csv.body)).toMatchObject({
    filename: 'named.csv',
    format: { format: 'csv', columns: { prompt: 'q', completion: 'a' } },
    rows: 2,
    refused: 1,
  });
});

test('what is wrong with a form is said as elsewhere, and nothing of it is kept', async () => {
  const before = kept();
  const file = row('refused');
  const { licence: _, ...unlicensed } = said();
  const refusal = async (parts: Parts, url?: string) => {
    const { status, body } = await give(parts, url);
    return [status, body.error?.code, body.error?.param];
  };
  expect(await refusal({})).toEqual([400, 'missing_required_parameter', 'file']);
  expect(await refusal({ before: unlicensed, file })).toEqual([400, 'missing_required_parameter', 'licence']);
  expect(await refusal({ file: '' })).toEqual([400, 'empty_file', 'file']);
  expect(await refusal({ file, name: 'other' })).toEqual([400, 'invalid_form', null]);
  expect(await refusal({ file, after: { rights: 'Twice.' } })).toEqual([400, 'invalid_form', null]);
  expect(await refusal({ file, after: { columns: 'x' } })).toEqual([400, 'invalid_value', 'columns']);
  expect(await refusal({ file, after: { format: 'xml' } })).toEqual([400, 'invalid_value', 'format']);
  expect(await refusal({ file, after: { signature: 'ab'.repeat(64) } })).toEqual([
    400,
    'bad_signature',
    'signature',
  ]);
  expect(await refusal({ before: { ...said(), licence: 'MIT' }, file })).toEqual([
    400,
    'licence_forbidden',
    'licence',
  ]);
  expect(await refusal({ before: { ...said(), contributor: 'x' }, file })).toEqual([
    404,
    'datanet_object_not_found',
    null,
  ]);
  expect(await refusal({ file }, '/datanets/none/contributions')).toEqual([
    404,
    'datanet_object_not_found',
    null,
  ]);
  expect(await refusal({ file: 'x'.repeat(300_001) })).toEqual([413, 'too_large', null]);
  const small = '/datanets/small/contributions';
  expect(await refusal({ file: row('x'.repeat(1_000)) }, small)).toEqual([
    413,
    'contributor_over_quota',
    'file',
  ]);
  const source = (length: number) => ({ before: { ...said(), source: '😀'.repeat(length) }, file });
  expect(await refusal(source(4_001))).toEqual([413, 'invalid_form', null]);
  expect(await refusal(source(2_001))).toEqual([400, 'string_above_max_length', 'source']);
  const cut = `--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n${file}`;
  const broken = await server.post('/datanets/net/contributions', cut, {
    'content-type': 'multipart/form-data; boundary=B',
  });
  expect([broken.status, broken.body.error.code]).toEqual([400, 'invalid_form']);
  expect(kept()).toEqual(before);

  expect((await give({ file })).status).toBe(200);
  expect(await refusal({ file })).toEqual([409, 'duplicate_upload', 'file']);
  expect(kept()).toContain(createHash('sha256').update(file).digest('hex'));
});

test('a client that goes away in the middle leaves nothing', async () => {
  const before = kept();
  const begin = `--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n${row('cut').repeat(1_000)}`;
  const request = httpRequest(`${server.url}/datanets/net/contributions`, {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=B', 'content-length': 200_000 },
  });
  request.on('error', () => {});
  request.write(begin);
  await expect.poll(() => kept().length).toBe(before.length + 1);
  request.destroy();
  await expect.poll(kept).toEqual(before);
});
