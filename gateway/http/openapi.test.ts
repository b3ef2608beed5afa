/** Every route is described, and answers as its description says. */

import Schema from 'typebox/schema';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findFault } from '../schema/fault.ts';
import { answered, startTestServer, type TestServer } from './testing.ts';

const model = 'mock/base';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    env: { COLOPHON_API_KEY: 'secret' },
    adapters: ['mock-adapter', 'spare'],
  });
  examples = await makeExamples();
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

interface Example {
  path?: string;
  body?: object;
  accept?: string;
}

/** A request to each operation, by its id; more than one where answers have several shapes. */
let examples: Record<string, Example[]>;

/** Of not_offered.test.ts. */
const refused =
  / \/v1\/(moderations|images|videos|audio|assistants|threads|vector_stores|containers|evals|fine_tuning)(\/|$)/;

const messages = [{ role: 'user', content: 'Hi' }];
const tool = { name: 'look', parameters: { type: 'object', properties: {} } };

const form = (fields: Record<string, string>, file: string, content: string) => {
  const made = new FormData();
  for (const [name, value] of Object.entries(fields)) made.append(name, value);
  made.append(file, new File([content], 'a.jsonl'));
  return made;
};

/** Of what can be kept there is one of each to look at, and one to delete or to end. */
async function makeExamples(): Promise<typeof examples> {
  const make = async (path: string, body: object) => {
    const answer = await send('POST', path, body);
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    return answer.body.id as string;
  };
  const call = { id: 'call_1', type: 'function', function: { name: 'look', arguments: '{}' } };
  const conversation = [
    { role: 'user', content: [{ type: 'text', text: 'Hi' }] },
    { role: 'assistant', content: null, tool_calls: [call] },
    { role: 'tool', tool_call_id: 'call_1', content: 'There.' },
  ];
  const tools = [{ type: 'function', function: tool }];
  const chat = (asked: object) =>
    make('/v1/chat/completions', { model, store: true, metadata: { a: 'b' }, ...asked });
  const kept = `/v1/chat/completions/${await chat({ messages: conversation, tools, tool_choice: 'none' })}`;
  const spareChat = `/v1/chat/completions/${await chat({ messages })}`;
  const response = () => make('/v1/responses', { model, input: 'Hi' });
  const answeredOne = `/v1/responses/${await response()}`;
  const spareResponse = `/v1/responses/${await response()}`;
  const line = { custom_id: 'a', method: 'POST', url: '/v1/completions', body: { model, prompt: 'Hi' } };
  const batchFile = () => make('/v1/files', form({ purpose: 'batch' }, 'file', JSON.stringify(line)));
  const input = await batchFile();
  const spareFile = await batchFile();
  const upload = () =>
    make('/v1/uploads', { bytes: 2, filename: 'a', mime_type: 'text/plain', purpose: 'user_data' });
  const whole = `/v1/uploads/${await upload()}`;
  const started = `/v1/uploads/${await upload()}`;
  const spareUpload = `/v1/uploads/${await upload()}`;
  const part = await make(`${whole}/parts`, form({}, 'data', 'ab'));
  const order = { input_file_id: input, endpoint: '/v1/completions', completion_window: '24h' };
  // What is to be cancelled must not be over by then.
  server.backend.pause();
  const running = `/v1/responses/${await make('/v1/responses', { model, input: 'Hi', background: true })}`;
  const batch = `/v1/batches/${await make('/v1/batches', order)}`;
  return {
    createChatCompletion: [
      { body: { model, messages, tools, tool_choice: 'required' } },
      { body: { model, messages, functions: [tool], function_call: { name: 'look' } } },
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
    cancelResponse: [{ path: `${running}/cancel` }],
    cancelBatch: [{ path: `${batch}/cancel` }],
    listChatCompletions: [{}],
    retrieveChatCompletion: [{ path: kept }],
    updateChatCompletion: [{ path: kept, body: { metadata: { c: 'd' } } }],
    deleteChatCompletion: [{ path: spareChat }],
    listChatCompletionMessages: [{ path: `${kept}/messages` }],
    createResponse: [
      { body: { model, input: 'Hi', include: ['message.output_text.logprobs'], top_logprobs: 2 } },
      { body: { model, input: 'Hi', max_output_tokens: 1, text: { format: { type: 'text' } } } },
      { body: { model, input: 'Hi', tools: [{ type: 'function', ...tool }], tool_choice: 'required' } },
      { body: { model, input: 'Hi', background: true } },
      { body: { model, input: 'Hi', stream: true }, accept: 'text/event-stream' },
    ],
    countResponseInputTokens: [{ body: { model, input: 'Hi' } }],
    retrieveResponse: [
      { path: answeredOne },
      { path: `${running}?stream=true`, accept: 'text/event-stream' },
    ],
    listResponseInputItems: [{ path: `${answeredOne}/input_items` }],
    deleteResponse: [{ path: spareResponse }],
    createFile: [{ body: form({ purpose: 'user_data' }, 'file', 'Hi') }],
    listFiles: [{}],
    retrieveFile: [{ path: `/v1/files/${input}` }],
    downloadFile: [{ path: `/v1/files/${input}/content`, accept: 'application/octet-stream' }],
    deleteFile: [{ path: `/v1/files/${spareFile}` }],
    createUpload: [{ body: { bytes: 2, filename: 'a', mime_type: 'text/plain', purpose: 'user_data' } }],
    addUploadPart: [{ path: `${started}/parts`, body: form({}, 'data', 'ab') }],
    completeUpload: [{ path: `${whole}/complete`, body: { part_ids: [part] } }],
    cancelUpload: [{ path: `${spareUpload}/cancel` }],
    createBatch: [{ body: order }],
    listBatches: [{}],
    retrieveBatch: [{ path: batch }],
    deleteModel: [{ path: '/v1/models/spare' }],
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
}

const send = async (method: string, path: string, body?: object) =>
  answered(
    await fetch(server.url + path, {
      method,
      headers: {
        ...(body && !(body instanceof FormData) ? { 'content-type': 'application/json' } : {}),
        authorization: 'Bearer secret',
      },
      ...(body ? { body: body instanceof FormData ? body : JSON.stringify(body) } : {}),
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
    const takesBody = ['POST', 'PUT', 'PATCH'].includes(method) && !path.endsWith('/cancel');
    if (takesBody !== Boolean(operation.requestBody?.content)) lacks('no body, or one too many');
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

/** Fields of a value that its schema does not name. */
function undescribed(schema: Json, value: Json, where = ''): string[] {
  const fitting = (schema.anyOf ?? [schema]).filter((one: Json) => Schema.Compile(one).Check(value));
  const found = fitting.map((one: Json) => {
    if (Array.isArray(value))
      return value.flatMap((item, index) => undescribed(one.items ?? {}, item, `${where}[${index}]`));
    if (!one.properties || typeof value !== 'object' || value === null) return [];
    return Object.entries(value).flatMap(([name, inner]) => {
      const known = one.properties[name];
      return known ? undescribed(known, inner, `${where}.${name}`) : [`${where}.${name}`];
    });
  });
  return found.find((one: string[]) => one.length === 0) ?? found[0] ?? [];
}

test('every route answers as its description says, and with nothing that it does not describe', async () => {
  const wrong: string[] = [];
  const isCancel = ({ path }: { path: string }) => path.endsWith('/cancel');
  const all = await operations();
  for (const one of [...all.filter(isCancel), null, ...all.filter((other) => !isCancel(other))]) {
    if (one === null) {
      server.backend.resume();
      continue;
    }
    const { route, method, path, operation } = one;
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
      else wrong.push(...undescribed(schema, body).map((where) => `${route}: ${where} is not described`));
    }
  }
  expect(wrong).toEqual([]);
});

test('errors are as described', async () => {
  for (const { route, method, path, operation } of await operations()) {
    if (method !== 'POST') continue;
    const { status, body } = await send(method, path, []);
    // Where JSON is not read at all it is what is asked for that is not there.
    const content = operation.requestBody?.content;
    expect(status, route).toBe(content?.['application/json'] ? 400 : content ? 415 : 404);
    const { schema } = operation.responses['4XX'].content['application/json'];
    expect(Schema.Compile(schema).Check(body), route).toBe(true);
  }
});

test('what is left out is only what is not offered and what OpenAPI has no words for', async () => {
  const shown = new Set((await operations()).map(({ route }) => route));
  const left = server.app
    .printRoutes({ commonPrefix: false })
    .split('\n')
    .reduce<{ parents: string[]; found: string[] }>(
      ({ parents, found }, line) => {
        const match = /^([│ ]*)[├└]── (\S*)(?: \(([A-Z, ]+)\))?/.exec(line);
        if (!match) return { parents, found };
        const way = [...parents.slice(0, match[1]!.length / 4), match[2]!];
        const path = way
          .join('')
          .replace(/\/?\*/, '/{id}')
          .replace(/:(\w+)/g, '{$1}');
        const methods = (match[3] ?? '').split(', ').filter((one) => !['', 'HEAD', 'OPTIONS'].includes(one));
        return { parents: way, found: [...found, ...methods.map((method) => `${method} ${path}`)] };
      },
      { parents: [], found: [] },
    )
    .found.filter((route) => !shown.has(route))
    .filter((route) => !refused.test(route));
  expect(left.sort()).toEqual([
    'GET /v1/realtime',
    'GET /v1/responses',
    'POST /v1/realtime/calls',
    'POST /v1/realtime/client_secrets',
  ]);
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
