/** Datanets over HTTP, as tenants of several roles see them; on the real store. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FastifyInstance, fastify } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { validatorCompiler } from '../../../gateway/http/validation.ts';
import { Contributions } from '../contributions.ts';
import { readRows } from '../formats/read_rows.ts';
import { checkWork } from '../jobs/check.ts';
import { JobRunner } from '../jobs/runner.ts';
import { checkLicence } from '../snapshots/licences.ts';
import { openBlobs } from '../store/open_blobs.ts';
import { openStore } from '../store/open_store.ts';
import { contributionRoutes } from './contributions.ts';
import { contributorRoutes } from './contributors.ts';
import { datanetRoutes } from './datanets.ts';
import type { RouteParts, Service } from './routes.ts';

let folder: string;
let app: FastifyInstance;
let close: () => Promise<void>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'colophon-datanet-'));
  const store = await openStore({ kind: 'sqlite', path: join(folder, 'datanets.db') });
  const blobs = await openBlobs({ kind: 'files', folder: join(folder, 'blobs') });
  const check = checkWork({
    store,
    blobs,
    readRows,
    canonical: (content) => Buffer.from(JSON.stringify(content)),
    limits: { rowBytes: 1e6, ratio: 100, expandedBytes: 1e9, refusedRows: 100 },
    takenBy: async () => ({ kinds: ['chat'], schema: null }),
  });
  const jobs = new JobRunner(store, { check }, { debug() {}, info() {}, warn() {}, error() {} });
  const contributions = new Contributions({
    store,
    blobs,
    jobs,
    uploadBytes: 1e6,
    checkLicence,
    isSigned: () => false,
  });
  const service: Service = { store, blobs, jobs, contributions };
  const parts: RouteParts = {
    service: async () => service,
    caller: ({ headers }) => ({ tenant: String(headers.tenant), operator: headers.tenant === 'operator' }),
    files: { find: async () => undefined },
    contributorBytes: 1e6,
  };
  app = fastify();
  // As the server does.
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(() => JSON.stringify);
  app.setErrorHandler((error, _request, reply) =>
    error instanceof ColophonError
      ? reply.status(error.status).send(error.toBody())
      : reply
          .status((error as { statusCode?: number }).statusCode ?? 500)
          .send({ error: { message: String(error) } }),
  );
  datanetRoutes(app, parts);
  contributorRoutes(app, parts);
  contributionRoutes(app, parts);
  close = async () => {
    await app.close();
    await jobs.drain();
    await store.close();
    await blobs.close();
  };
});

afterAll(async () => {
  await close();
  await rm(folder, { recursive: true });
});

async function ask(
  tenant: string,
  method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE',
  url: string,
  body?: object | string,
) {
  const file = typeof body === 'string' ? { 'content-type': 'application/octet-stream' } : {};
  const answer = await app.inject({
    method,
    url,
    headers: { tenant, ...file },
    ...(body === undefined ? {} : { payload: body }),
  });
  return { status: answer.statusCode, body: answer.json() };
}

const row = JSON.stringify({
  messages: [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
  ],
});

test('a contribution goes from hand to hand, and each hand may do its part only', async () => {
  expect((await ask('olga', 'POST', '/datanets', { name: 'net' })).body).toMatchObject({ owner: 'olga' });
  expect((await ask('olga', 'POST', '/datanets', { name: 'net' })).body.error.code).toBe('datanet_exists');
  expect((await ask('carl', 'GET', '/datanets/net')).status).toBe(404);
  expect((await ask('carl', 'GET', '/datanets')).body.data).toEqual([]);
  for (const [tenant, role] of [
    ['carl', 'contributor'],
    ['dora', 'contributor'],
    ['cura', 'curator'],
  ]) {
    expect((await ask('olga', 'PUT', '/datanets/net/roles', { tenant, role })).status).toBe(200);
  }
  expect((await ask('carl', 'GET', '/datanets/net')).body.role).toBe('contributor');
  expect((await ask('carl', 'PATCH', '/datanets/net', { open: true })).status).toBe(403);
  expect((await ask('cura', 'PUT', '/datanets/net/roles', { tenant: 'x', role: 'owner' })).status).toBe(403);

  const { body: contributor } = await ask('carl', 'POST', '/datanets/net/contributors', { name: 'Carl' });
  const said = new URLSearchParams({
    contributor: contributor.id,
    filename: 'rows.jsonl',
    licence: 'CC0-1.0',
    source: 'own work',
    rights: 'Mine.',
  });
  expect((await ask('dora', 'POST', `/datanets/net/contributions?${said}`, row)).status).toBe(404);
  expect((await ask('carl', 'POST', `/datanets/net/contributions?${said}`, '')).body.error.code).toBe(
    'empty_file',
  );
  const { body: given } = await ask('carl', 'POST', `/datanets/net/contributions?${said}`, `${row}\n{\n`);
  const url = `/datanets/net/contributions/${given.id}`;
  await expect.poll(async () => (await ask('carl', 'GET', url)).body.state).toBe('checked');
  expect((await ask('carl', 'GET', `${url}/refused_rows`)).body.data).toMatchObject([{ line: 2, raw: '{' }]);
  expect((await ask('dora', 'GET', url)).status).toBe(404);
  expect((await ask('carl', 'GET', '/datanets/net/contributions')).status).toBe(403);
  expect((await ask('cura', 'GET', '/datanets/net/contributions')).body.data).toHaveLength(1);

  expect((await ask('carl', 'POST', `${url}/review`, { decision: 'accept' })).status).toBe(403);
  const review = await ask('cura', 'POST', `${url}/review`, { decision: 'accept', reason: 'Good.' });
  expect(review.body).toMatchObject({ state: 'accepted', reviewer: 'cura', reason: 'Good.' });
  expect((await ask('dora', 'POST', `${url}/withdraw`, {})).status).toBe(404);
  expect((await ask('carl', 'POST', `${url}/withdraw`, {})).body.state).toBe('withdrawn');
  expect((await ask('operator', 'POST', `${url}/review`, { decision: 'accept' })).status).toBe(409);
});

test('contributors are listed, and change where they are paid and their key', async () => {
  await ask('olga', 'POST', '/datanets', { name: 'people' });
  await ask('olga', 'PUT', '/datanets/people/roles', { tenant: 'carl', role: 'contributor' });
  const { body: made } = await ask('carl', 'POST', '/datanets/people/contributors', { name: 'Cy' });
  const mine = await ask('carl', 'GET', '/datanets/people/contributors?mine=true&limit=100');
  expect(mine.body.data.map(({ id }: { id: string }) => id)).toContain(made.id);
  expect((await ask('olga', 'GET', '/datanets/people/contributors')).body.data).toEqual([]);
  const url = `/datanets/people/contributors/${made.id}`;
  const change = { payout_address: '0x1', public_key: 'ab'.repeat(32) };
  expect((await ask('carl', 'PATCH', url, change)).body).toMatchObject({ ...change, name: 'Cy' });
  expect((await ask('olga', 'PATCH', url, change)).status).toBe(404);
  expect((await ask('carl', 'PATCH', url, { public_key: 'xy' })).status).toBe(400);
});

test('what is no JSON Schema is not set as one', async () => {
  const wrong = { schema: { properties: { messages: { items: 7 } } } };
  const refusal = { status: 400, body: { error: { param: 'schema', code: 'invalid_value' } } };
  expect(await ask('olga', 'POST', '/datanets', { name: 'strict', ...wrong })).toMatchObject(refusal);
  expect((await ask('olga', 'GET', '/datanets/strict')).status).toBe(404);
  const schema = { properties: { messages: { minItems: 3 } } };
  expect((await ask('olga', 'POST', '/datanets', { name: 'strict', schema })).body).toMatchObject({ schema });
  const changed = await ask('olga', 'PATCH', '/datanets/strict', wrong);
  expect(changed).toMatchObject(refusal);
  expect(changed.body.error.message).toBe(
    "'schema' is no valid JSON Schema: at '/properties/messages/items' it must be object,boolean.",
  );
  expect((await ask('olga', 'GET', '/datanets/strict')).body).toMatchObject({ schema });
  expect((await ask('olga', 'PATCH', '/datanets/strict', { schema: null })).body.schema).toBeNull();
});

test('columns are mapped as the query says, licences are refused by their own codes', async () => {
  await ask('olga', 'POST', '/datanets', { name: 'table', licence_policy: { allowed: ['MIT'] } });
  const { body: contributor } = await ask('olga', 'POST', '/datanets/table/contributors', { name: 'Olga' });
  const give = (fields: Record<string, string>) => {
    const said = {
      contributor: contributor.id,
      filename: 'rows.csv',
      licence: 'MIT',
      source: 's',
      rights: 'r',
    };
    const query = new URLSearchParams({ ...said, ...fields });
    return ask('olga', 'POST', `/datanets/table/contributions?${query}`, 'frage,antwort\na,b\n');
  };
  const codeOf = async (fields: Record<string, string>) => (await give(fields)).body.error;
  expect(await codeOf({ licence: 'Mine' })).toMatchObject({ code: 'unknown_licence', param: 'licence' });
  expect(await codeOf({ licence: 'CC0-1.0' })).toMatchObject({ code: 'licence_forbidden' });
  for (const columns of ['prompt', 'prompt=', 'prompt=frage', 'answer=antwort', '__proto__=x']) {
    expect(await codeOf({ columns }), columns).toMatchObject({ code: 'invalid_value', param: 'columns' });
  }
  const given = await give({ columns: 'prompt=frage, completion=antwort' });
  expect(given.body.format).toEqual({ columns: { prompt: 'frage', completion: 'antwort' } });
});

test('a Datanet is deleted by its owner, who names it once more where there is something in it', async () => {
  await ask('olga', 'POST', '/datanets', { name: 'empty' });
  await ask('olga', 'PUT', '/datanets/empty/roles', { tenant: 'cura', role: 'curator' });
  expect((await ask('cura', 'DELETE', '/datanets/empty')).status).toBe(403);
  expect((await ask('olga', 'DELETE', '/datanets/empty')).body).toMatchObject({ deleted: true });
  expect((await ask('olga', 'GET', '/datanets/empty')).status).toBe(404);
  const refused = await ask('olga', 'DELETE', '/datanets/net?confirm=other');
  expect(refused.body.error).toMatchObject({ code: 'confirmation_required', param: 'confirm' });
  expect((await ask('olga', 'DELETE', '/datanets/net?confirm=net')).status).toBe(200);
  expect((await ask('olga', 'GET', '/datanets/net')).status).toBe(404);
});
