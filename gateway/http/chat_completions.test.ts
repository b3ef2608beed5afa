import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mockEndToken, mockTokens } from '../host/testing/mock_text.ts';
import { eventsOf, startTestServer, type TestServer } from './testing.ts';

const model = 'mock/base';
const messages = [{ role: 'user' as const, content: 'Say it.' }];
const prompt = '<|im_start|>user\nSay it.<|im_end|>\n<|im_start|>assistant\n';
const promptTokens = 3 + mockTokens('user\nSay it.\nassistant\n').length;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    adapters: ['mock-adapter'],
    reply: (request) => (request.model === 'mock-adapter' ? 'I am the adapter.' : 'Hello, wörld! 👋'),
  });
});
afterAll(() => server.close());

describe('a plain answer', () => {
  test('has exactly the fields of OpenAI', async () => {
    const { status, headers, body } = await server.post('/v1/chat/completions', { model, messages });
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(headers.get('x-request-id')).toMatch(/^req_[0-9a-f]{32}$/);
    expect(headers.get('openai-processing-ms')).toMatch(/^\d+$/);
    const completion = Buffer.byteLength('Hello, wörld! 👋') + 1;
    expect(body).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{30}$/),
      object: 'chat.completion',
      created: expect.any(Number),
      model,
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello, wörld! 👋', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: promptTokens,
        completion_tokens: completion,
        total_tokens: promptTokens + completion,
        prompt_tokens_details: { cached_tokens: expect.any(Number), audio_tokens: 0 },
        completion_tokens_details: {
          reasoning_tokens: 0,
          audio_tokens: 0,
          accepted_prediction_tokens: 0,
          rejected_prediction_tokens: 0,
        },
      },
      system_fingerprint: expect.stringMatching(/^fp_/),
    });
  });

  test('comes through the openai client', async () => {
    const answer = await server.openai.chat.completions.create({ model: 'mock-adapter', messages });
    expect(answer.choices[0]!.message.content).toBe('I am the adapter.');
    expect(answer._request_id).toMatch(/^req_/);
  });
});

describe('a stream', () => {
  test('has exactly the chunks of OpenAI', async () => {
    const { headers, body } = await server.post('/v1/chat/completions', {
      model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(headers.get('x-request-id')).toMatch(/^req_/);
    const { events, done } = eventsOf(body);
    expect(done).toBe(true);
    const shared = {
      id: events[0].id,
      object: 'chat.completion.chunk',
      created: events[0].created,
      model,
      system_fingerprint: events[0].system_fingerprint,
    };
    const choice = (delta: object, finish: string | null) => ({
      ...shared,
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
      usage: null,
    });
    expect(events[0]).toEqual(choice({ role: 'assistant', content: '', refusal: null }, null));
    const texts = events.slice(1, -2);
    for (const event of texts) expect(event).toEqual(choice({ content: expect.any(String) }, null));
    expect(texts.map((event) => event.choices[0].delta.content).join('')).toBe('Hello, wörld! 👋');
    expect(body).not.toContain('\ufffd');
    expect(events.at(-2)).toEqual(choice({}, 'stop'));
    expect(events.at(-1)).toEqual({
      ...shared,
      choices: [],
      usage: expect.objectContaining({
        prompt_tokens: promptTokens,
        completion_tokens: texts.length + 4 + 1,
      }),
    });
  });

  test('holds no half of a character where its length cuts one', async () => {
    const cut = { model, messages, max_tokens: Buffer.byteLength('Hello, w') + 1 };
    const { body } = await server.post('/v1/chat/completions', { ...cut, stream: true });
    const { events } = eventsOf(body);
    expect(events.map((event) => event.choices[0].delta.content ?? '').join('')).toBe('Hello, w');
    expect(events.at(-1).choices[0].finish_reason).toBe('length');
    const whole = await server.post('/v1/chat/completions', cut);
    expect(whole.body.choices[0].message.content).toBe('Hello, w');
  });

  test('comes through the openai client, whose final object is that of the plain answer', async () => {
    const runner = server.openai.chat.completions.stream({
      model,
      messages,
      stream_options: { include_usage: true },
    });
    const final = await runner.finalChatCompletion();
    expect(final.choices[0]!.message.content).toBe('Hello, wörld! 👋');
    expect(final.choices[0]!.finish_reason).toBe('stop');
    expect(final.usage!.total_tokens).toBe(promptTokens + Buffer.byteLength('Hello, wörld! 👋') + 1);
  });

  test('without include_usage has no usage at all', async () => {
    const { body } = await server.post('/v1/chat/completions', { model, messages, stream: true });
    expect(eventsOf(body).events.every((event) => !('usage' in event) && event.choices.length === 1)).toBe(
      true,
    );
  });

  test('with continuous_usage_stats counts in every chunk', async () => {
    const { body } = await server.post('/v1/chat/completions', {
      model,
      messages,
      stream: true,
      max_tokens: 3,
      stream_options: { include_usage: true, continuous_usage_stats: true },
    });
    const { events } = eventsOf(body);
    expect(events.map((event) => event.usage.completion_tokens)).toEqual([1, 1, 2, 3, 3, 3]);
  });
});

test('the prompt is what the template makes of the messages', async () => {
  const { body } = await server.post('/v1/chat/completions', { model, messages, return_token_ids: true });
  const { body: tokenized } = await server.post('/tokenize', { model, prompt });
  expect(body.prompt_token_ids).toEqual(tokenized.tokens);
  expect(body.choices[0].token_ids).toEqual([...mockTokens('Hello, wörld! 👋'), mockEndToken]);
});
