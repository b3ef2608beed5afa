/**
 * The compliance cases of Open Responses (github.com/openresponses/openresponses), re-created under their names over the mock:
 * what a model would say is scripted, what the server makes of it is checked against the published schema's required
 * fields. Its two optional cases (file-search, offline-web-search) need tools that are not served.
 */
import Schema from 'typebox/schema';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mockTokens } from '../host/testing/mock_text.ts';
import { startTestServer, type TestServer } from '../http/testing.ts';
import { findFault } from '../schema/fault.ts';
import { responseResource, streamingEvents } from './open_responses_schema.ts';

const model = 'mock/base';
const weather = {
  type: 'function',
  name: 'get_weather',
  description: 'The weather of a place now',
  parameters: { type: 'object', properties: { location: { type: 'string' } }, required: ['location'] },
};
const call = '<tool_call>\n{"name": "get_weather", "arguments": {"location": "Bergen"}}\n</tool_call>';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    reply: ({ prompt, constraint }) => {
      if (constraint) return undefined;
      const asked = Buffer.from(prompt.filter((id) => id >= 3).map((id) => id - 3)).toString();
      if (asked.includes('<tool_response>')) return 'It is raining.';
      if (asked.includes('get_weather')) return call;
      const name = /My name is (\w+)|word: (\w+)/.exec(asked);
      return name ? `You said ${name[1] ?? name[2]}.` : 'Good day to you.';
    },
  });
});
afterAll(() => server.close());

const message = (role: string, content: unknown) => ({ type: 'message', role, content });

/** A response that fits the schema. */
async function ask(body: object) {
  const answer = await server.post('/v1/responses', { model, stream: false, ...body });
  expect(answer.status).toBe(200);
  expectToFit(responseResource, answer.body);
  return answer.body;
}

/** Events that fit their schemas, and the last one's response. */
async function stream(body: object) {
  const {
    status,
    headers,
    body: sent,
  } = await server.post('/v1/responses', { model, stream: true, ...body });
  expect(status).toBe(200);
  expect(headers.get('content-type')).toMatch(/^text\/event-stream/);
  const blocks: string[] = sent.trimEnd().split('\n\n');
  expect(blocks.pop()).toBe('data: [DONE]');
  const events = blocks.map((block) => {
    const [, name, data] = /^event: (.+)\ndata: (.+)$/.exec(block)!;
    const event = JSON.parse(data!);
    expect(event.type).toBe(name);
    expectToFit(streamingEvents[event.type]!, event);
    return event;
  });
  return { events, response: events.at(-1).response };
}

function expectToFit(schema: Parameters<typeof findFault>[0], value: unknown): void {
  if (!Schema.Check(schema, value)) expect.fail(JSON.stringify(findFault(schema, value)));
}

test('basic-response', async () => {
  const response = await ask({ input: [message('user', 'Greet me in a few words.')] });
  expect(response).toMatchObject({ status: 'completed', output: [{ type: 'message', role: 'assistant' }] });
});

test('streaming-response', async () => {
  const { events, response } = await stream({ input: [message('user', 'Count to five.')] });
  expect(response.status).toBe('completed');
  const text = events.map(({ type, delta }) => (type === 'response.output_text.delta' ? delta : '')).join('');
  expect(response.output[0].content[0].text).toBe(text);
  expect(response.usage.output_tokens).toBe(mockTokens(text).length + 1);
});

test('system-prompt', async () => {
  const response = await ask({
    input: [message('system', 'You are a sailor of old.'), message('user', 'Greet me.')],
  });
  expect(response).toMatchObject({ status: 'completed', output: [{ type: 'message' }] });
});

const asksWeather = { input: [message('user', 'How is the weather in Bergen?')], tools: [weather] };

test('tool-calling', async () => {
  const { output } = await ask(asksWeather);
  expect(output).toMatchObject([{ type: 'function_call', name: 'get_weather' }]);
  expect(JSON.parse(output[0].arguments)).toEqual({ location: 'Bergen' });
});

test('tool-calling-streaming', async () => {
  const { events, response } = await stream(asksWeather);
  const kinds = events.map(({ type, item }) => (item ? `${type} ${item.type}` : type));
  for (const kind of [
    'response.output_item.added function_call',
    'response.function_call_arguments.delta',
    'response.function_call_arguments.done',
    'response.output_item.done function_call',
  ]) {
    expect(kinds).toContain(kind);
  }
  expect(response.output).toMatchObject([{ type: 'function_call', status: 'completed' }]);
});

test('function-call-roundtrip', async () => {
  const first = await ask({
    input: 'Use the tool to tell me the weather in Bergen.',
    tools: [
      { ...weather, parameters: { ...weather.parameters, properties: { location: { enum: ['Bergen'] } } } },
    ],
    tool_choice: { type: 'function', name: 'get_weather' },
  });
  expect(first.output).toMatchObject([{ type: 'function_call', name: 'get_weather' }]);
  expect(JSON.parse(first.output[0].arguments)).toEqual({ location: 'Bergen' });
  const second = await ask({
    previous_response_id: first.id,
    tools: [weather],
    input: [{ type: 'function_call_output', call_id: first.output[0].call_id, output: '{"sky":"rain"}' }],
  });
  expect(second).toMatchObject({ status: 'completed', output: [{ content: [{ text: 'It is raining.' }] }] });
});

test('multi-turn', async () => {
  const { output } = await ask({
    input: [
      message('user', 'My name is Alva.'),
      message('assistant', 'A pleasure, Alva.'),
      message('user', 'What am I called?'),
    ],
  });
  expect(output[0].content[0].text).toBe('You said Alva.');
});

test('previous-response-id', async () => {
  const first = await ask({ input: 'Keep this word: mango. Say nothing but yes.' });
  const second = await ask({ previous_response_id: first.id, input: 'Which word was it?' });
  expect(second.previous_response_id).toBe(first.id);
  expect(second.output[0].content[0].text).toBe('You said mango.');
});

/** The models served here read text only: nobody must think that a picture or a file was looked at. */
test.each([
  ['image-input', { type: 'input_image', image_url: 'data:image/png;base64,iVBORw0KGgo=' }],
  [
    'file-input',
    { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERi0=' },
  ],
])('%s is refused', async (_id, part) => {
  const { status, body } = await server.post('/v1/responses', {
    model,
    input: [message('user', [{ type: 'input_text', text: 'What is this?' }, part])],
  });
  expect([status, body.error.param]).toEqual([400, 'input[0].content[1].type']);
  expect(body.error.message).toContain('text only');
});
