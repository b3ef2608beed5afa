import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from './testing.ts';

const model = 'mock/base';
const reply = 'Hello, wörld! 👋';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ reply: () => reply });
});
afterAll(() => server.close());

describe('a plain response', () => {
  test('has the fields of OpenAI', async () => {
    const { status, body } = await server.post('/v1/responses', { model, input: 'Say it.' });
    expect(status).toBe(200);
    expect(body).toEqual({
      id: expect.stringMatching(/^resp_[0-9a-f]{48}$/),
      object: 'response',
      created_at: expect.any(Number),
      status: 'completed',
      background: false,
      completed_at: expect.any(Number),
      error: null,
      frequency_penalty: 0,
      incomplete_details: null,
      instructions: null,
      max_output_tokens: null,
      max_tool_calls: null,
      model,
      output: [
        {
          id: expect.stringMatching(/^msg_/),
          type: 'message',
          status: 'completed',
          role: 'assistant',
          content: [{ type: 'output_text', annotations: [], logprobs: [], text: reply }],
        },
      ],
      parallel_tool_calls: true,
      presence_penalty: 0,
      previous_response_id: null,
      prompt_cache_key: null,
      prompt_cache_retention: null,
      reasoning: { effort: null, summary: null },
      safety_identifier: null,
      service_tier: 'default',
      store: true,
      temperature: 1,
      text: { format: { type: 'text' }, verbosity: 'medium' },
      tool_choice: 'auto',
      tools: [],
      top_logprobs: 0,
      top_p: 1,
      truncation: 'disabled',
      usage: {
        input_tokens: 26,
        input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
        output_tokens: Buffer.byteLength(reply) + 1,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 26 + Buffer.byteLength(reply) + 1,
      },
      user: null,
      metadata: {},
    });
  });
});

describe('a stream', () => {
  test('tells of every part in order, numbered', async () => {
    const stream = await server.openai.responses.create({ model, input: 'Say it.', stream: true });
    const events = [];
    for await (const event of stream) events.push(event);
    const kinds = events.map((event) => event.type);
    const deltas = kinds.filter((kind) => kind === 'response.output_text.delta').length;
    expect(deltas).toBeGreaterThan(5);
    expect(kinds.filter((kind) => kind !== 'response.output_text.delta')).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
  });

  test('comes through the openai client', async () => {
    const final = await server.openai.responses.stream({ model, input: 'Say it.' }).finalResponse();
    expect(final.output_text).toBe(reply);
  });
});

test('a response goes on from an earlier one', async () => {
  const first = await server.openai.responses.create({ model, input: 'One.', instructions: 'Be brief.' });
  await server.openai.responses.create({ model, input: 'Two.', previous_response_id: first.id });
  const ids = server.backend.requests.at(-1)!.prompt;
  const told = Buffer.from(ids.filter((id) => id >= 3).map((id) => id - 3)).toString();
  expect(told).toBe(`user\nOne.\nassistant\n${reply}\nuser\nTwo.\nassistant\n`);
});
