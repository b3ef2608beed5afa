import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ToolPart } from './tool.ts';
import { ToolCallReader } from './tool_call_reader.ts';
import { toolsOfTemplate } from './tool_form.ts';

const forms = {
  hermes: toolsOfTemplate().form,
  mistral: toolsOfTemplate('[TOOL_CALLS]').form,
  llama: toolsOfTemplate('<|python_tag|>').form,
};
const names = new Set(['f', 'get_weather', 'a-b']);

interface Options {
  parallel?: boolean;
  forced?: boolean;
}

function readParts(kind: keyof typeof forms, pieces: string[], options: Options = {}): ToolPart[] {
  const reader = new ToolCallReader({
    form: forms[kind],
    names,
    parallel: true,
    forced: false,
    ...options,
  });
  return [...pieces.flatMap((piece) => reader.feed(piece)), ...reader.end()];
}

/** Neighbours joined: "text" for text, ["f", "{}"] for a call. */
function read(kind: keyof typeof forms, pieces: string[], options: Options = {}) {
  const out: Array<string | [string, string]> = [];
  for (const part of readParts(kind, pieces, options)) {
    const last = out.at(-1);
    if (part.type === 'call') out.push([part.name, '']);
    else if (part.type === 'arguments') (last as [string, string])[1] += part.text;
    else if (typeof last === 'string') out[out.length - 1] = last + part.text;
    else out.push(part.text);
  }
  return out;
}

const call = (name: string, given = '{}') => `{"name": "${name}", "arguments": ${given}}`;
const hermes = (name: string, given?: string) => `<tool_call>\n${call(name, given)}\n</tool_call>`;

describe('calls in text', () => {
  it.each<[string, keyof typeof forms, string, ReturnType<typeof read>]>([
    ['text alone', 'hermes', 'Hello {"name": "f"} <tool', ['Hello {"name": "f"} <tool']],
    ['blank text', 'hermes', ' \n', [' \n']],
    ['one call', 'hermes', hermes('f', '{"a": [1, "}"]}'), [['f', '{"a": [1, "}"]}']]],
    ['text before', 'hermes', `Let me see.\n${hermes('f')}\n`, ['Let me see.', ['f', '{}']]],
    ['text after', 'hermes', `${hermes('f')}\n done`, [['f', '{}'], '\n done']],
    [
      'several',
      'hermes',
      `${hermes('f')}\n${hermes('a-b')}`,
      [
        ['f', '{}'],
        ['a-b', '{}'],
      ],
    ],
    [
      'keys in any order',
      'hermes',
      '<tool_call>{"arguments":{"x":1},"id":"1","name":"f"}',
      [['f', '{"x":1}']],
    ],
    ['no arguments', 'hermes', '<tool_call>{"name": "f"}</tool_call>', [['f', '{}']]],
    ['escapes', 'hermes', hermes('f', '{"a": "\\"}\\\\"}'), [['f', '{"a": "\\"}\\\\"}']]],
    ['cut in its arguments', 'hermes', '<tool_call>{"name": "f", "arguments": {"a": 1', [['f', '{"a": 1']]],
    ['cut before', 'hermes', 'Hm <tool_call>\n{"name": "f"', ['Hm <tool_call>\n{"name": "f"']],
    ['no JSON', 'hermes', 'a <tool_call>f()</tool_call>', ['a <tool_call>f()</tool_call>']],
    ['an unknown name', 'hermes', hermes('g'), [hermes('g')]],
    ['another key', 'hermes', '<tool_call>{"x": 1}</tool_call>', ['<tool_call>{"x": 1}</tool_call>']],
    ['a call after no call', 'hermes', `<tool_call> <tool_call>${call('f')}`, ['<tool_call>', ['f', '{}']]],
    ['a closing marker alone', 'hermes', 'a </tool_call> b', ['a </tool_call> b']],
    ['what is left after a call', 'hermes', `<tool_call>${call('f')}}</tool_call>x`, [['f', '{}'], '}', 'x']],
    [
      'a list',
      'mistral',
      `[TOOL_CALLS][${call('f')}, ${call('a-b', '{"x": 1}')}]`,
      [
        ['f', '{}'],
        ['a-b', '{"x": 1}'],
      ],
    ],
    ['an empty list', 'mistral', '[TOOL_CALLS] []', ['[TOOL_CALLS] []']],
    [
      'name before arguments',
      'mistral',
      'Hm.[TOOL_CALLS]a-b[ARGS]{"x": {}}[TOOL_CALLS]f{}',
      ['Hm.', ['a-b', '{"x": {}}'], ['f', '{}']],
    ],
    ['an id before arguments', 'mistral', '[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{}', [['f', '{}']]],
    ['a list of no calls', 'mistral', '[1, 2]', ['[1, 2]']],
    ['a bare object', 'llama', '{"name": "f", "parameters": {"x": 1}}', [['f', '{"x": 1}']]],
    [
      'a chain',
      'llama',
      `${call('f')}; ${call('a-b')}`,
      [
        ['f', '{}'],
        ['a-b', '{}'],
      ],
    ],
    ['a tag', 'llama', `<|python_tag|>${call('f')}`, [['f', '{}']]],
    ['code', 'llama', '<|python_tag|>print(1)', ['<|python_tag|>print(1)']],
    ['another object', 'llama', '{"answer": 42}', ['{"answer": 42}']],
    ['an object in text', 'llama', `So: ${call('f')}`, [`So: ${call('f')}`]],
  ])('%s (%s)', (_name, kind, text, expected) => {
    const merged = expected.reduce<ReturnType<typeof read>>((out, part) => {
      if (typeof part === 'string' && typeof out.at(-1) === 'string') out[out.length - 1] += part as never;
      else out.push(part);
      return out;
    }, []);
    expect(read(kind, [text])).toEqual(merged);
    expect(read(kind, [...text])).toEqual(merged);
  });

  it('the first alone where there may be one', () => {
    for (const [kind, text] of [
      ['hermes', `${hermes('f')}\n${hermes('a-b')} and more`],
      ['mistral', `[TOOL_CALLS][${call('f')}, ${call('a-b')}]`],
      ['llama', `${call('f')}; ${call('a-b')}`],
    ] as const) {
      expect(read(kind, [text], { parallel: false })).toEqual([['f', '{}']]);
    }
  });

  it('a list that a grammar forces has no marker', () => {
    expect(read('mistral', [`[${call('f')}]`], { forced: true })).toEqual([['f', '{}']]);
  });

  it('ids are their own, numbers go up, and arguments come as they are written', () => {
    const parts = readParts('hermes', [
      hermes('f', '{"a": 1}').slice(0, 44),
      hermes('f', '{"a": 1}').slice(44),
      hermes('f'),
    ]);
    expect(parts.map(({ type }) => type)).toEqual(['call', 'arguments', 'arguments', 'call', 'arguments']);
    const [first, second] = parts.filter((part) => part.type === 'call');
    expect(first).toMatchObject({ index: 0, id: expect.stringMatching(/^call_[0-9a-f]{24}$/) });
    expect(second!.index).toBe(1);
    expect(second!.id).not.toBe(first!.id);
  });
});

const piece = fc.oneof(
  fc.constantFrom(
    '<tool_call>',
    '</tool_call>',
    '[TOOL_CALLS]',
    '<|python_tag|>',
    '[ARGS]',
    '<tool',
    '_call>',
    '[',
    ']',
    '{',
    '}',
    ',',
    '; ',
    '"',
    '\\',
    ' \n',
    call('f'),
    call('a-b', '{"x": "<tool_call>"}'),
    '{"name": "f", "arguments": {"a": [',
    '{"name": "g", "arguments": {}}',
    '{"arguments": {}, "name": "f"}',
    '"name"',
    'f',
    ':',
  ),
  fc.string({ maxLength: 5 }),
);
const text = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));

describe('any answer', () => {
  it.each(['hermes', 'mistral', 'llama'] as const)('gives the same parts however it is cut (%s)', (kind) => {
    fc.assert(
      fc.property(text, fc.array(fc.nat()), fc.boolean(), fc.boolean(), (whole, cuts, parallel, forced) => {
        const at = [...new Set(cuts.map((cut) => cut % (whole.length + 1)))].sort((a, b) => a - b);
        const pieces = [0, ...at].map((start, index) => whole.slice(start, at[index] ?? whole.length));
        expect(read(kind, pieces, { parallel, forced })).toEqual(read(kind, [whole], { parallel, forced }));
      }),
      { numRuns: 2000 },
    );
  });

  it.each(['hermes', 'mistral', 'llama'] as const)('without a call is given back as it was (%s)', (kind) => {
    fc.assert(
      fc.property(text, (whole) => {
        const parts = read(kind, [whole]);
        fc.pre(parts.every((part) => typeof part === 'string'));
        expect(parts.join('')).toBe(whole);
      }),
      { numRuns: 2000 },
    );
  });

  it('never shows half a marker before it is known to be text', () => {
    fc.assert(
      fc.property(fc.string(), (before) => {
        const reader = new ToolCallReader({ form: forms.hermes, names, parallel: true, forced: false });
        const parts = [...`${before}<tool_call>`].flatMap((character) => reader.feed(character));
        const shown = parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
        expect(before.startsWith(shown)).toBe(true);
      }),
    );
  });
});
