import { describe, expect, test } from 'vitest';
import { contents, refusalOf, rowsOf } from './testing/rows.ts';

const read = async (row: unknown) => contents(await rowsOf(JSON.stringify(row), 'rows.jsonl'));

describe('rows of JSON are of the format that their keys show', () => {
  const rows: Array<[string, unknown, unknown]> = [
    ['completion', { prompt: 'a', completion: 'b' }, { prompt: 'a', completion: 'b' }],
    ['text', { text: 'a' }, { text: 'a' }],
    [
      'alpaca',
      { instruction: 'Add', input: '', output: '3', text: 'rendered' },
      {
        messages: [
          { role: 'user', content: 'Add' },
          { role: 'assistant', content: '3' },
        ],
      },
    ],
    [
      'alpaca with all',
      { instruction: 'Add', input: '1 2', output: '3', system: 'Be brief.', history: [['q', 'a']] },
      {
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'q' },
          { role: 'assistant', content: 'a' },
          { role: 'user', content: 'Add\n\n1 2' },
          { role: 'assistant', content: '3' },
        ],
      },
    ],
    [
      'sharegpt',
      {
        id: 'x',
        system: 'S',
        conversations: [
          { from: 'human', value: 'a' },
          { from: 'gpt', value: 'b' },
        ],
      },
      {
        messages: [
          { role: 'system', content: 'S' },
          { role: 'user', content: 'a' },
          { role: 'assistant', content: 'b' },
        ],
      },
    ],
    [
      'sharegpt with tools',
      {
        tools: '[{"name":"f"}]',
        conversations: [
          { from: 'human', value: 'a' },
          { from: 'function_call', value: '{"name":"f","arguments":{"x":1}}' },
          { from: 'observation', value: 'r' },
          { from: 'gpt', value: 'b' },
        ],
      },
      {
        tools: [{ type: 'function', function: { name: 'f' } }],
        messages: [
          { role: 'user', content: 'a' },
          {
            role: 'assistant',
            content: null,
            tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"x":1}' } }],
          },
          { role: 'tool', content: 'r', tool_call_id: 'call_1' },
          { role: 'assistant', content: 'b' },
        ],
      },
    ],
  ];
  test.each(rows)('%s', async (_, row, content) => {
    expect(await read(row)).toEqual([content]);
  });

  const wrong: Array<[unknown, string]> = [
    [
      { a: 1 },
      'null: Row is of no known format on line 1: it has the keys "a", but none of messages, preferred_output, non_preferred_output, conversations, instruction, completion, prompt, text; name them in columns.',
    ],
    [
      {},
      'null: Row is of no known format on line 1: it has no keys, but none of messages, preferred_output, non_preferred_output, conversations, instruction, completion, prompt, text; name them in columns.',
    ],
    [{ prompt: 'a' }, 'completion: Completion is missing on line 1.'],
    [{ prompt: 'a', completion: ' ' }, 'completion: Completion is empty on line 1.'],
    [{ prompt: 1, completion: 'b' }, 'prompt: Prompt must be a string on line 1, not 1.'],
    [
      { prompt: 'a', completion: 'b', c: 1 },
      'c: Row has the unknown key "c" on line 1; known are prompt, completion, source, group, metadata.',
    ],
    [{ text: '' }, 'text: Text is empty on line 1.'],
    [{ instruction: 'a' }, 'output: Output is missing on line 1.'],
    [{ instruction: '', output: 'b' }, 'instruction: Instruction is empty on line 1.'],
    [
      { instruction: 'a', output: 'b', history: [['q']] },
      'history[0]: History must have pairs of texts on line 1, not ["q"].',
    ],
    [{ conversations: 1 }, 'conversations: Conversations must be a list on line 1, not 1.'],
    [
      { conversations: [{ from: 'cat', value: 'x' }] },
      'conversations[0].from: From must be one of system, human, user, gpt, assistant, chatgpt, function_call, observation, tool on line 1, not "cat".',
    ],
    [
      { conversations: [{ from: 'human', value: 'x' }] },
      'conversations: No message is from the assistant on line 1.',
    ],
    [{ conversations: [{ from: 'gpt', value: '' }] }, 'conversations[0].value: Value is empty on line 1.'],
    [
      { conversations: [{ from: 'gpt', value: 'x', z: 1 }] },
      'conversations[0].z: Turn has the unknown key "z" on line 1; known are from, value, weight.',
    ],
    [
      { conversations: [{ from: 'function_call', value: 'x' }] },
      'conversations[0].value: Function call must be the JSON of a name and arguments on line 1, not "x".',
    ],
    [
      { conversations: [{ from: 'observation', value: 'x' }] },
      'conversations[0].tool_call_id: Tool call id is missing on line 1.',
    ],
    [
      { tools: '{', conversations: [{ from: 'gpt', value: 'x' }] },
      'tools: Tools must be JSON on line 1, not "{".',
    ],
  ];
  test.each(wrong)('%j is refused', async (row, sentence) => {
    expect(await refusalOf(row)).toBe(sentence);
  });
});

describe('columns name the keys of other rows', () => {
  const columns = { prompt: 'q', completion: 'a', system: 's', source: 'from', group: 'topic' };

  test('and what they do not name is left out', async () => {
    const lines = [
      { q: 'x', a: 'y', rating: 12345678901234, from: 'book', topic: 7 },
      { q: 'x', a: 'y', s: 'Be brief.' },
    ];
    expect(
      (await rowsOf(lines.map((row) => JSON.stringify(row)).join('\n'), 'a.jsonl', { columns })).map(
        (row) => 'example' in row && row.example,
      ),
    ).toEqual([
      { content: { prompt: 'x', completion: 'y' }, source: 'book', group: '7' },
      {
        content: {
          messages: [
            { role: 'system', content: 'Be brief.' },
            { role: 'user', content: 'x' },
            { role: 'assistant', content: 'y' },
          ],
        },
      },
    ]);
  });

  test('a missing one is named as the file has it', async () => {
    expect(await refusalOf({ q: 'x' }, { columns })).toBe('a: Completion is missing on line 1.');
  });

  test('a mapping that says nothing of what is learned is an error', async () => {
    await expect(rowsOf('{"q":1}', 'a.jsonl', { columns: { prompt: 'q' } })).rejects.toMatchObject({
      code: 'unknown_format',
      message: expect.stringContaining('columns must name'),
    });
  });

  test('JSON inside a text is held to the same as a row', async () => {
    const columns = { messages: 'chat' };
    const inside = async (chat: string) => refusalOf({ chat }, { columns });
    const answer = '"role":"assistant","content"';
    expect(await inside(`[{${answer}:"\\ud800"}]`)).toBe(
      'chat[0].content: Text has half of a surrogate pair on line 1.',
    );
    expect(await inside(`[{${answer}:"a\\u0000"}]`)).toBe(
      'chat[0].content: Text has a NUL character on line 1.',
    );
    expect(await inside(`[{${answer}:"a","role":"user"}]`)).toBe(
      'role: Key "role" is there twice on line 1.',
    );
    expect(await inside(`[{${answer}:"a","__proto__":1}]`)).toBe(
      'chat[0].__proto__: Key "__proto__" is not allowed on line 1.',
    );
    expect(await inside('[')).toBe('chat: Column must be a list or its JSON on line 1, not "[".');
    expect(await inside(`[{${answer}:"a"}]`)).toBe('accepted');
  });

  test('pairs of answers may be texts', async () => {
    const row = JSON.stringify({ question: 'q', chosen: 'yes', rejected: 'no' });
    const columns = { prompt: 'question', preferred_output: 'chosen', non_preferred_output: 'rejected' };
    expect(contents(await rowsOf(row, 'a.jsonl', { columns }))).toEqual([
      {
        input: { messages: [{ role: 'user', content: 'q' }] },
        preferred_output: [{ role: 'assistant', content: 'yes' }],
        non_preferred_output: [{ role: 'assistant', content: 'no' }],
      },
    ]);
  });
});
