import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from './testing.ts';

const model = 'mock/base';
const chat = { model, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 };
const completion = { model, prompt: 'Hi', max_tokens: 2 };
const routes = { '/v1/chat/completions': chat, '/v1/completions': completion };

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ context: 512, reply: () => 'Hello.' });
});
afterAll(() => server.close());

/** It is refused as OpenAI does it, and the server still serves. */
async function refused(path: string, body: unknown, status: number, param: string | null, code?: string) {
  const answer = await server.post(path, body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(status);
  expect(answer.body).toEqual({
    error: {
      message: expect.stringMatching(/[.?]$/),
      type: expect.any(String),
      param,
      code: code ?? answer.body.error.code,
    },
  });
  expect(['string', 'object']).toContain(typeof answer.body.error.code);
  expect(answer.headers.get('x-request-id')).toBeTruthy();
  return answer.body.error as { message: string; type: string; code: string };
}

async function stillServes() {
  expect((await server.post('/v1/chat/completions', chat)).status).toBe(200);
}

/** JSON texts of numbers, so that what JavaScript cannot hold reaches the server too. */
const numbers = [
  '-1',
  '0',
  '1',
  '1.5',
  '-0',
  '2147483647',
  '2147483648',
  '4294967296',
  '9223372036854775807',
];
const extremes = [
  '9223372036854775808',
  '1e999',
  '-1e999',
  '18446744073709551616',
  '0.1',
  '-2147483649',
  '1e-400',
];
const wrongTypes = ['"1"', 'true', '[]', '{}', '""', '"NaN"'];

/** For each field: which of the numbers above it takes. */
const fields: Record<string, (value: number) => boolean> = {
  temperature: (value) => value >= 0 && value <= 2,
  top_p: (value) => value >= 0 && value <= 1,
  min_p: (value) => value >= 0 && value <= 1,
  repetition_penalty: (value) => value > 0 && value <= 100,
  presence_penalty: (value) => Math.abs(value) <= 2,
  frequency_penalty: (value) => Math.abs(value) <= 2,
  top_k: (value) => Number.isInteger(value) && value >= -1 && value < 2 ** 31,
  n: (value) => Number.isInteger(value) && value >= 1 && value <= 128,
  priority: (value) => Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 31,
  seed: (value) => Number.isInteger(value) && Math.abs(value) <= 2 ** 63,
  min_tokens: (value) => Number.isInteger(value) && value >= 0 && value <= 2,
  prompt_logprobs: (value) => Number.isInteger(value) && value >= 0 && value <= 20,
};

describe.each(Object.entries(routes))('%s', (path, good) => {
  describe('numbers', () => {
    const own: typeof fields =
      path === '/v1/completions'
        ? {
            logprobs: (value) => Number.isInteger(value) && value >= 0 && value <= 20,
            max_tokens: (value) => value === 1 || value === 0,
          }
        : {
            top_logprobs: (value) => value === 0, // logprobs is not set
            max_tokens: (value) => value === 1,
            max_completion_tokens: (value) => value === 1,
          };
    test.each(Object.entries({ ...fields, ...own }))('%s', async (field, takes) => {
      const { [field]: _, ...rest } = good as Record<string, unknown>;
      const body = (value: string) => `${JSON.stringify(rest).slice(0, -1)},"${field}":${value}}`;
      for (const text of [...numbers, ...extremes]) {
        const answer = await server.post(path, body(text));
        const expected = takes(Number(text));
        expect(answer.status, `${field}: ${text} ${JSON.stringify(answer.body)}`).toBe(expected ? 200 : 400);
        if (expected) continue;
        expect(answer.body.error.type).toBe('invalid_request_error');
        expect([field, 'messages', 'prompt']).toContain(answer.body.error.param);
        expect(answer.body.error.message).not.toContain('undefined');
      }
      for (const text of wrongTypes) await refused(path, body(text), 400, field, 'invalid_type');
      const malformed = await refused(path, body('NaN'), 400, null, 'invalid_json');
      expect(malformed.message).toContain('We could not parse the JSON body');
      expect((await server.post(path, body('null'))).status).toBe(200);
    });
  });

  test.each<[string, unknown, string]>([
    ['stream', 'yes', 'stream'],
    ['stream_options', [], 'stream_options'],
    ['stop', 7, 'stop'],
    ['stop', ['a', 7], 'stop[1]'],
    ['stop', '', 'stop'],
    ['stop', ['', 'a'], 'stop[0]'],
    ['stop', Array(65).fill('x'), 'stop'],
    ['stop_token_ids', [1.5], 'stop_token_ids[0]'],
    ['stop_token_ids', [-1], 'stop_token_ids[0]'],
    ['stop_token_ids', [0, 100000], 'stop_token_ids[1]'],
    ['stop_token_ids', [2 ** 31], 'stop_token_ids[0]'],
    ['logit_bias', { 5: 101 }, 'logit_bias.5'],
    ['logit_bias', { 5: '1' }, 'logit_bias.5'],
    ['logit_bias', { five: 1 }, 'logit_bias'],
    ['logit_bias', { '-1': 1 }, 'logit_bias'],
    ['logit_bias', { 100000: 1 }, 'logit_bias'],
    ['logit_bias', { 99999999999999999999: 1 }, 'logit_bias'],
    ['logit_bias', [1], 'logit_bias'],
    ['model', 7, 'model'],
    ['model', '', 'model'],
    ['model', null, 'model'],
    ['cache_salt', '', 'cache_salt'],
    ['ignore_eos', 1, 'ignore_eos'],
    ['return_token_ids', 'x', 'return_token_ids'],
    ['user', 7, 'user'],
    ['metadata', 'x', 'metadata'],
  ])('%s: %j', async (field, value, param) => {
    await refused(path, { ...good, [field]: value }, 400, param);
  });

  test.each<[string, unknown]>([
    ['best_of', 3],
    ['use_beam_search', true],
    ['truncate_prompt_tokens', 3],
    ['bad_words', ['a']],
    ['allowed_token_ids', [1]],
    ['chat_template', '{{ 1 }}'],
    ['suffix', 'x'],
    ['modalities', ['text', 'audio']],
  ])('%s is refused, not ignored', async (field, value) => {
    const error = await refused(path, { ...good, [field]: value }, 400, field, 'unsupported_parameter');
    expect(error.message).toMatch(/\.$/);
  });

  test('the same fields are fine where they ask for nothing', async () => {
    const harmless = {
      tools: [],
      tool_choice: 'none',
      response_format: { type: 'text' },
      best_of: 1,
      suffix: null,
      modalities: ['text'],
      store: true,
      metadata: { a: 'b' },
      user: 'u',
      parallel_tool_calls: true,
      no_such_field: 1,
      logit_bias: {},
      stop: null,
      stop_token_ids: [],
    };
    expect((await server.post(path, { ...good, ...harmless })).status).toBe(200);
  });

  test('what is missing is named', async () => {
    const { model: _, ...rest } = good;
    const error = await refused(path, rest, 400, 'model', 'missing_required_parameter');
    expect(error.message).toBe("Missing required parameter: 'model'.");
    const what = path === '/v1/completions' ? 'prompt' : 'messages';
    await refused(path, { model }, 400, what, 'missing_required_parameter');
  });

  test('fields that contradict each other are named', async () => {
    await refused(path, { ...good, stream_options: { include_usage: true } }, 400, 'stream_options');
    await refused(path, { ...good, min_tokens: 5, max_tokens: 4 }, 400, 'min_tokens');
    await refused(path, { ...good, prompt_logprobs: 1, stream: true }, 400, 'prompt_logprobs');
  });

  test('an unknown model is a 404, and a near one is suggested', async () => {
    for (const id of [
      'no',
      '../../etc/passwd',
      'a\u0000b',
      `${'x'.repeat(500)}`,
      '__proto__',
      'constructor',
    ]) {
      const error = await refused(path, { ...good, model: id }, 404, 'model', 'model_not_found');
      expect(error.type).toBe('not_found_error');
    }
    const error = await refused(path, { ...good, model: 'mock-adaptr' }, 404, 'model');
    expect(error.message).toBe('The model `mock-adaptr` does not exist. Did you mean `mock-adapter`?');
  });

  test.each<[string, unknown]>([
    ['no body', ''],
    ['null', 'null'],
    ['a list', '[]'],
    ['a string', '"x"'],
    ['a number', '1'],
  ])('%s is not an object', async (_name, body) => {
    const error = await refused(path, body, 400, null);
    expect(error.message).toMatch(/must be a JSON object/);
  });

  test.each<[string, string | Uint8Array, string]>([
    ['malformed JSON', '{"model": "x",', 'invalid_json'],
    ['two values', '{} {}', 'invalid_json'],
    ['a byte order mark and nothing', '\ufeff', 'invalid_type'],
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22]), 'invalid_utf8'],
    ['half a character', Buffer.from([...Buffer.from('{"model":"'), 0xc3]), 'invalid_utf8'],
    ['an overlong character', Buffer.from([0x22, 0xc0, 0xaf, 0x22]), 'invalid_utf8'],
    ['nesting without end', '['.repeat(200_000), 'invalid_json'],
  ])('%s', async (_name, body, code) => {
    await refused(path, body, 400, null, code);
    await stillServes();
  });

  test('nesting is bounded, also in a field that is ignored, and brackets in strings are none', async () => {
    const body = (value: string) => `${JSON.stringify(good).slice(0, -1)},"ignored":${value}}`;
    const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;
    expect((await server.post(path, body(deep(511)))).status).toBe(200);
    const error = await refused(path, body(deep(512)), 400, null, 'invalid_json');
    expect(error.message).toBe('The JSON of the request is nested more than 512 levels deep.');
    const text = `\\"${'['.repeat(2000)}\\\\`;
    expect((await server.post(path, body(JSON.stringify(text)))).status).toBe(200);
    expect((await server.post(path, body(JSON.stringify({ '[{"': Array(2000).fill([]) })))).status).toBe(200);
  });

  test('10 MB are a 413 that the client gets to read', async () => {
    const large = JSON.stringify({ ...good, user: 'x'.repeat(10_000_000) });
    const error = await refused(path, large, 413, null, 'request_too_large');
    expect(error.message).toContain('8388608 bytes');
    await stillServes();
  });

  test('just below the limit is read', async () => {
    const answer = await server.post(path, { ...good, user: 'x'.repeat(8_000_000) });
    expect(answer.status).toBe(200);
  });

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
  ])('%s is a 415', async (type) => {
    const answer = await server.post(path, JSON.stringify(good), { 'content-type': type });
    expect(answer.status).toBe(415);
    expect(answer.body.error.message).toContain('Content-Type: application/json');
  });

  test('JSON of other spellings is JSON', async () => {
    for (const type of ['application/json; charset=utf-8', 'application/JSON', 'application/vnd.api+json']) {
      expect((await server.post(path, JSON.stringify(good), { 'content-type': type })).status).toBe(200);
    }
  });
});

describe('prompts that do not fit', () => {
  test('are refused with the counts, never truncated', async () => {
    const tooLong = await refused(
      '/v1/completions',
      { model, prompt: 'x'.repeat(512) },
      400,
      'prompt',
      'context_length_exceeded',
    );
    expect(tooLong.message).toBe(
      "This model's maximum context length is 512 tokens. However, your prompt resulted in 512 tokens, which leaves no room for a completion. Please reduce the length of your prompt.",
    );
    const both = await refused(
      '/v1/completions',
      { model, prompt: 'x'.repeat(500), max_tokens: 13 },
      400,
      'prompt',
      'context_length_exceeded',
    );
    expect(both.message).toBe(
      "This model's maximum context length is 512 tokens. However, you requested 513 tokens (500 in your prompt, 13 in the completion). Please reduce the length of your prompt or completion.",
    );
    await refused(
      '/v1/chat/completions',
      { model, messages: [{ role: 'user', content: 'x'.repeat(600) }] },
      400,
      'messages',
      'context_length_exceeded',
    );
    await refused(
      '/v1/chat/completions',
      { ...chat, max_tokens: 2 ** 31 - 1 },
      400,
      'messages',
      'context_length_exceeded',
    );
    expect(
      (await server.post('/v1/completions', { model, prompt: 'x'.repeat(500), max_tokens: 12 })).status,
    ).toBe(200);
  });
});

describe('messages', () => {
  test.each<[string, unknown, string]>([
    ['none', [], 'messages'],
    ['no list', {}, 'messages'],
    ['an unknown role', [{ role: 'root', content: 'x' }], 'messages[0].role'],
    ['no role', [{ content: 'x' }], 'messages[0].role'],
    ['a number as content', [{ role: 'user', content: 7 }], 'messages[0].content'],
    ['no content', [{ role: 'user', content: 'x' }, { role: 'assistant' }], 'messages[1].content'],
    ['content null', [{ role: 'user', content: null }], 'messages[0].content'],
    ['no parts', [{ role: 'user', content: [] }], 'messages[0].content'],
    [
      'an image',
      [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }],
      'messages[0].content[0]',
    ],
    ['a part without a type', [{ role: 'user', content: [{ text: 'x' }] }], 'messages[0].content[0].type'],
  ])('%s', async (_name, messages, param) => {
    await refused('/v1/chat/completions', { model, messages }, 400, param);
  });

  test('variables of the template cannot replace the messages', async () => {
    await refused(
      '/v1/chat/completions',
      { ...chat, chat_template_kwargs: { messages: [] } },
      400,
      'chat_template_kwargs.messages',
    );
  });

  test('top_logprobs needs logprobs', async () => {
    await refused('/v1/chat/completions', { ...chat, top_logprobs: 2 }, 400, 'top_logprobs');
  });
});

describe('prompts', () => {
  test.each<[string, unknown, string]>([
    ['empty', '', 'prompt'],
    ['no prompts', [], 'prompt'],
    ['an empty one among others', ['a', ''], 'prompt[1]'],
    ['no ids', [[]], 'prompt[0]'],
    ['a negative id', [3, -1], 'prompt[1]'],
    ['an id that is no integer', [3, 1.5], 'prompt[1]'],
    ['an id past the vocabulary', [3, 100000], 'prompt[1]'],
    ['one in a list of lists', [[3], [100000]], 'prompt[1][0]'],
    ['an id of 2^31', [2 ** 31], 'prompt[0]'],
    ['mixed', ['a', 1], 'prompt[1]'],
    ['an object', { text: 'x' }, 'prompt'],
    ['a number', 7, 'prompt'],
    ['null', null, 'prompt'],
  ])('%s', async (_name, prompt, param) => {
    await refused('/v1/completions', { model, prompt }, 400, param);
  });

  test('too many choices together', async () => {
    await refused(
      '/v1/completions',
      { model, prompt: Array(100).fill('a'), n: 100 },
      400,
      'n',
      'too_many_choices',
    );
  });
});

describe('urls', () => {
  test.each<[string, string, number, string]>([
    ['GET', '/v1/nothing', 404, 'unknown_url'],
    ['POST', '/v1/chat/completion', 404, 'unknown_url'],
    ['PUT', '/v1/chat/completions', 405, 'method_not_allowed'],
    ['PUT', '/v1/models/mock-adapter', 405, 'method_not_allowed'],
    ['POST', '/health', 405, 'method_not_allowed'],
    ['GET', '/v1/models/no-such', 404, 'model_not_found'],
    ['GET', '/v1/models/%E0%A4%A', 400, 'invalid_url'],
  ])('%s %s', async (method, path, status, code) => {
    const response = await fetch(server.url + path, { method });
    expect(response.status).toBe(status);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe(code);
    if (status === 405) expect(response.headers.get('allow')).toMatch(/GET|POST/);
  });
});
