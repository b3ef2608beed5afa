/** Tools in chat completions, over the mock backend and through OpenAI's own client. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mockText, mockTokens, mockVocabulary } from '../host/testing/mock_text.ts';
import { eventsOf, startTestServer, type TestServer } from './testing.ts';

const model = 'mock/base';
const path = '/v1/chat/completions';
const user = { role: 'user' as const, content: 'Weather in Lisbon?' };
const weather = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    description: 'The weather of a city',
    parameters: {
      type: 'object',
      properties: { city: { enum: ['Lisbon', 'Porto'] }, days: { type: 'integer', minimum: 1, maximum: 9 } },
      required: ['city', 'days'],
      additionalProperties: false,
    },
  },
};
const time = { type: 'function' as const, function: { name: 'time' } };
const tools = [weather, time];
const written = (name: string, given: string) =>
  `<tool_call>\n{"name": "${name}", "arguments": ${given}}\n</tool_call>`;

let reply: string | undefined;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ reply: () => reply });
});
afterAll(() => server.close());

const ask = (fields: object = {}) =>
  server.post(path, { model, messages: [user], tools, max_tokens: 400, ...fields });

/** What a stream of one choice adds up to. */
function joined(stream: string) {
  const { events, done } = eventsOf(stream);
  expect(done).toBe(true);
  const calls: Array<{ id: string; type: string; function: { name: string; arguments: string } }> = [];
  let content: string | null = null;
  let finish: string | null = null;
  for (const { choices } of events) {
    const [choice] = choices;
    if (typeof choice.delta.content === 'string') content = (content ?? '') + choice.delta.content;
    for (const { index, ...call } of choice.delta.tool_calls ?? []) {
      if (call.id) calls[index] = call;
      else calls[index]!.function.arguments += call.function.arguments;
    }
    finish = choice.finish_reason ?? finish;
  }
  return { content, calls, finish };
}

describe('a model that may call', () => {
  test('is answered as a message with tool_calls, whole and streamed', async () => {
    reply = `Let me look.\n${written('get_weather', '{"city": "Lisbon", "days": 2}')}\n${written('time', '{}')}`;
    const { body } = await ask();
    const [choice] = body.choices;
    expect(choice.finish_reason).toBe('tool_calls');
    expect(choice.message).toEqual({
      role: 'assistant',
      content: 'Let me look.',
      refusal: null,
      tool_calls: [
        {
          id: expect.stringMatching(/^call_\w+$/),
          type: 'function',
          function: { name: 'get_weather', arguments: '{"city": "Lisbon", "days": 2}' },
        },
        {
          id: expect.stringMatching(/^call_\w+$/),
          type: 'function',
          function: { name: 'time', arguments: '{}' },
        },
      ],
    });
    const stream = await ask({ stream: true });
    const { content, calls, finish } = joined(stream.body);
    expect(content).toBe('Let me look.');
    expect(finish).toBe('tool_calls');
    expect(calls.map(({ function: called, type }) => ({ type, function: called }))).toEqual(
      choice.message.tool_calls.map(({ id: _, ...call }: { id: string }) => call),
    );
    // Arguments come as they are written, not at the end.
    const pieces = eventsOf(stream.body).events.filter(
      (event) => event.choices[0].delta.tool_calls?.[0].function.arguments,
    );
    expect(pieces.length).toBeGreaterThan(10);
  });

  test('has no content where it only calls', async () => {
    reply = written('time', '{}');
    expect((await ask()).body.choices[0].message.content).toBeNull();
    expect(joined((await ask({ stream: true })).body).content).toBeNull();
  });

  test('may answer in words, and is told of the tools', async () => {
    reply = 'It is sunny.';
    const { body } = await ask({ return_token_ids: true });
    expect(body.choices[0]).toMatchObject({
      finish_reason: 'stop',
      message: { role: 'assistant', content: 'It is sunny.', refusal: null },
    });
    expect(body.choices[0].message).not.toHaveProperty('tool_calls');
    const told = await server.post('/detokenize', { model, tokens: body.prompt_token_ids });
    expect(told.body.prompt).toContain('<tools>\n{"type": "function", "function": {"name": "get_weather"');
    const counted = await server.post('/tokenize', { model, messages: [user], tools });
    expect(counted.body.tokens).toEqual(body.prompt_token_ids);
  });

  test('that calls what there is not only wrote text', async () => {
    reply = written('rm', '{}');
    const { body } = await ask();
    expect(body.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: reply } });
    expect(joined((await ask({ stream: true })).body)).toEqual({ content: reply, calls: [], finish: 'stop' });
  });

  test('calls once where calls may not be parallel', async () => {
    reply = `${written('time', '{}')}\n${written('time', '{"a": 1}')}`;
    const { body } = await ask({ parallel_tool_calls: false });
    expect(body.choices[0].message.tool_calls.length).toBe(1);
  });

  test('that must call ends where it repeats itself', async () => {
    const lisbon = written('get_weather', '{"city": "Lisbon", "days": 2}');
    const porto = written('get_weather', '{"city": "Porto", "days": 2}');
    reply = [lisbon, porto, lisbon, written('time', '{}')].join('\n');
    const required = { tool_choice: 'required' };
    const [choice] = (await ask(required)).body.choices;
    const called = (calls: Array<{ function: { arguments: string } }>) =>
      calls.map((one) => JSON.parse(one.function.arguments).city);
    expect(choice.finish_reason).toBe('tool_calls');
    expect(called(choice.message.tool_calls)).toEqual(['Lisbon', 'Porto']);
    const { calls, finish, content } = joined((await ask({ ...required, stream: true })).body);
    expect(called(calls)).toEqual(['Lisbon', 'Porto']);
    expect([finish, content]).toEqual(['tool_calls', null]);
    expect(called((await ask()).body.choices[0].message.tool_calls).length).toBe(4);
    await expect.poll(() => server.backend.running).toBe(0);
  });

  test('cut in its arguments ended for its length', async () => {
    reply = written('time', '{"a": "long enough"}');
    const { body } = await ask({ max_tokens: 55 });
    expect(body.choices[0]).toMatchObject({
      finish_reason: 'length',
      message: { tool_calls: [{ function: { name: 'time', arguments: expect.stringMatching(/^\{"a"/) } }] },
    });
  });

  test('is not told of tools with tool_choice none, and what looks like a call is text', async () => {
    reply = written('time', '{}');
    const { body } = await ask({ tool_choice: 'none', return_token_ids: true });
    expect(body.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: reply } });
    const told = await server.post('/detokenize', { model, tokens: body.prompt_token_ids });
    expect(told.body.prompt).not.toContain('<tools>');
  });

  test('log-probabilities are of every token, the markers’ too', async () => {
    reply = `Hm.\n${written('time', '{}')}`;
    const { body } = await ask({ logprobs: true, return_token_ids: true });
    expect(body.choices[0].logprobs.content.length).toBe(body.usage.completion_tokens);
    const { events } = eventsOf((await ask({ logprobs: true, return_token_ids: true, stream: true })).body);
    const choices = events.map((event) => event.choices[0]);
    expect(choices.flatMap((choice) => choice.logprobs?.content ?? [])).toEqual(
      body.choices[0].logprobs.content,
    );
    expect(choices.flatMap((choice) => choice.token_ids ?? [])).toEqual(body.choices[0].token_ids);
  });
});

test('a strict tool keeps a model that chooses to its schema', async () => {
  const strict = [{ type: 'function', function: { ...weather.function, strict: true } }];
  reply = '<tool_call>\n{"name": "rm", "arguments": {"city": "Rome"}}\n</tool_call>';
  // What the mask does not allow of the reply, the mock draws otherwise; it ends where it may.
  const { status, body } = await ask({ tools: strict, parallel_tool_calls: false });
  expect(status, JSON.stringify(body)).toBe(200);
  const [choice] = body.choices;
  expect(choice.finish_reason).toBe('tool_calls');
  expect(choice.message.tool_calls[0].function).toMatchObject({
    name: 'get_weather',
    arguments: expect.stringMatching(/^\{"city": "(Lisbon|Porto)", "days": [1-9]\}$/),
  });
});

describe('a call that is forced', () => {
  test.each<[string, object, RegExp]>([
    ['required', { tool_choice: 'required' }, /^(get_weather|time)$/],
    ['named', { tool_choice: { type: 'function', function: { name: 'get_weather' } } }, /^get_weather$/],
    [
      'allowed_tools',
      {
        tool_choice: {
          type: 'allowed_tools',
          allowed_tools: { mode: 'required', tools: [{ type: 'function', function: { name: 'time' } }] },
        },
      },
      /^time$/,
    ],
    ['beside a response_format', { tool_choice: 'required', response_format: { type: 'json_object' } }, /./],
  ])('%s, for each of n choices, whole and streamed', async (_name, fields, names) => {
    reply = undefined;
    const request = { ...fields, n: 4, seed: 3, parallel_tool_calls: false };
    const { status, body } = await ask(request);
    expect(status, JSON.stringify(body)).toBe(200);
    for (const { message, finish_reason } of body.choices) {
      expect(finish_reason).toBe('tool_calls');
      expect(message.content).toBeNull();
      expect(message.tool_calls.length).toBe(1);
      const called = message.tool_calls[0].function;
      expect(called.name).toMatch(names);
      if (called.name === 'time') expect(called.arguments).toBe('{}');
      else expect(called.arguments).toMatch(/^\{"city": "(Lisbon|Porto)", "days": [1-9]\}$/);
    }
    const { events } = eventsOf((await ask({ ...request, stream: true })).body);
    for (const { index, message } of body.choices) {
      const given = events
        .map((event) => event.choices[0])
        .filter((choice) => choice.index === index)
        .flatMap((choice) => choice.delta.tool_calls ?? [])
        .map((call) => call.function.arguments ?? '')
        .join('');
      expect(given).toBe(message.tool_calls[0].function.arguments);
    }
  });

  test('a form of the answer stands beside calls', async () => {
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] };
    const response_format = { type: 'json_schema', json_schema: { name: 'x', schema } };
    reply = undefined;
    const seen = new Set<string>();
    for (let seed = 0; seed < 24; seed++) {
      const { body } = await ask({ response_format, seed, parallel_tool_calls: false });
      const { message, finish_reason } = body.choices[0];
      seen.add(finish_reason);
      if (finish_reason === 'stop') expect(message.content).toMatch(/^\{"ok": (true|false)\}$/);
    }
    expect(seen).toEqual(new Set(['stop', 'tool_calls']));
  });
});

describe('functions, as they were before tools', () => {
  const functions = [weather.function];

  test('are answered as a function_call, whole and streamed', async () => {
    reply = written('get_weather', '{"city": "Porto"}');
    const request = { tools: undefined, functions };
    const { body } = await ask(request);
    expect(body.choices[0]).toMatchObject({
      finish_reason: 'function_call',
      message: { content: null, function_call: { name: 'get_weather', arguments: '{"city": "Porto"}' } },
    });
    const { events } = eventsOf((await ask({ ...request, stream: true })).body);
    const calls = events.map((event) => event.choices[0].delta.function_call).filter(Boolean);
    expect(calls[0].name).toBe('get_weather');
    expect(calls.map((call) => call.arguments).join('')).toBe('{"city": "Porto"}');
    expect(events.at(-1).choices[0].finish_reason).toBe('function_call');
  });

  test('can be forced, and their results are read', async () => {
    reply = undefined;
    const { status, body } = await ask({
      tools: undefined,
      functions,
      function_call: { name: 'get_weather' },
      messages: [
        user,
        { role: 'assistant', content: null, function_call: { name: 'get_weather', arguments: '{}' } },
        { role: 'function', name: 'get_weather', content: 'rain' },
      ],
      return_token_ids: true,
    });
    expect(status, JSON.stringify(body)).toBe(200);
    expect(body.choices[0].message.function_call.name).toBe('get_weather');
    const told = await server.post('/detokenize', { model, tokens: body.prompt_token_ids });
    expect(told.body.prompt).toContain('<tool_response>\nrain\n</tool_response>');
  });
});

describe('is refused', () => {
  const named = (name: unknown) => [{ type: 'function', function: { name } }];
  test.each<[string, object, string, RegExp]>([
    ['a wrong name', { tools: named('a b') }, 'tools[0].function.name', /does not match pattern/],
    ['a name too long', { tools: named('a'.repeat(65)) }, 'tools[0].function.name', /too long/],
    ['no name', { tools: named(undefined) }, 'tools[0].function.name', /Missing/],
    ['no function', { tools: [{ type: 'function' }] }, 'tools[0].function', /Missing/],
    ['another type', { tools: [{ type: 'custom', custom: {} }] }, 'tools[0].type', /not supported/],
    ['two of a name', { tools: [time, time] }, 'tools[1].function.name', /Names must differ/],
    [
      'parameters that are no object',
      { tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'string' } } }] },
      'tools[0].function.parameters',
      /Invalid schema for function 'f'/,
    ],
    [
      'a strict schema that cannot be enforced',
      {
        tools: [
          time,
          {
            type: 'function',
            function: { name: 'f', strict: true, parameters: { type: 'object', not: {} } },
          },
        ],
        tool_choice: 'required',
      },
      'tools[1].function.parameters',
      /'not' at the top cannot be enforced/,
    ],
    [
      'a schema that cannot be compiled',
      {
        tools: [
          { type: 'function', function: { name: 'f', parameters: { properties: { a: { type: 'nope' } } } } },
        ],
        tool_choice: 'required',
      },
      'tools',
      /Unsupported type "nope"/,
    ],
    ['a choice without tools', { tools: undefined, tool_choice: 'required' }, 'tool_choice', /only allowed/],
    [
      'an unknown choice',
      { tool_choice: { type: 'function', function: { name: 'x' } } },
      'tool_choice.function.name',
      /no tool of this request is named 'x'/,
    ],
    ['a choice of an unknown type', { tool_choice: { type: 'x' } }, 'tool_choice.type', /Invalid value/],
    ['a choice that is none', { tool_choice: 'maybe' }, 'tool_choice', /Invalid/],
    [
      'an allowed tool that there is not',
      {
        tool_choice: {
          type: 'allowed_tools',
          allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name: 'x' } }] },
        },
      },
      'tool_choice.allowed_tools.tools[0].function.name',
      /no tool/,
    ],
    ['both kinds', { functions: [weather.function] }, 'functions', /two names of one thing/],
    [
      'another form',
      { structured_outputs: { regex: 'a' } },
      'structured_outputs.regex',
      /cannot be combined/,
    ],
    ['no end', { tool_choice: 'required', ignore_eos: true }, 'ignore_eos', /has to end/],
    ['too many', { tools: Array(129).fill(time) }, 'tools', /too long/],
  ])('%s', async (_name, fields, param, sentence) => {
    const { status, body } = await ask(fields);
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ param, message: expect.stringMatching(sentence) });
  });

  const call = { id: 'c1', type: 'function', function: { name: 'time', arguments: '{}' } };
  test.each<[string, object[], string, RegExp]>([
    [
      'a result of no call',
      [user, { role: 'tool', tool_call_id: 'c1', content: '' }],
      'messages[1].role',
      /must be a response to a preceeding message/,
    ],
    [
      'a result of another call',
      [user, { role: 'assistant', tool_calls: [call] }, { role: 'tool', tool_call_id: 'c2', content: '' }],
      'messages[2].tool_call_id',
      /not found in 'tool_calls' of previous message/,
    ],
    [
      'a result without an id',
      [user, { role: 'assistant', tool_calls: [call] }, { role: 'tool', content: '' }],
      'messages[2].tool_call_id',
      /Missing/,
    ],
    [
      'a call without a result',
      [user, { role: 'assistant', tool_calls: [call] }, user],
      'messages[2].role',
      /did not have response messages: c1/,
    ],
    [
      'a last call without a result',
      [user, { role: 'assistant', tool_calls: [call] }],
      'messages[1].role',
      /did not have response/,
    ],
    ['calls of a user', [{ ...user, tool_calls: [call] }], 'messages[0].tool_calls', /only allowed/],
    [
      'a call without a function',
      [
        user,
        { role: 'assistant', tool_calls: [{ id: 'c1' }] },
        { role: 'tool', tool_call_id: 'c1', content: '' },
      ],
      'messages[1].tool_calls[0].function',
      /Missing/,
    ],
    [
      'a custom call',
      [
        user,
        { role: 'assistant', tool_calls: [{ id: 'c1', type: 'custom' }] },
        { role: 'tool', tool_call_id: 'c1', content: '' },
      ],
      'messages[1].tool_calls[0].type',
      /not supported/,
    ],
  ])('in messages: %s', async (_name, messages, param, sentence) => {
    const { status, body } = await ask({ messages });
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ param, message: expect.stringMatching(sentence) });
  });

  test('forcing, where the backend cannot', async () => {
    const other = await startTestServer({ constrains: false });
    try {
      const { status, body } = await other.post(path, {
        model,
        messages: [user],
        tools,
        tool_choice: 'required',
      });
      expect(status).toBe(400);
      expect(body.error).toMatchObject({ param: 'tool_choice', code: 'unsupported_parameter' });
    } finally {
      await other.close();
    }
  });
});

describe('the form of the chat template', () => {
  const native =
    '{% for message in messages %}{{ message.content }}{% if message.tool_calls %}{{ message.tool_calls[0].id }}{% endif %}{% endfor %}{{ tools }}';

  test('Mistral’s marker is a special token, and is read as one', async () => {
    const marker = { id: mockVocabulary, content: '[TOOL_CALLS]', special: true, normalized: false };
    const { tokenizer } = mockText as unknown as {
      tokenizer: { added_tokens: object[]; model: { vocab: object } };
    };
    const text = {
      ...mockText,
      chatTemplate: `${native}{# [TOOL_CALLS] #}`,
      vocabularySize: mockVocabulary + 1,
      tokenizer: {
        ...tokenizer,
        added_tokens: [
          ...tokenizer.added_tokens,
          { ...marker, single_word: false, lstrip: false, rstrip: false },
        ],
        model: { ...tokenizer.model, vocab: { ...tokenizer.model.vocab, [marker.content]: marker.id } },
      },
    };
    let script: number[] | undefined = [
      ...mockTokens('Hm.'),
      marker.id,
      ...mockTokens('[{"name": "time", "arguments": {}}, {"name": "get_weather", "arguments": {"city": 1}}]'),
    ];
    const mistral = await startTestServer({ text, reply: () => script });
    try {
      const request = { model, messages: [user], tools, seed: 1, max_tokens: 400 };
      const { body } = await mistral.post(path, request);
      expect(body.choices[0]).toMatchObject({
        finish_reason: 'tool_calls',
        message: {
          content: 'Hm.',
          tool_calls: [{ function: { name: 'time' } }, { function: { arguments: '{"city": 1}' } }],
        },
      });
      script = undefined;
      const forced = await mistral.post(path, {
        ...request,
        tool_choice: 'required',
        parallel_tool_calls: false,
      });
      expect(forced.body.choices[0]).toMatchObject({
        finish_reason: 'tool_calls',
        message: {
          content: null,
          tool_calls: [{ function: { name: expect.stringMatching(/^(time|get_weather)$/) } }],
        },
      });
    } finally {
      await mistral.close();
    }
  });

  test('Llama’s call is the whole answer', async () => {
    const text = { ...mockText, chatTemplate: `${native}{# <|python_tag|> #}` };
    const llama = await startTestServer({ text, reply: () => '{"name": "time", "parameters": {"a": 1}}' });
    try {
      const { body } = await llama.post(path, { model, messages: [user], tools });
      expect(body.choices[0]).toMatchObject({
        finish_reason: 'tool_calls',
        message: { content: null, tool_calls: [{ function: { name: 'time', arguments: '{"a": 1}' } }] },
      });
    } finally {
      await llama.close();
    }
  });
});

describe('OpenAI’s client', () => {
  test('streams calls', async () => {
    reply = `Hm.\n${written('get_weather', '{"city": "Lisbon", "days": 1}')}`;
    const stream = server.openai.chat.completions.stream({ model, messages: [user], tools });
    const seen: string[] = [];
    stream.on('tool_calls.function.arguments.done', ({ name, arguments: given }) =>
      seen.push(`${name} ${given}`),
    );
    const completion = await stream.finalChatCompletion();
    expect(seen).toEqual(['get_weather {"city": "Lisbon", "days": 1}']);
    expect(completion.choices[0]!.finish_reason).toBe('tool_calls');
    expect(completion.choices[0]!.message.content).toBe('Hm.');
  });

  test.each([false, true])('runs tools, streaming: %s', async (stream) => {
    let answers = 0;
    const talking = await startTestServer({
      reply: () => (answers++ === 0 ? `${written('add', '{"a": 2, "b": 3}')}` : 'It is 5.'),
    });
    try {
      const given: unknown[] = [];
      const add = {
        type: 'function' as const,
        function: {
          name: 'add',
          description: 'Adds',
          parameters: { type: 'object', properties: { a: { type: 'number' }, b: { type: 'number' } } },
          parse: JSON.parse,
          function: (numbers: { a: number; b: number }) => {
            given.push(numbers);
            return String(numbers.a + numbers.b);
          },
        },
      };
      const body = { model, messages: [{ role: 'user' as const, content: '2 + 3?' }], tools: [add] };
      const runner = stream
        ? talking.openai.chat.completions.runTools({ ...body, stream: true })
        : talking.openai.chat.completions.runTools(body);
      expect(await runner.finalContent()).toBe('It is 5.');
      expect(given).toEqual([{ a: 2, b: 3 }]);
      expect(answers).toBe(2);
    } finally {
      await talking.close();
    }
  });
});
