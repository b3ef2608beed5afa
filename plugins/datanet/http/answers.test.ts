/** Every route of Datanets is described, and answers as its description says, with nothing that it does not name. */
import Schema from 'typebox/schema';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { answered, startTestServer, type TestServer } from '../../../gateway/http/testing.ts';
import { findFault } from '../../../gateway/schema/fault.ts';
import datanet from '../index.ts';

// biome-ignore lint/suspicious/noExplicitAny: the document is read as JSON
type Json = any;

interface Asked {
  path: string;
  body?: object | string;
  type?: string;
}

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ plugins: [datanet] });
});
afterAll(() => server.close());

const send = async (method: string, path: string, body?: object | string) =>
  answered(
    await fetch(server.url + path, {
      method,
      headers:
        body === undefined
          ? {}
          : { 'content-type': typeof body === 'string' ? 'application/octet-stream' : 'application/json' },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    }),
  );

async function make(method: string, path: string, body?: object | string): Promise<Json> {
  const answer = await send(method, path, body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  return answer.body;
}

async function done(job: { id: string }): Promise<Json> {
  const path = `/datanets/net/jobs/${job.id}`;
  await expect.poll(async () => (await make('GET', path)).state).toMatch(/succeeded|failed|cancelled/);
  const ended = await make('GET', path);
  expect(ended, ended.error).toMatchObject({ state: 'succeeded' });
  return ended;
}

const row = (text: string) => JSON.stringify({ prompt: text, completion: 'Yes, it is.' });

/**
 * A request to each operation, by its id; more than one where answers have several shapes. Of what there is, one of each to look at,
 * and one to change or to take away.
 */
async function makeExamples(): Promise<Record<string, Asked[]>> {
  const net = '/datanets/net';
  const kinds = ['chat', 'completion', 'text', 'preference'];
  await make('POST', '/datanets', { name: 'net', kinds, schema: { type: 'object' } });
  await make('POST', '/datanets', { name: 'spare', curation: { length: { maxWords: 900 } } });
  await make('PUT', `${net}/roles`, { tenant: 'cura', role: 'curator' });
  const contributor = (await make('POST', `${net}/contributors`, { name: 'Ada', payout_address: '0x1' })).id;
  const upload = (filename: string, fields: Record<string, string> = {}) =>
    `${net}/contributions?${new URLSearchParams({ contributor, filename, licence: 'CC0-1.0', source: 's', rights: 'r', ...fields })}`;
  const give = async (name: string, ...rows: string[]) => {
    const given = await make('POST', upload(name), rows.join('\n'));
    await done({ id: given.job });
    await make('POST', `${net}/contributions/${given.id}/review`, { decision: 'accept' });
    return `${net}/contributions/${given.id}`;
  };
  const chat = JSON.stringify({
    messages: [
      { role: 'user', content: 'Short' },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
    ],
    tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } }],
  });
  const first = await give(
    'a.jsonl',
    row('The first of these rows'),
    row('Write to jane@example.org today'),
    '{',
  );
  await give('b.jsonl', chat, JSON.stringify({ text: 'Brief.' }));
  const curation = await done(await make('POST', `${net}/curate`, { settings: { length: { minWords: 3 } } }));
  const settings = { shares: { train: 1, validation: 0, test: 0 } };
  const { report } = await done(await make('POST', `${net}/snapshots`, settings));
  const spare = await give(
    'c.jsonl',
    row('Some other row of this kind'),
    row('And one more of the same kind'),
  );
  const other = (await done(await make('POST', `${net}/snapshots`, { curation: null }))).report;
  const word = { decision: 'accept', reason: 'It is whole.' };
  await make('PUT', `${net}/examples/3/word`, word);
  await make('PUT', `${net}/examples/1/word`, { ...word, decision: 'refuse' });
  const snapshot = `${net}/snapshots/${report.snapshot}`;
  const [entry] = (await make('GET', `${snapshot}/entries`)).data;
  const hashes = (await make('GET', `${net}/snapshots/latest/entries`)).data.map(({ hash }: Json) => hash);
  const gone = hashes.find((hash: string) => hash !== entry.hash);
  await make('POST', `${net}/examples/${gone}/withdraw`, {});
  const job = `${net}/jobs/${curation.id}`;
  return {
    createDatanet: [{ path: '/datanets', body: { name: 'more', schema: null } }],
    listDatanets: [{ path: '/datanets' }, { path: '/datanets?limit=1' }],
    retrieveDatanet: [{ path: net }],
    updateDatanet: [{ path: '/datanets/spare', body: { curation: { length: { maxTokens: null } } } }],
    deleteDatanet: [{ path: '/datanets/spare' }],
    listDatanetRoles: [{ path: `${net}/roles` }],
    setDatanetRole: [
      { path: `${net}/roles`, body: { tenant: 'cara', role: 'owner' } },
      { path: `${net}/roles`, body: { tenant: 'cara', role: null } },
    ],
    createContributor: [{ path: `${net}/contributors`, body: { name: 'Bo', public_key: 'ab'.repeat(32) } }],
    listContributors: [{ path: `${net}/contributors` }],
    updateContributor: [{ path: `${net}/contributors/${contributor}`, body: { payout_address: null } }],
    contribute: [
      { path: upload('d.csv', { format: 'csv', columns: 'prompt=q,completion=a' }), body: 'q,a\nb,c\n' },
    ],
    listContributions: [{ path: `${net}/contributions` }],
    retrieveContribution: [{ path: first }],
    listRefusedRows: [{ path: `${first}/refused_rows` }],
    reviewContribution: [{ path: `${spare}/review`, body: { decision: 'reject', reason: 'No.' } }],
    withdrawContribution: [{ path: `${spare}/withdraw`, body: { reason: 'Mine.' } }],
    withdrawExample: [{ path: `${net}/examples/${entry.hash}/withdraw`, body: { reason: 'Mine.' } }],
    listExampleWithdrawals: [{ path: `${net}/withdrawals` }],
    curate: [{ path: `${net}/curate`, body: {} }],
    listVerdicts: [{ path: `${net}/curations/${curation.id}/verdicts` }],
    listQuarantine: [{ path: `${net}/quarantine` }],
    setWord: [{ path: `${net}/examples/2/word`, body: word }],
    deleteWord: [{ path: `${net}/examples/2/word` }],
    listWords: [{ path: `${net}/words` }],
    makeSnapshot: [{ path: `${net}/snapshots`, body: {} }],
    listSnapshots: [{ path: `${net}/snapshots` }],
    retrieveSnapshot: [{ path: snapshot }],
    listSnapshotEntries: [{ path: `${snapshot}/entries` }],
    diffSnapshots: [{ path: `${snapshot}/diff/${other.snapshot}` }],
    proveExample: [{ path: `${snapshot}/proofs/${entry.hash}` }],
    downloadSnapshotRows: [
      { path: `${snapshot}/rows`, type: 'application/jsonl' },
      { path: `${snapshot}/rows?format=parquet`, type: 'application/vnd.apache.parquet' },
    ],
    listSnapshotContributions: [{ path: `${snapshot}/contributions` }],
    listDatanetJobs: [{ path: `${net}/jobs` }],
    retrieveDatanetJob: [{ path: job }],
    cancelDatanetJob: [{ path: `${job}/cancel` }],
    streamDatanetJob: [{ path: `${job}/events`, type: 'text/event-stream' }],
  };
}

async function operations(): Promise<Array<{ route: string; method: string; operation: Json }>> {
  const { body } = await answered(await fetch(`${server.url}/openapi.json`));
  return Object.entries<Json>(body.paths)
    .filter(([path]) => path.startsWith('/datanets'))
    .flatMap(([path, methods]) =>
      Object.entries<Json>(methods).map(([method, operation]) => ({
        route: `${method.toUpperCase()} ${path}`,
        method: method.toUpperCase(),
        operation,
      })),
    );
}

/** Objects in a schema that would let anything in. A record says of what its values are. */
function open(schema: Json, where: string): string[] {
  if (Array.isArray(schema)) return schema.flatMap((one, at) => open(one, `${where}[${at}]`));
  if (typeof schema !== 'object' || schema === null) return [];
  const isRecord = schema.patternProperties || typeof schema.additionalProperties === 'object';
  const isOpen = schema.type === 'object' && !isRecord && schema.additionalProperties !== false;
  return [
    ...(isOpen ? [where] : []),
    ...Object.entries(schema).flatMap(([name, inner]) => open(inner, `${where}.${name}`)),
  ];
}

/** What takes away comes last. */
const isLast = (route: string) => route.startsWith('DELETE') || route.endsWith('/withdraw');

test('every route is described, closes what it answers, and answers so', async () => {
  const wrong: string[] = [];
  const examples = await makeExamples();
  const all = await operations();
  expect(all.map(({ operation }) => operation.operationId).sort()).toEqual(Object.keys(examples).sort());
  for (const { route, method, operation } of [
    ...all.filter((one) => !isLast(one.route)),
    ...all.filter((one) => isLast(one.route)),
  ]) {
    for (const what of ['summary', 'tags']) if (!operation[what]?.length) wrong.push(`${route}: no ${what}`);
    for (const [status, { content }] of Object.entries<Json>(operation.responses))
      for (const [type, { schema }] of Object.entries<Json>(content))
        wrong.push(...open(schema, `${route} ${status} ${type}`));
    for (const example of examples[operation.operationId]!) {
      const { status, headers, body } = await send(method, example.path, example.body);
      const type = headers.get('content-type')?.split(';', 1)[0] ?? '';
      const schema = operation.responses[status]?.content?.[type]?.schema;
      if (status !== 200) wrong.push(`${route}: ${status} ${JSON.stringify(body)}`);
      else if (type !== (example.type ?? 'application/json')) wrong.push(`${route}: it answers ${type}`);
      else if (!schema) wrong.push(`${route}: it describes no ${status} of ${type}`);
      else if (!Schema.Compile(schema).Check(body)) {
        const { path } = findFault(schema, body) ?? {};
        wrong.push(`${route}: ${JSON.stringify(path)} in ${JSON.stringify(body).slice(0, 500)}`);
      }
      if (body?.object === 'list' && body.data.length === 0) wrong.push(`${route}: its list is empty here`);
    }
  }
  expect(wrong).toEqual([]);
});

test('errors are as described', async () => {
  for (const { route, operation } of await operations()) {
    const { body } = await send('GET', '/datanets/none');
    const { schema } = operation.responses['4XX'].content['application/json'];
    expect(Schema.Compile(schema).Check(body), route).toBe(true);
  }
});
