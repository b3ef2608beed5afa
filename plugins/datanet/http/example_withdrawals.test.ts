/** Who may take which example back, over HTTP. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Content } from '../model.ts';
import { canonicalContent } from '../snapshots/canonical.ts';
import { startDatanetServer } from '../testing/server.ts';

let server: Awaited<ReturnType<typeof startDatanetServer>>;
beforeAll(async () => {
  server = await startDatanetServer();
});
afterAll(() => server.close());

async function ask(tenant: string, method: string, path: string, body?: object | string) {
  const type = typeof body === 'string' ? 'application/octet-stream' : 'application/json';
  const answer = await fetch(server.url + path, {
    method,
    headers: { authorization: `Bearer ${tenant}`, ...(body === undefined ? {} : { 'content-type': type }) },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  return { status: answer.status, body: (await answer.json()) as any };
}

const row = (text: string) =>
  JSON.stringify({
    messages: [
      { role: 'user', content: text },
      { role: 'assistant', content: 'Yes.' },
    ],
  });
const hashOf = (text: string) => canonicalContent(JSON.parse(row(text)) as Content).hash;

/** The id of a contribution, checked. */
async function given(tenant: string, ...texts: string[]): Promise<string> {
  const { body: contributor } = await ask(tenant, 'POST', '/datanets/net/contributors', { name: tenant });
  const said = { filename: 'a.jsonl', licence: 'CC0-1.0', source: 's', rights: 'r' };
  const query = new URLSearchParams({ contributor: contributor.id, ...said });
  const { body } = await ask(
    tenant,
    'POST',
    `/datanets/net/contributions?${query}`,
    texts.map(row).join('\n'),
  );
  const url = `/datanets/net/contributions/${body.id}`;
  await expect.poll(async () => (await ask(tenant, 'GET', url)).body.state).toBe('checked');
  return body.id;
}

test('a contributor takes its own copies back, a curator all, and each is told what stays', async () => {
  await ask('olga', 'POST', '/datanets', { name: 'net', open: true });
  const carls = await given('carl', 'shared', 'shared once more', 'own');
  const doras = await given('dora', 'shared', 'hers', 'shared');
  const url = (text: string) => `/datanets/net/examples/${hashOf(text)}/withdraw`;

  expect((await ask('carl', 'POST', url('hers'), {})).body.error).toMatchObject({
    code: 'datanet_object_not_found',
    message: `There is no example '${hashOf('hers')}'.`,
  });
  expect((await ask('carl', 'POST', url('nowhere'), {})).status).toBe(404);
  expect((await ask('carl', 'POST', url('shared'), { contribution: doras })).status).toBe(404);
  expect((await ask('carl', 'POST', '/datanets/net/examples/xy/withdraw', {})).status).toBe(400);
  expect((await ask('carl', 'POST', url('shared'), { contribution: 'x' })).status).toBe(404);
  expect((await ask('carl', 'POST', url('own'), { reason: { a: 1 } })).status).toBe(400);

  expect(await ask('carl', 'POST', url('shared'), { contribution: carls, reason: 'Mine.' })).toEqual({
    status: 200,
    body: { object: 'datanet.example.withdrawn', hash: hashOf('shared'), withdrawn: 1, remaining: 2 },
  });
  // Done before, it stays done; the other's copies are the other's.
  expect((await ask('carl', 'POST', url('shared'), {})).body).toMatchObject({ withdrawn: 0, remaining: 2 });
  expect((await ask('olga', 'POST', url('shared'), {})).body).toMatchObject({ withdrawn: 2, remaining: 0 });
  expect((await ask('olga', 'POST', url('own'), { contribution: doras })).status).toBe(404);

  expect((await ask('carl', 'GET', '/datanets/net/withdrawals')).status).toBe(403);
  const { data } = (await ask('olga', 'GET', '/datanets/net/withdrawals')).body;
  expect(data).toMatchObject([
    {
      object: 'datanet.example.withdrawal',
      hash: hashOf('shared'),
      by: 'carl',
      reason: 'Mine.',
      examples: 1,
    },
    { hash: hashOf('shared'), by: 'olga', reason: null, examples: 2 },
  ]);
  expect((await ask('olga', 'GET', `/datanets/net/withdrawals?after=${data[0].id}`)).body.data).toEqual([
    data[1],
  ]);
  expect((await ask('olga', 'GET', '/datanets/net/withdrawals?after=x')).status).toBe(400);
});

test('the same file does not come again, the same example in another file may', async () => {
  const { body: contributor } = await ask('carl', 'POST', '/datanets/net/contributors', { name: 'again' });
  const said = { filename: 'a.jsonl', licence: 'CC0-1.0', source: 's', rights: 'r' };
  const query = new URLSearchParams({ contributor: contributor.id, ...said });
  const same = ['shared', 'shared once more', 'own'].map(row).join('\n');
  expect((await ask('carl', 'POST', `/datanets/net/contributions?${query}`, same)).body.error.code).toBe(
    'duplicate_upload',
  );
  await given('carl', 'shared');
  const path = `/datanets/net/examples/${hashOf('shared')}/withdraw`;
  expect((await ask('carl', 'POST', path, {})).body).toMatchObject({ withdrawn: 1, remaining: 0 });
});
