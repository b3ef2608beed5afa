/** Tool calls of the default model, whose chat template knows no tools. */
import type OpenAI from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EngineServer, startEngineServer } from './server.ts';

let server: EngineServer;
beforeAll(async () => {
  server = await startEngineServer();
});
afterAll(() => server.close());

const tools: OpenAI.ChatCompletionFunctionTool[] = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'The weather in a city',
      parameters: {
        type: 'object',
        properties: { city: { type: 'string', maxLength: 20 }, unit: { enum: ['celsius', 'fahrenheit'] } },
        required: ['city', 'unit'],
        additionalProperties: false,
      },
    },
  },
  { type: 'function', function: { name: 'tell_time' } },
];
const messages: OpenAI.ChatCompletionMessageParam[] = [
  { role: 'user', content: 'What is the weather in Lisbon, in celsius?' },
];
const request = {
  model: 'base',
  messages,
  tools,
  max_tokens: 100,
  temperature: 0,
  parallel_tool_calls: false,
};

const checkArguments = (text: string) => {
  const given = JSON.parse(text);
  expect(Object.keys(given)).toEqual(['city', 'unit']);
  expect(['celsius', 'fahrenheit']).toContain(given.unit);
};

test('a named tool is called with arguments of its schema, at any temperature, streamed alike', async () => {
  const tool_choice = { type: 'function' as const, function: { name: 'get_weather' } };
  for (const temperature of [0, 2]) {
    const asked = { ...request, tool_choice, temperature, seed: 7 };
    const whole = await server.openai.chat.completions.create(asked);
    const [choice] = whole.choices;
    expect(choice!.finish_reason).toBe('tool_calls');
    const [call] = choice!.message.tool_calls as OpenAI.ChatCompletionMessageFunctionToolCall[];
    expect(call!.function.name).toBe('get_weather');
    checkArguments(call!.function.arguments);
    const streamed = await server.openai.chat.completions.stream(asked).finalChatCompletion();
    const [again] = streamed.choices[0]!.message.tool_calls as OpenAI.ChatCompletionMessageFunctionToolCall[];
    expect(again!.function.arguments).toBe(call!.function.arguments);
  }
});

test('a call is required, and its result read', async () => {
  const first = await server.openai.chat.completions.create({ ...request, tool_choice: 'required' });
  const { message } = first.choices[0]!;
  const [call] = message.tool_calls as OpenAI.ChatCompletionMessageFunctionToolCall[];
  if (call!.function.name === 'get_weather') checkArguments(call!.function.arguments);
  else expect(call!.function).toEqual({ name: 'tell_time', arguments: '{}' });
  const more = [...messages, message, { role: 'tool', tool_call_id: call!.id, content: '31 degrees, sunny' }];
  const { status, body } = await server.post('/v1/chat/completions', {
    ...request,
    tool_choice: 'none',
    messages: more,
    return_token_ids: true,
  });
  expect(status, JSON.stringify(body)).toBe(200);
  const { prompt_token_ids: tokens } = body as { prompt_token_ids: number[] };
  const told = (await server.post('/detokenize', { model: 'base', tokens })).body as { prompt: string };
  expect(told.prompt).toContain(`<tool_call>\n{"name": "${call!.function.name}"`);
  expect(told.prompt).toContain('<tool_response>\n31 degrees, sunny\n</tool_response>');
});

test('a strict tool is called as its schema says, where the model chooses to call', async () => {
  const [weather, time] = tools;
  const strict = [{ ...weather!, function: { ...weather!.function, strict: true } }, time!];
  for (const seed of [1, 2, 3]) {
    const { choices } = await server.openai.chat.completions.create({
      ...request,
      tools: strict,
      temperature: 1,
      seed,
    });
    const { message, finish_reason } = choices[0]!;
    if (finish_reason === 'length') continue;
    // What begins as a call is one.
    expect(message.content ?? '').not.toContain('<tool_call>');
    for (const call of (message.tool_calls ?? []) as OpenAI.ChatCompletionMessageFunctionToolCall[]) {
      if (call.function.name === 'get_weather') checkArguments(call.function.arguments);
    }
  }
});
