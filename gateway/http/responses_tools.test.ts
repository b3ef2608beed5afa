import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from './testing.ts';

const model = 'mock/base';
const tool = {
  type: 'function' as const,
  name: 'get_weather',
  description: 'The weather of a place.',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string', enum: ['Lisbon', 'Oslo'] } },
    required: ['city'],
    additionalProperties: false,
  },
  strict: false,
};
const clock = { type: 'function' as const, name: 'clock', parameters: null, strict: null };
const call = (city: string) =>
  `<tool_call>\n{"name": "get_weather", "arguments": {"city": "${city}"}}\n</tool_call>`;

let server: TestServer;
let reply = '';
beforeAll(async () => {
  server = await startTestServer({ reply: ({ constraint }) => (constraint ? undefined : reply) });
});
afterAll(() => server.close());

const ask = (body: object) =>
  server.post('/v1/responses', { model, input: 'Weather?', tools: [tool], ...body });

function prompt(): string {
  const ids = server.backend.requests.at(-1)!.prompt;
  return Buffer.from(ids.filter((id) => id >= 3).map((id) => id - 3)).toString();
}

describe('tools', () => {
  test('the model is told of them, and its call is an item', async () => {
    reply = `Let me look.\n${call('Lisbon')}`;
    const { status, body } = await ask({});
    expect(status).toBe(200);
    expect(prompt()).toContain('"name": "get_weather"');
    expect(body.output).toEqual([
      {
        id: expect.stringMatching(/^msg_/),
        type: 'message',
        status: 'completed',
        role: 'assistant',
        content: [{ type: 'output_text', annotations: [], logprobs: [], text: 'Let me look.' }],
      },
      {
        id: expect.stringMatching(/^fc_/),
        type: 'function_call',
        status: 'completed',
        call_id: expect.stringMatching(/^call_/),
        name: 'get_weather',
        arguments: '{"city": "Lisbon"}',
      },
    ]);
    expect(body).toMatchObject({ tools: [tool], tool_choice: 'auto', parallel_tool_calls: true });
  });

  test('a call streams as events, which the openai client puts together', async () => {
    reply = `${call('Lisbon')}\n${call('Oslo')}`;
    const stream = server.openai.responses.stream({ model, input: 'Weather?', tools: [tool] });
    const kinds: string[] = [];
    for await (const event of stream) kinds.push(event.type);
    const once = kinds.filter((kind, index) => kind !== kinds[index - 1]);
    const one = [
      'response.output_item.added',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.output_item.done',
    ];
    expect(once).toEqual(['response.created', 'response.in_progress', ...one, ...one, 'response.completed']);
    const final = await stream.finalResponse();
    expect(final.output.map((item) => item.type === 'function_call' && item.arguments)).toEqual([
      '{"city": "Lisbon"}',
      '{"city": "Oslo"}',
    ]);
  });

  test('results go back to the model, after the chain or in the input', async () => {
    reply = call('Oslo');
    const first = await server.openai.responses.create({ model, input: 'Weather?', tools: [tool] });
    const called = first.output[0]!;
    if (called.type !== 'function_call') throw new Error('No call came.');
    reply = 'It rains.';
    const result = { type: 'function_call_output' as const, call_id: called.call_id, output: 'rain' };
    const second = await server.openai.responses.create({
      model,
      previous_response_id: first.id,
      input: [result],
      tools: [tool],
    });
    expect(second.output_text).toBe('It rains.');
    const chained = prompt();
    expect(chained).toContain(`assistant\n${call('Oslo')}\nuser\n<tool_response>\nrain\n</tool_response>`);
    await server.openai.responses.create({
      model,
      input: [
        { role: 'user', content: 'Weather?' },
        called,
        { ...result, output: [{ type: 'input_text', text: 'rain' }] },
      ],
      tools: [tool],
    });
    expect(prompt()).toBe(chained);
  });

  test('one call where no more are wanted', async () => {
    reply = `${call('Lisbon')}\n${call('Oslo')}`;
    expect((await ask({ parallel_tool_calls: false })).body.output).toHaveLength(1);
  });

  test('none where the choice is none: the model is not told of them', async () => {
    reply = 'No.';
    expect((await ask({ tool_choice: 'none' })).body.output).toMatchObject([{ type: 'message' }]);
    expect(prompt()).not.toContain('get_weather');
  });

  test.each<[string, unknown]>([
    ['required', 'required'],
    ['named', { type: 'function', name: 'get_weather' }],
    [
      'allowed',
      { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'get_weather' }] },
    ],
  ])('a call is forced, with arguments of its schema: %s', async (_name, choice) => {
    const { status, body } = await ask({
      tools: [clock, tool],
      tool_choice: choice,
      parallel_tool_calls: false,
      max_output_tokens: 300,
    });
    expect(status).toBe(200);
    expect(body.tool_choice).toEqual(choice);
    expect(body.output).toHaveLength(1);
    const [{ type, name, arguments: given }] = body.output;
    expect(type).toBe('function_call');
    if (choice !== 'required') expect(name).toBe('get_weather');
    if (name === 'get_weather') expect(['Lisbon', 'Oslo']).toContain(JSON.parse(given).city);
  });

  test('what a strict tool is called with keeps to its schema where the model chooses, too', async () => {
    const { status, body } = await ask({ tools: [{ ...tool, strict: true }] });
    expect([status, body.tools[0].strict]).toEqual([200, true]);
    expect(server.backend.requests.at(-1)!.constraint).toBeDefined();
  });

  test('an answer of a form may be a call instead', async () => {
    const schema = {
      type: 'object',
      properties: { ok: { type: 'boolean' } },
      required: ['ok'],
      additionalProperties: false,
    };
    const { status, body } = await ask({ text: { format: { type: 'json_schema', name: 'answer', schema } } });
    expect(status).toBe(200);
    const [item] = body.output;
    if (item.type === 'message') expect(Object.keys(JSON.parse(item.content[0].text))).toEqual(['ok']);
    else expect(Object.keys(JSON.parse(item.arguments))).toEqual(['city']);
  });

  test('a call that is cut is incomplete', async () => {
    reply = call('Lisbon');
    const { body } = await ask({ max_output_tokens: 60 });
    expect(body.status).toBe('incomplete');
    expect(body.output).toMatchObject([{ type: 'function_call', status: 'incomplete' }]);
  });

  test.each<[string, object, string]>([
    ['a tool that OpenAI runs', { tools: [{ type: 'web_search' }] }, 'tools[0].type'],
    ['an MCP server', { tools: [{ type: 'mcp', server_label: 'x' }] }, 'tools[0].type'],
    ['a tool without a name', { tools: [{ type: 'function' }] }, 'tools[0].name'],
    ['a name with spaces', { tools: [{ ...tool, name: 'a b' }] }, 'tools[0].name'],
    ['two of one name', { tools: [tool, tool] }, 'tools[1].name'],
    ['a choice of no tool', { tool_choice: { type: 'function', name: 'other' } }, 'tool_choice.name'],
    ['a choice of another kind', { tool_choice: { type: 'web_search' } }, 'tool_choice.type'],
    ['required without tools', { tools: [], tool_choice: 'required' }, 'tool_choice'],
    [
      'none allowed',
      { tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [] } },
      'tool_choice.tools',
    ],
    ['parameters that are no object', { tools: [{ ...tool, parameters: [] }] }, 'tools[0].parameters'],
  ])('refuses %s', async (_name, body, param) => {
    const answer = await ask(body);
    expect([answer.status, answer.body.error.param]).toEqual([400, param]);
  });
});
