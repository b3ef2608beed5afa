/** Every route is described, and answers as its description says. */

import Schema from 'typebox/schema';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findFault } from '../schema/fault.ts';
import { answered, startTestServer, type TestServer } from './testing.ts';

const model = 'mock/base';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { COLOPHON_API_KEY: 'secret' } });
});
afterAll(() => server.close());

// biome-ignore lint/suspicious/noExplicitAny: the document is read as JSON
type Json = any;

async function operations(): Promise<
  Array<{ route: string; method: string; path: string; operation: Json }>
> {
  const { body } = await answered(await fetch(`${server.url}/openapi.json`));
  return Object.entries<Json>(body.paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods).map(([method, operation]) => ({
      route: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      operation,
    })),
  );
}

/** A request to each operation, by its id; more than one where answers have several shapes. */
const examples: Record<string, Array<{ path?: string; body?: object; accept?: string }>> = {
  createChatCompletion: [
    { body: { model, messages: [{ role: 'user', content: 'Hi' }], logprobs: true, top_logprobs: 2 } },
    {
      body: {
        model,
        messages: [{ role: 'user', content: 'Hi' }],
        prompt_logprobs: 1,
        return_token_ids: true,
      },
    },
    {
      body: { model, messages: [{ role: 'user', content: 'Hi' }], stream: true },
      accept: 'text/event-stream',
    },
  ],
  createCompletion: [
    { body: { model, prompt: 'Hi', logprobs: 2, echo: true, stop_token_ids: [5] } },
    { body: { model, prompt: 'Hi', prompt_logprobs: 1, return_token_ids: true } },
    { body: { model, prompt: 'Hi', stream: true }, accept: 'text/event-stream' },
  ],
  createEmbedding: [
    { body: { model, input: 'Hi' } },
    { body: { model, input: ['Hi'], encoding_format: 'base64' } },
  ],
  listModels: [{}],
  retrieveModel: [{ path: `/v1/models/${model}` }, { path: '/v1/models/mock-adapter' }],
  loadLoraAdapter: [{ body: { lora_name: 'new', lora_path: '/adapters/new' }, accept: 'text/plain' }],
  unloadLoraAdapter: [{ body: { lora_name: 'new' }, accept: 'text/plain' }],
  tokenize: [{ body: { model, prompt: 'Hi' } }, { body: { model, prompt: 'Hi', return_token_strs: true } }],
  detokenize: [{ body: { model, tokens: [70] } }],
  getHealth: [{}],
  getReadiness: [{}],
  getLiveness: [{}],
  getMetrics: [{ accept: 'text/plain' }],
  getVersion: [{}],
  getRoot: [{}],
  getOpenApi: [{}],
  getDocs: [{ accept: 'text/html' }],
  getDocsScript: [{ accept: 'text/javascript' }],
};

const send = async (method: string, path: string, body?: object) =>
  answered(
    await fetch(server.url + path, {
      method,
      headers: { 'content-type': 'application/json', authorization: 'Bearer secret' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    }),
  );

test('every route has a summary, a tag, an id of its own, its fields and its answers', async () => {
  const missing: string[] = [];
  const ids = new Map<string, string>();
  for (const { route, method, path, operation } of await operations()) {
    const lacks = (what: string) => missing.push(`${route}: ${what}`);
    if (!operation.summary) lacks('no summary');
    if (!operation.tags?.length) lacks('no tag');
    if (!operation.operationId) lacks('no operationId');
    else if (ids.has(operation.operationId)) lacks(`the operationId of ${ids.get(operation.operationId)}`);
    ids.set(operation.operationId, route);
    if (['POST', 'PUT', 'PATCH'].includes(method) && !operation.requestBody?.content) lacks('no body');
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const described = (operation.parameters ?? []).filter((one: Json) => one.in === 'path');
    if (named.join() !== described.map((one: Json) => one.name).join()) lacks('no params');
    const good = Object.entries<Json>(operation.responses).filter(([status]) => status.startsWith('2'));
    if (good.length === 0) lacks('no answer');
    for (const [status, { content }] of good) {
      if (status !== '204' && !Object.values<Json>(content ?? {}).every(({ schema }) => schema))
        lacks(`no schema of ${status}`);
    }
    const envelope = operation.responses['4XX']?.content?.['application/json']?.schema;
    if (!envelope?.properties?.error) lacks('no errors');
  }
  expect(missing).toEqual([]);
});

test('every route answers as its description says', async () => {
  const wrong: string[] = [];
  for (const { route, method, path, operation } of await operations()) {
    const given = examples[operation.operationId];
    if (!given) wrong.push(`${route}: no example in this test`);
    for (const example of given ?? []) {
      const { status, headers, body } = await send(method, example.path ?? path, example.body);
      const type = headers.get('content-type')?.split(';', 1)[0] ?? '';
      const schema = operation.responses[status]?.content?.[type]?.schema;
      if (type !== (example.accept ?? 'application/json')) wrong.push(`${route}: it answers ${type}`);
      else if (!schema) wrong.push(`${route}: it describes no ${status} of ${type}`);
      else if (!Schema.Compile(schema).Check(body))
        wrong.push(
          `${route}: ${JSON.stringify(findFault(schema, body)?.path)} in ${JSON.stringify(body).slice(0, 300)}`,
        );
    }
  }
  expect(wrong).toEqual([]);
});

test('errors are as described', async () => {
  for (const { route, method, path, operation } of await operations()) {
    if (method !== 'POST') continue;
    const { status, body } = await send(method, path, []);
    expect(status, route).toBe(400);
    const { schema } = operation.responses['4XX'].content['application/json'];
    expect(Schema.Compile(schema).Check(body), route).toBe(true);
  }
});

describe('the document', () => {
  test('is 3.1: nothing of 3.0 is left in its schemas', async () => {
    const { body } = await answered(await fetch(`${server.url}/openapi.json`));
    expect(body.openapi).toBe('3.1.0');
    expect(body.info).toMatchObject({ title: 'Colophon', version: expect.any(String) });
    const known = new Set(body.tags.map((tag: Json) => tag.name));
    for (const { route, operation } of await operations())
      for (const tag of operation.tags) expect(known.has(tag), `${route}: ${tag}`).toBe(true);
    const old: string[] = [];
    const visit = (value: Json, where: string) => {
      if (typeof value !== 'object' || value === null) return;
      if (
        'nullable' in value ||
        typeof value.exclusiveMinimum === 'boolean' ||
        value.$ref?.startsWith?.('#/definitions')
      )
        old.push(where);
      if (value.type === 'array' && !value.items) old.push(`${where}: no items`);
      for (const [key, inner] of Object.entries(value)) visit(inner, `${where}/${key}`);
    };
    visit(body.paths, '');
    expect(old).toEqual([]);
    const { temperature } =
      body.paths['/v1/completions'].post.requestBody.content['application/json'].schema.properties;
    expect(temperature.anyOf.map((one: Json) => one.type)).toEqual(['number', 'null']);
  });

  test('is shown without a key and without anybody else', async () => {
    const shown = await fetch(`${server.url}/docs`);
    expect(shown.status).toBe(200);
    const page = await shown.text();
    expect(page).not.toMatch(/https?:/);
    const [, script] = /src="([^"]+)"/.exec(page)!;
    const loaded = await fetch(new URL(script!, `${server.url}/docs`));
    expect(loaded.status).toBe(200);
    expect((await loaded.text()).length).toBeGreaterThan(1e6);
    expect(shown.headers.get('content-security-policy')).toContain("default-src 'self'");
  });
});
