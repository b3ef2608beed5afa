import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from './testing.ts';

const model = 'mock/base';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    reply: ({ constraint }) => (constraint ? undefined : 'Yes.'),
    context: 400,
  });
});
afterAll(() => server.close());

const ask = (body: object) => server.post('/v1/responses', { model, ...body });
const user = (content: unknown) => ({ role: 'user', content });

/** What the model was given last, without special tokens. */
function prompt(): string {
  const ids = server.backend.requests.at(-1)!.prompt;
  return Buffer.from(ids.filter((id) => id >= 3).map((id) => id - 3)).toString();
}

describe('input', () => {
  test.each<[string, object, string]>([
    ['a string', { input: 'Hi.' }, 'user\nHi.\nassistant\n'],
    [
      'roles',
      {
        input: [
          { role: 'developer', content: 'D.' },
          user('Q.'),
          { role: 'assistant', content: 'A.' },
          user('R.'),
        ],
      },
      'system\nD.\nuser\nQ.\nassistant\nA.\nuser\nR.\nassistant\n',
    ],
    [
      'parts',
      {
        input: [
          user([
            { type: 'input_text', text: 'One.' },
            { type: 'input_text', text: 'Two.' },
          ]),
        ],
      },
      'user\nOne.\nTwo.\nassistant\n',
    ],
    [
      'an output message',
      {
        input: [
          user('Q.'),
          {
            type: 'message',
            id: 'msg_1',
            status: 'completed',
            role: 'assistant',
            content: [{ type: 'output_text', text: 'A.', annotations: [] }],
          },
          user('R.'),
        ],
      },
      'user\nQ.\nassistant\nA.\nuser\nR.\nassistant\n',
    ],
    ['instructions', { instructions: 'I.', input: 'Hi.' }, 'system\nI.\nuser\nHi.\nassistant\n'],
    [
      'instructions before a system message',
      { instructions: 'I.', input: [{ role: 'system', content: 'S.' }, user('Hi.')] },
      'system\nI.\n\nS.\nuser\nHi.\nassistant\n',
    ],
    [
      'reasoning, which is left out',
      { input: [user('Q.'), { type: 'reasoning', id: 'rs_1', summary: [] }, user('R.')] },
      'user\nQ.\nuser\nR.\nassistant\n',
    ],
  ])('%s', async (_name, body, expected) => {
    expect((await ask(body)).status).toBe(200);
    expect(prompt()).toBe(expected);
  });

  test.each<[string, object, number, string | null, string]>([
    ['none', {}, 400, 'input', 'missing_required_parameter'],
    ['no items', { input: [] }, 400, 'input', 'empty_array'],
    ['a number', { input: 3 }, 400, 'input', 'invalid_type'],
    ['an item that is none', { input: ['x'] }, 400, 'input', 'invalid_value'],
    [
      'an item of another kind',
      { input: [{ type: 'web_search_call' }] },
      400,
      'input[0].type',
      'unsupported_value',
    ],
    [
      'a message without a role',
      { input: [{ content: 'x' }] },
      400,
      'input[0].role',
      'missing_required_parameter',
    ],
    [
      'a message without content',
      { input: [{ role: 'user' }] },
      400,
      'input[0].content',
      'missing_required_parameter',
    ],
    [
      'an image',
      { input: [user([{ type: 'input_image', image_url: 'data:,' }])] },
      400,
      'input[0].content[0].type',
      'unsupported_value',
    ],
    [
      'a file',
      { input: [user([{ type: 'input_file' }])] },
      400,
      'input[0].content[0].type',
      'unsupported_value',
    ],
    [
      'a text part without text',
      { input: [user([{ type: 'input_text' }])] },
      400,
      'input[0].content[0].text',
      'missing_required_parameter',
    ],
    ['a conversation', { input: 'x', conversation: 'conv_1' }, 400, 'conversation', 'unsupported_parameter'],
    ['a prompt template', { input: 'x', prompt: { id: 'p' } }, 400, 'prompt', 'unsupported_parameter'],
    ['max_tokens', { input: 'x', max_tokens: 3 }, 400, 'max_tokens', 'unsupported_parameter'],
    [
      'response_format',
      { input: 'x', response_format: { type: 'text' } },
      400,
      'response_format',
      'unsupported_parameter',
    ],
    ['messages', { messages: [user('x')] }, 400, 'messages', 'unsupported_parameter'],
    ['an unknown include', { input: 'x', include: ['all'] }, 400, 'include[0]', 'invalid_value'],
    [
      'too many metadata',
      { input: 'x', metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v'])) },
      400,
      'metadata',
      'object_above_max_properties',
    ],
    [
      'a long key of metadata',
      { input: 'x', metadata: { ['k'.repeat(65)]: 'v' } },
      400,
      'metadata',
      'string_above_max_length',
    ],
    ['a number in metadata', { input: 'x', metadata: { k: 1 } }, 400, 'metadata.k', 'invalid_type'],
    [
      'a schema without a schema',
      { input: 'x', text: { format: { type: 'json_schema', name: 'n' } } },
      400,
      'text.format.schema',
      'missing_required_parameter',
    ],
    [
      'a schema that is wrong',
      { input: 'x', text: { format: { type: 'json_schema', name: 'n', schema: { type: 'nothing' } } } },
      400,
      'text.format.schema',
      'invalid_grammar',
    ],
    ['too many tokens', { input: 'x', max_output_tokens: 400 }, 400, 'input', 'context_length_exceeded'],
    ['too long an input', { input: 'x'.repeat(400) }, 400, 'input', 'context_length_exceeded'],
    ['an unknown model', { input: 'x', model: 'nobody' }, 404, 'model', 'model_not_found'],
    [
      'a result of no call',
      { input: [{ type: 'function_call_output', call_id: 'call_1', output: '' }] },
      400,
      'input',
      'invalid_value',
    ],
    [
      'a call without its result',
      { input: [{ type: 'function_call', call_id: 'call_1', name: 'f', arguments: '{}' }] },
      400,
      'input',
      'invalid_value',
    ],
  ])('refuses %s', async (_name, body, status, param, code) => {
    const answer = await ask(body);
    expect([answer.status, answer.body.error.param, answer.body.error.code]).toEqual([status, param, code]);
    const streamed = await ask({ ...body, stream: true });
    expect([streamed.status, streamed.body.error.param]).toEqual([status, param]);
  });
});

describe('truncation', () => {
  const turns = Array.from({ length: 12 }, (_, turn) => [
    user(`Question ${turn} ${'q'.repeat(20)}`),
    { role: 'assistant', content: `Answer ${turn}` },
  ]).flat();
  const input = [{ role: 'system', content: 'Rule.' }, ...turns, user('Last.')];

  test('auto leaves the oldest turns out, as few as it must, and never what the system says', async () => {
    const { status, body } = await ask({ input, truncation: 'auto', max_output_tokens: 50 });
    expect([status, body.truncation]).toEqual([200, 'auto']);
    expect(prompt()).toMatch(/^system\nRule\.\nuser\nQuestion \d+ /);
    expect(prompt()).toMatch(/user\nLast\.\nassistant\n$/);
    const { length } = server.backend.requests.at(-1)!.prompt;
    expect(length).toBeLessThanOrEqual(350);
    expect(length).toBeGreaterThan(350 - 60);
    const items = await server.openai.responses.inputItems.list(body.id, { limit: 100 });
    expect(items.data.length).toBeLessThan(input.length);
  });

  test('disabled refuses what is too long; auto too, where the last turn alone is', async () => {
    expect((await ask({ input })).body.error.code).toBe('context_length_exceeded');
    const last = [...turns, user('x'.repeat(500))];
    expect((await ask({ input: last, truncation: 'auto' })).body.error.code).toBe('context_length_exceeded');
  });
});

describe('the form of the text', () => {
  const schema = {
    type: 'object',
    properties: { ok: { type: 'boolean' } },
    required: ['ok'],
    additionalProperties: false,
  };

  test('json_schema is kept to, and told back', async () => {
    const format = { type: 'json_schema' as const, name: 'answer', schema, strict: true };
    const made = await server.openai.responses.create({ model, input: 'Ok?', text: { format } });
    expect(Object.keys(JSON.parse(made.output_text))).toEqual(['ok']);
    expect(made.text).toEqual({ format: { ...format, description: null }, verbosity: 'medium' });
  });

  test('json_object is an object', async () => {
    const made = await server.openai.responses.create({
      model,
      input: 'Ok?',
      text: { format: { type: 'json_object' } },
      max_output_tokens: 300,
    });
    expect(made.output_text).toMatch(/^\{/);
  });
});

describe('the answer', () => {
  test('is incomplete where it is cut', async () => {
    const { body } = await ask({ input: 'Hi.', max_output_tokens: 2 });
    expect(body).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      completed_at: null,
      output: [{ status: 'incomplete', content: [{ text: 'Ye' }] }],
      usage: { output_tokens: 2 },
    });
  });

  test('has log-probabilities where they are asked for, in deltas and whole', async () => {
    const asked = {
      model,
      input: 'Hi.',
      top_logprobs: 2,
      include: ['message.output_text.logprobs' as const],
    };
    const { body } = await ask(asked);
    const { logprobs } = body.output[0].content[0];
    expect(logprobs.map(({ token }: { token: string }) => token).slice(0, 4)).toEqual(['Y', 'e', 's', '.']);
    expect(logprobs[0].top_logprobs).toHaveLength(2);
    const parts = [];
    for await (const event of await server.openai.responses.create({ ...asked, stream: true })) {
      if (event.type === 'response.output_text.delta') parts.push(...event.logprobs);
    }
    expect(parts.map(({ token }) => token)).toEqual(logprobs.map(({ token }: { token: string }) => token));
  });

  test('counts cached tokens', async () => {
    const input = 'A prompt of more than one page of tokens.';
    await ask({ input });
    const { body } = await ask({ input });
    expect(body.usage.input_tokens_details.cached_tokens).toBeGreaterThan(0);
  });

  test('obeys what chat completions obey', async () => {
    await ask({
      input: 'Hi.',
      temperature: 0.5,
      top_p: 0.9,
      top_k: 7,
      seed: 3,
      logit_bias: { 5: 1 },
      stop: ['s'],
    });
    const request = server.backend.requests.at(-1)!;
    expect(request.sampling).toMatchObject({
      temperature: 0.5,
      topP: 0.9,
      topK: 7,
      seed: 3n,
      logitBias: [[5, 1]],
    });
    expect((await ask({ input: 'Hi.', stop: ['s'] })).body.output[0].content[0].text).toBe('Ye');
  });

  test('tells back what was asked', async () => {
    const asked = {
      input: 'Hi.',
      instructions: 'I.',
      max_output_tokens: 20,
      max_tool_calls: 3,
      metadata: { a: 'b' },
      prompt_cache_key: 'key',
      reasoning: { effort: 'low', summary: null },
      safety_identifier: 'someone',
      temperature: 0.3,
      top_p: 0.4,
      truncation: 'auto',
      user: 'me',
      frequency_penalty: 0.1,
      presence_penalty: 0.2,
    };
    const { input: _input, ...told } = asked;
    expect((await ask({ ...asked, service_tier: 'flex' })).body).toMatchObject({
      ...told,
      service_tier: 'default',
    });
  });
});

test('input tokens are counted as a response would have them', async () => {
  const { body } = await ask({ input: 'Count me.', instructions: 'I.' });
  const counted = await server.openai.responses.inputTokens.count({
    model,
    input: 'Count me.',
    instructions: 'I.',
  });
  expect(counted).toEqual({ object: 'response.input_tokens', input_tokens: body.usage.input_tokens });
  const more = await server.openai.responses.inputTokens.count({
    input: 'More.',
    previous_response_id: body.id,
  });
  expect(more.input_tokens).toBeGreaterThan(counted.input_tokens - 3);
});

test.each<[string, string, string]>([
  ['stream', 'stream=maybe', 'stream'],
  ['starting_after', 'stream=true&starting_after=x', 'starting_after'],
  ['limit', 'limit=0', 'limit'],
  ['order', 'order=up', 'order'],
  ['after', 'after=msg_none', 'after'],
])('refuses a wrong %s in a query', async (_name, query, param) => {
  const { body } = await ask({ input: 'Hi.' });
  const path = param === 'stream' || param === 'starting_after' ? '' : '/input_items';
  const answer = await fetch(`${server.url}/v1/responses/${body.id}${path}?${query}`);
  expect([answer.status, ((await answer.json()) as { error: { param: string } }).error.param]).toEqual([
    400,
    param,
  ]);
});
