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
  expect(lastPrompt()).toBe(`user\nOne.\nassistant\n${reply}\nuser\nTwo.\nassistant\n`);
});

describe('a response that is kept', () => {
  test('is retrieved, listed and deleted through the openai client', async () => {
    const made = await server.openai.responses.create({
      model,
      instructions: 'Be brief.',
      input: [
        { role: 'developer', content: 'Rule.' },
        { role: 'user', content: [{ type: 'input_text', text: 'Hi.' }] },
      ],
      metadata: { topic: 'greeting' },
    });
    const found = await server.openai.responses.retrieve(made.id);
    expect(found.output_text).toBe(reply);
    expect(found).toMatchObject({ id: made.id, metadata: { topic: 'greeting' }, instructions: 'Be brief.' });

    const page = await server.openai.responses.inputItems.list(made.id, { limit: 1 });
    expect(page.data).toMatchObject([{ role: 'user', content: [{ type: 'input_text', text: 'Hi.' }] }]);
    expect(page.has_more).toBe(true);
    const all = [];
    for await (const item of server.openai.responses.inputItems.list(made.id, { limit: 1, order: 'asc' })) {
      all.push((item as { role: string }).role);
    }
    expect(all).toEqual(['developer', 'user']);

    await server.openai.responses.delete(made.id);
    await expect(server.openai.responses.retrieve(made.id)).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining(`Response with id '${made.id}' not found.`),
    });
  });

  test('is not kept where store is false', async () => {
    const made = await server.openai.responses.create({ model, input: 'Hi.', store: false });
    await expect(server.openai.responses.retrieve(made.id)).rejects.toMatchObject({ status: 404 });
    await expect(
      server.openai.responses.create({ model, input: 'More.', previous_response_id: made.id }),
    ).rejects.toMatchObject({
      status: 400,
      code: 'previous_response_not_found',
      param: 'previous_response_id',
      error: { message: `Previous response with id '${made.id}' not found.` },
    });
  });

  test('gives its items to item_reference', async () => {
    const made = await server.openai.responses.create({ model, input: 'Once.' });
    await server.openai.responses.create({
      model,
      input: [
        { type: 'item_reference', id: made.output[0]!.id! },
        { role: 'user', content: 'Again.' },
      ],
    });
    expect(lastPrompt()).toBe(`assistant\n${reply}\nuser\nAgain.\nassistant\n`);
    await server.post('/v1/responses', {
      model,
      input: [{ id: made.output[0]!.id }, { role: 'user', content: 'Again.' }],
    });
    expect(lastPrompt()).toBe(`assistant\n${reply}\nuser\nAgain.\nassistant\n`);
    const { status, body } = await server.post('/v1/responses', {
      model,
      input: [{ type: 'item_reference', id: 'msg_nowhere' }],
    });
    expect([status, body.error.param]).toEqual([404, 'input[0].id']);
  });

  test('is its tenant’s alone', async () => {
    const keyed = await startTestServer({
      change: (config) => {
        config.access.keys = ['a', 'b'].map((tenant) => ({
          key: `key-${tenant}`,
          tenant,
          min_priority: 0,
          isolate: false,
        }));
      },
    });
    const as = (tenant: string) => ({ authorization: `Bearer key-${tenant}` });
    try {
      const { body } = await keyed.post('/v1/responses', { model, input: 'Hi.' }, as('a'));
      const path = `/v1/responses/${body.id}`;
      const get = async (tenant: string, at = path, method = 'GET') =>
        (await fetch(keyed.url + at, { method, headers: as(tenant) })).status;
      expect(await get('b')).toBe(404);
      expect(await get('b', `${path}/input_items`)).toBe(404);
      expect(await get('b', path, 'DELETE')).toBe(404);
      expect((await keyed.post(`${path}/cancel`, {}, as('b'))).status).toBe(404);
      const chained = { model, input: 'Hi.', previous_response_id: body.id };
      expect((await keyed.post('/v1/responses', chained, as('b'))).status).toBe(400);
      const item = [{ type: 'item_reference', id: body.output[0].id }];
      expect((await keyed.post('/v1/responses', { model, input: item }, as('b'))).status).toBe(404);
      expect(await get('a')).toBe(200);
    } finally {
      await keyed.close();
    }
  });
});

function lastPrompt(): string {
  const ids = server.backend.requests.at(-1)!.prompt;
  return Buffer.from(ids.filter((id) => id >= 3).map((id) => id - 3)).toString();
}
