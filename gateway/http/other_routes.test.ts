import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mockEndToken, mockTokens } from '../host/testing/mock_text.ts';
import { answered, startTestServer, type TestServer, until } from './testing.ts';

const model = 'mock/base';

let server: TestServer;
let isReady = true;
beforeAll(async () => {
  server = await startTestServer({ adapters: ['one', 'team/two'], ready: () => isReady });
});
afterAll(() => server.close());

const get = async (path: string) => answered(await fetch(server.url + path));

describe('models', () => {
  test('the list has the base and its adapters, with parent and residency', async () => {
    const { body } = await get('/v1/models');
    expect(body.object).toBe('list');
    expect(body.data[0]).toEqual({
      id: model,
      object: 'model',
      created: 1_700_000_000,
      owned_by: 'colophon',
      root: 'mock.gguf',
      parent: null,
      max_model_len: 4096,
      content_hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(body.data[1]).toMatchObject({
      id: 'one',
      parent: model,
      root: '/adapters/one',
      residency: 'disk',
    });
  });

  test('one is found by id, with slashes, encoded or not', async () => {
    for (const path of ['mock/base', 'mock%2Fbase'])
      expect((await get(`/v1/models/${path}`)).body.id).toBe(model);
    expect((await get('/v1/models/team/two')).body.id).toBe('team/two');
    expect((await server.openai.models.retrieve('team/two')).id).toBe('team/two');
    expect((await get('/v1/models/three')).body.error).toMatchObject({
      code: 'model_not_found',
      param: 'model',
    });
  });
});

describe('tokenize', () => {
  test("a prompt, in vLLM's shape", async () => {
    const { body } = await server.post('/tokenize', { model, prompt: 'hé<|im_end|>' });
    const tokens = [...mockTokens('hé'), mockEndToken];
    expect(body).toEqual({ count: 4, max_model_len: 4096, tokens, token_strs: null });
  });

  test('messages, as chat completions read them', async () => {
    const messages = [{ role: 'user', content: 'Hi' }];
    const { body } = await server.post('/tokenize', { model: 'one', messages });
    const chat = await server.post('/v1/chat/completions', {
      model: 'one',
      messages,
      return_token_ids: true,
      max_tokens: 1,
    });
    expect(body.tokens).toEqual(chat.body.prompt_token_ids);
    const open = await server.post('/tokenize', { messages, add_generation_prompt: false });
    expect(open.body.count).toBeLessThan(body.count);
  });

  test('the text of each token, and no model needed', async () => {
    const { body } = await server.post('/tokenize', { prompt: 'ab', return_token_strs: true });
    expect(body.token_strs).toEqual(['a', 'b']);
  });

  test.each<[object, string]>([
    [{}, 'prompt'],
    [{ prompt: 'a', messages: [{ role: 'user', content: 'a' }] }, 'messages'],
    [{ prompt: 7 }, 'prompt'],
    [{ prompt: 'a', model: 'none' }, 'model'],
  ])('%j is refused', async (body, param) => {
    const answer = await server.post('/tokenize', body);
    expect(answer.status).toBe(param === 'model' ? 404 : 400);
    expect(answer.body.error.param).toBe(param);
  });

  test('and back', async () => {
    const { body } = await server.post('/detokenize', { model, tokens: [...mockTokens('hé'), mockEndToken] });
    expect(body).toEqual({ prompt: 'hé<|im_end|>' });
    expect((await server.post('/detokenize', { tokens: [] })).body).toEqual({ prompt: '' });
    for (const tokens of [[-1], [1.5], [100000], [2 ** 31], 'x']) {
      expect((await server.post('/detokenize', { tokens })).status, JSON.stringify(tokens)).toBe(400);
    }
  });
});

describe('adapters by call', () => {
  const load = (body: object) => server.post('/v1/load_lora_adapter', body);
  const unload = (body: object) => server.post('/v1/unload_lora_adapter', body);

  test('a load call pins, leaves the pin as it is, or takes it back', async () => {
    const call = { lora_name: 'kept', lora_path: '/a', load_inplace: true };
    for (const [pin, pinned] of [
      [true, true],
      [undefined, true],
      [null, true],
      [false, false],
    ] as const) {
      expect((await load({ ...call, pin })).status).toBe(200);
      expect(server.backend.pinned.has('kept'), String(pin)).toBe(pinned);
    }
    expect((await load({ ...call, pin: 'yes' })).status).toBe(400);
    await unload({ lora_name: 'kept' });
  });

  test("load, reload, serve, unload, in vLLM's words", async () => {
    const loaded = await load({ lora_name: 'fresh', lora_path: '/a/fresh' });
    expect(loaded.status).toBe(200);
    expect(loaded.body).toBe("Success: LoRA adapter 'fresh' added successfully.");
    expect((await get('/v1/models/fresh')).body.parent).toBe(model);
    const again = await load({ lora_name: 'fresh', lora_path: '/a/fresh' });
    expect(again.status).toBe(400);
    expect(again.body.error.message).toContain('has already been loaded');
    expect((await load({ lora_name: 'fresh', lora_path: '/b', load_inplace: true })).status).toBe(200);
    expect((await get('/v1/models/fresh')).body.root).toBe('/b');
    const gone = await unload({ lora_name: 'fresh' });
    expect(gone.body).toBe("Success: LoRA adapter 'fresh' removed successfully.");
    expect((await get('/v1/models/fresh')).status).toBe(404);
  });

  test.each<[string, object, number, string]>([
    ['no name', { lora_path: '/x' }, 400, "Both 'lora_name' and 'lora_path' must be provided."],
    ['no path', { lora_name: 'x' }, 400, "Both 'lora_name' and 'lora_path' must be provided."],
    [
      'the base',
      { lora_name: model, lora_path: '/x' },
      400,
      `The lora adapter '${model}' conflicts with a served base model.`,
    ],
    ['nothing there', { lora_name: 'x', lora_path: '/missing' }, 404, 'No adapter found at /missing.'],
    ['a NUL', { lora_name: 'x', lora_path: '/a\0b' }, 400, "Invalid 'lora_path': it holds a NUL character."],
    [
      'a wrong type',
      { lora_name: 'x', lora_path: 7 },
      400,
      "Invalid type for 'lora_path': expected a string, but got an integer instead.",
    ],
  ])('loading %s is refused', async (_name, body, status, message) => {
    const answer = await load(body);
    expect(answer.status).toBe(status);
    expect(answer.body.error.message).toBe(message);
  });

  test.each([
    '../x',
    'a/../b',
    '/etc/passwd',
    'a//b',
    '.hidden',
    'a\\b',
    'a\nb',
    'a b',
    'x/',
    '..',
    'ä',
  ])('a name like %j is refused', async (name) => {
    const answer = await load({ lora_name: name, lora_path: '/x' });
    expect(answer.status).toBe(400);
    expect(answer.body.error.param).toBe('lora_name');
    expect((await get('/v1/models')).body.data.length).toBe(3);
  });

  test('unloading what is not there, or a base, is a 404', async () => {
    for (const name of ['none', model, '../x']) {
      const answer = await unload({ lora_name: name });
      expect(answer.status).toBe(404);
      expect(answer.body.error.message).toBe(`The lora adapter '${name}' cannot be found.`);
    }
    expect((await unload({})).body.error.message).toBe(
      "'lora_name' needs to be provided to unload a LoRA adapter.",
    );
  });
});

describe('health', () => {
  test('alive and ready are two things', async () => {
    expect((await get('/health')).body).toEqual({ status: 'ok' });
    isReady = false;
    const unready = await get('/health/ready');
    expect(unready.status).toBe(503);
    expect(unready.body).toEqual({ status: 'unavailable', detail: 'mock: The mock is told not to be.' });
    expect((await get('/health/live')).status).toBe(200);
    isReady = true;
  });

  test('version and the root say where one is', async () => {
    expect((await get('/version')).body).toEqual({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      contract: 1,
    });
    expect((await get('/')).body.hint).toContain('/v1/models');
  });

  test('metrics count requests, tokens and latencies, without names of models or clients', async () => {
    const wanted = [
      /colophon_http_requests_total\{route="\/v1\/chat\/completions",method="POST",status="200"\} [1-9]/,
      /colophon_tokens_total\{type="completion",kind="adapter"\} \d/,
      /colophon_time_to_first_token_seconds_count [1-9]/,
      /colophon_inter_token_seconds_count [1-9]/,
      /colophon_generations_running\{kind="adapter"\} 0/,
    ];
    // A request is counted after its client has the answer, and on a busy machine all tokens of one may come together.
    await until(async () => {
      await server.post('/v1/chat/completions', {
        model: 'one',
        messages: [{ role: 'user', content: 'Hi' }],
        max_tokens: 3,
        user: 'ann',
      });
      const { body } = await get('/metrics');
      return wanted.every((line) => line.test(body));
    });
    const { body, headers } = await get('/metrics');
    expect(headers.get('content-type')).toContain('text/plain');
    for (const line of wanted) expect(body).toMatch(line);
    expect(body).not.toContain('"one"');
    expect(body).not.toContain('ann');
  });
});

describe('logs', () => {
  test('have one line a request with its counts, and never what was said', async () => {
    await server.post(
      '/v1/chat/completions',
      { model, messages: [{ role: 'user', content: 'my secret' }], max_tokens: 2, ignore_eos: true },
      { 'x-request-id': 'mine-1', authorization: 'Bearer hidden' },
    );
    await until(() => server.logged.some((line) => line.reqId === 'mine-1'));
    const lines = server.logged.filter((line) => line.reqId === 'mine-1');
    expect(lines).toEqual([
      {
        level: 30,
        time: expect.any(Number),
        reqId: 'mine-1',
        method: 'POST',
        route: '/v1/chat/completions',
        status: 200,
        ms: expect.any(Number),
        model,
        promptTokens: expect.any(Number),
        completionTokens: 2,
        firstTokenMs: expect.any(Number),
        finish: 'length',
        msg: 'request',
      },
    ]);
    const all = JSON.stringify(server.logged);
    expect(all).not.toContain('my secret');
    expect(all).not.toContain('hidden');
  });

  test('a request id of the client is kept where it is one', async () => {
    const { headers } = await server.post('/tokenize', { prompt: 'a' }, { 'x-request-id': 'abc-1.2' });
    expect(headers.get('x-request-id')).toBe('abc-1.2');
    const odd = await server.post('/tokenize', { prompt: 'a' }, { 'x-request-id': 'a b;c' });
    expect(odd.headers.get('x-request-id')).toMatch(/^req_/);
  });
});
