import { describe, expect, test } from 'vitest';
import { contents, examples, refusalOf, rowsOf } from './testing/rows.ts';

const user = { role: 'user', content: 'Hello' };
const assistant = { role: 'assistant', content: 'Hi' };
const call = (id: string, given = '{"city":"Bern"}') => ({
  id,
  type: 'function',
  function: { name: 'weather', arguments: given },
});
const tool = { type: 'function', function: { name: 'weather', parameters: { type: 'object' } } };
const chat = (...messages: unknown[]) => ({ messages });

describe('conversations', () => {
  test('are read as they are', async () => {
    const rows = [
      chat({ role: 'system', content: 'Be brief.' }, user, assistant),
      { ...chat(user, { ...assistant, weight: 0 }, user, { ...assistant, weight: 1 }), tools: [tool] },
      chat(
        user,
        { role: 'assistant', content: null, tool_calls: [call('a'), call('b')] },
        {
          role: 'tool',
          content: 'Rain',
          tool_call_id: 'b',
        },
      ),
      chat({ ...user, name: 'Ann' }, assistant),
    ];
    const read = await rowsOf(rows.map((row) => JSON.stringify(row)).join('\n'), 'a.jsonl');
    expect(contents(read)).toEqual(rows);
    expect(read.map(({ line }) => line)).toEqual([1, 2, 3, 4]);
  });

  test('may say where they come from, and join parts of text', async () => {
    const parts = {
      role: 'user',
      content: [
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ],
    };
    const row = { ...chat(parts, assistant), source: 'book', group: 'g1', parallel_tool_calls: false };
    expect(examples(await rowsOf(JSON.stringify(row), 'a.jsonl'))).toEqual([
      { content: chat({ role: 'user', content: 'ab' }, assistant), source: 'book', group: 'g1' },
    ]);
  });

  const wrong: Array<[string, unknown, string]> = [
    [
      'weight',
      chat(user, { ...assistant, weight: 2 }),
      'messages[1].weight: Weight must be either 0 or 1 on line 1, not 2.',
    ],
    [
      'weight of true',
      chat(user, { ...assistant, weight: true }),
      'messages[1].weight: Weight must be either 0 or 1 on line 1, not true.',
    ],
    [
      'weight of a user',
      chat({ ...user, weight: 1 }, assistant),
      'messages[0].weight: Only assistant messages may have weight on line 1; this one is from user.',
    ],
    [
      'no weight',
      chat(user, { ...assistant, weight: 0 }),
      'messages: No assistant message has weight 1 on line 1.',
    ],
    ['no assistant', chat(user), 'messages: No message is from the assistant on line 1.'],
    ['no messages', { messages: [] }, 'messages: Messages are empty on line 1.'],
    [
      'a text for messages',
      { messages: 'Hello' },
      'messages: Messages must be a list on line 1, not "Hello".',
    ],
    ['a text for a message', chat('Hello'), 'messages[0]: Message must be an object on line 1, not "Hello".'],
    [
      'role',
      chat({ ...user, role: 'bot' }),
      'messages[0].role: Role must be one of system, developer, user, assistant, tool on line 1, not "bot".',
    ],
    ['no role', chat({ content: 'Hello' }), 'messages[0].role: Role is missing on line 1.'],
    ['no content', chat({ role: 'user' }, assistant), 'messages[0].content: Content is missing on line 1.'],
    [
      'null content',
      chat(user, { role: 'assistant', content: null }),
      'messages[1].content: Content is null on line 1.',
    ],
    [
      'empty content',
      chat(user, { role: 'assistant', content: '' }),
      'messages[1].content: Content is empty on line 1.',
    ],
    [
      'content of a number',
      chat({ role: 'user', content: 7 }),
      'messages[0].content: Content must be a string on line 1, not 7.',
    ],
    [
      'a picture',
      chat({ role: 'user', content: [{ type: 'image_url' }] }),
      'messages[0].content[0]: Content must be text on line 1, not "image_url".',
    ],
    [
      'key of a row',
      { ...chat(user, assistant), id: 1 },
      'id: Row has the unknown key "id" on line 1; known are messages, tools, parallel_tool_calls, source, group, metadata.',
    ],
    [
      'key of a message',
      chat({ ...user, mood: 1 }),
      'messages[0].mood: Message has the unknown key "mood" on line 1; known are role, content, name, weight, tool_calls, tool_call_id.',
    ],
    [
      'function_call',
      chat(user, { role: 'assistant', function_call: {} }),
      'messages[1].function_call: Message has the old key "function_call" on line 1; write tool_calls.',
    ],
    [
      'name',
      chat({ ...user, name: 'a b' }),
      'messages[0].name: Name must be 1 to 64 letters, digits, _ or - on line 1, not "a b".',
    ],
    [
      'parallel_tool_calls',
      { ...chat(user, assistant), parallel_tool_calls: 1 },
      'parallel_tool_calls: Parallel tool calls must be true or false on line 1, not 1.',
    ],
    [
      'source',
      { ...chat(user, assistant), source: ['a'] },
      'source: Source must be a string on line 1, not ["a"].',
    ],
    [
      'calls of a user',
      chat({ ...user, tool_calls: [call('a')] }),
      'messages[0].tool_calls: Only assistant messages may have tool_calls on line 1; this one is from user.',
    ],
    [
      'no calls',
      chat(user, { role: 'assistant', tool_calls: [] }),
      'messages[1].tool_calls: Tool calls are empty on line 1; leave them out.',
    ],
    [
      'type of a call',
      chat(user, { role: 'assistant', tool_calls: [{ ...call('a'), type: 'x' }] }),
      'messages[1].tool_calls[0].type: Type must be "function" on line 1, not "x".',
    ],
    [
      'two calls',
      chat(user, { role: 'assistant', tool_calls: [call('a'), call('a')] }),
      'messages[1].tool_calls[1].id: Two tool calls have the id "a" on line 1.',
    ],
    [
      'arguments',
      chat(user, { role: 'assistant', tool_calls: [call('a', 'Bern')] }),
      'messages[1].tool_calls[0].function.arguments: Arguments must be the JSON of an object on line 1, not "Bern".',
    ],
    [
      'no call id',
      chat(user, assistant, { role: 'tool', content: 'x' }),
      'messages[2].tool_call_id: Tool call id is missing on line 1.',
    ],
    [
      'answer to no call',
      chat(user, assistant, { role: 'tool', content: 'x', tool_call_id: 'z' }),
      'messages[2].tool_call_id: Tool call id "z" is that of no call before it on line 1.',
    ],
    [
      'call id of a user',
      chat({ ...user, tool_call_id: 'a' }),
      'messages[0].tool_call_id: Only tool messages may have tool_call_id on line 1; this one is from user.',
    ],
    ['tools', { ...chat(user, assistant), tools: {} }, 'tools: Tools must be a list on line 1, not {}.'],
    [
      'tool',
      { ...chat(user, assistant), tools: [{ type: 'web' }] },
      'tools[0].type: Type must be "function" on line 1, not "web".',
    ],
    [
      'name of a tool',
      { ...chat(user, assistant), tools: [{ type: 'function', function: { name: 'a b' } }] },
      'tools[0].function.name: Function name must be 1 to 64 letters, digits, _, . or - on line 1, not "a b".',
    ],
    [
      'two tools',
      { ...chat(user, assistant), tools: [tool, tool] },
      'tools[1].function.name: Two tools have the name "weather" on line 1.',
    ],
  ];
  test.each(wrong)('are refused: %s', async (_, row, sentence) => {
    expect(await refusalOf(row)).toBe(sentence);
  });

  test('are refused where they are not of the format that was said', async () => {
    expect(await refusalOf({ prompt: 'a', completion: 'b' }, { format: 'chat' })).toMatch(
      /^prompt: Row has the unknown key/,
    );
  });
});

describe('preference pairs', () => {
  const pair = {
    input: { messages: [user] },
    preferred_output: [assistant],
    non_preferred_output: [{ ...assistant, content: 'No' }],
  };

  test('are read as they are', async () => {
    const withTools = { ...pair, input: { messages: [user], tools: [tool] } };
    const rows = await rowsOf([pair, withTools].map((row) => JSON.stringify(row)).join('\n'), 'a.jsonl');
    expect(contents(rows)).toEqual([pair, withTools]);
  });

  const wrong: Array<[string, unknown, string]> = [
    [
      'no input',
      { ...pair, input: undefined },
      'input: Input must be an object with messages on line 1, not undefined.',
    ],
    [
      'key of the input',
      { ...pair, input: { messages: [user], x: 1 } },
      'input.x: Input has the unknown key "x" on line 1; known are messages, tools, parallel_tool_calls.',
    ],
    ['no answer', { ...pair, preferred_output: [] }, 'preferred_output: Messages are empty on line 1.'],
    [
      'answer of a user',
      { ...pair, preferred_output: [user] },
      'preferred_output[0].role: Role must be assistant on line 1, not "user".',
    ],
    [
      'one answer',
      { ...pair, non_preferred_output: [assistant] },
      'non_preferred_output: Both answers are the same on line 1.',
    ],
  ];
  test.each(wrong)('are refused: %s', async (_, row, sentence) => {
    expect(await refusalOf(row)).toBe(sentence);
  });
});
