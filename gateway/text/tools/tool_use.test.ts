import { afterAll, describe, expect, it } from 'vitest';
import { smollm2 } from '../fixtures/smollm2.ts';
import { Grammars } from '../grammar/grammars.ts';
import { TextModel } from '../text_model.ts';
import type { FunctionTool, ToolChoice } from './tool.ts';
import { ToolUse } from './tool_use.ts';

const text = new TextModel(smollm2());
const end = text.endTokenIds[0]!;
const grammars = new Grammars(() => text.grammarVocabulary());
afterAll(() => grammars.close());

const weather: FunctionTool = {
  name: 'get_weather',
  description: 'The weather',
  parameters: {
    type: 'object',
    properties: { city: { $ref: '#/$defs/city' }, near: { $ref: '#' } },
    required: ['city'],
    additionalProperties: false,
    $defs: { city: { type: 'string', pattern: '^[A-Z][a-z]+$' } },
  },
};
const time: FunctionTool = { name: 'time' };
const loose: FunctionTool = {
  name: 'loose',
  parameters: {
    type: 'object',
    properties: { share: { type: 'number', minimum: 0, multipleOf: 0.5 } },
    required: ['share'],
    patternProperties: { '^x-': {} },
    additionalProperties: false,
  },
};

const hermesTemplate = '{% if tools %}{{ tools | tojson }}<tool_call>{% endif %}';
const mistralTemplate = '{% if tools %}{{ tools | tojson }}{% endif %}[TOOL_CALLS]';
const llamaTemplate = '{% if tools %}{{ tools | tojson }}{% endif %}<|python_tag|>';

const use = (
  tools: FunctionTool[],
  choice: ToolChoice,
  options: { parallel?: boolean; template?: string } = {},
) =>
  new ToolUse({
    tools,
    choice,
    parallel: options.parallel ?? true,
    template: options.template,
    strict: true,
  });

async function judge(
  of: ToolUse,
  answer: string,
  grammar = of.grammar(),
): Promise<'whole' | 'open' | 'refused'> {
  const constraint = await grammars.constrain(grammar!, 'tools');
  try {
    let mask = constraint.first;
    const allows = (id: number) => ((mask[id >> 5]! >>> (id & 31)) & 1) === 1;
    for (const id of text.encode(answer, { special: 'plain' })) {
      if (!allows(id)) return 'refused';
      mask = await constraint.next(id);
    }
    return allows(end) ? 'whole' : 'open';
  } finally {
    constraint.close();
  }
}

const lisbon = '{"name": "get_weather", "arguments": {"city": "Lisbon"}}';
const within = (...calls: string[]) => calls.map((call) => `<tool_call>\n${call}\n</tool_call>`).join('\n');

describe('the grammar of forced calls', () => {
  it.each<[string, ToolUse, string, string]>([
    ['required', use([weather, time], 'required'), within(lisbon), 'whole'],
    ['another tool', use([weather, time], 'required'), within('{"name": "time", "arguments": {}}'), 'whole'],
    ['several', use([weather, time], 'required'), within(lisbon, lisbon), 'whole'],
    [
      'several where one is allowed',
      use([weather], 'required', { parallel: false }),
      within(lisbon, lisbon),
      'refused',
    ],
    ['text', use([weather], 'required'), 'Sure', 'refused'],
    ['half a call', use([weather], 'required'), '<tool_call>\n{"name": "get', 'open'],
    ['against a $ref', use([weather], 'required'), within(lisbon.replace('Lisbon', 'lisbon')), 'refused'],
    [
      'a $ref to the root',
      use([weather], 'required'),
      within(lisbon.replace('"}', '", "near": {"city": "Porto"}}')),
      'whole',
    ],
    [
      'arguments of no parameters',
      use([time], 'required'),
      within('{"name": "time", "arguments": {"a"'),
      'refused',
    ],
    ['named', use([weather, time], { name: 'time' }), within('{"name": "time", "arguments": {}}'), 'whole'],
    ['not the one that is named', use([weather, time], { name: 'time' }), within(lisbon), 'refused'],
    [
      'named, twice',
      use([time], { name: 'time' }),
      within('{"name": "time", "arguments": {}}', '{'),
      'refused',
    ],
    [
      'what cannot be enforced is allowed',
      use([loose], 'required'),
      within('{"name": "loose", "arguments": {"share": -1.3, "x-y": 1}}'),
      'whole',
    ],
    ['a list', use([weather], 'required', { template: mistralTemplate }), `[${lisbon}, ${lisbon}]`, 'whole'],
    [
      'a chain',
      use([weather], 'required', { template: llamaTemplate }),
      lisbon.replace('arguments', 'parameters'),
      'whole',
    ],
  ])('%s', async (_name, tools, answer, verdict) => {
    expect(await judge(tools, answer)).toBe(verdict);
  });

  it('keeps each of many tools to its own schema', async () => {
    const many = Array.from({ length: 25 }, (_, index) => ({
      name: `tool${index}`,
      parameters: { type: 'object', properties: { a: { const: index } }, required: ['a'] },
    }));
    const tools = use(many, 'required');
    for (const index of [0, 1, 9, 10, 12, 21, 24]) {
      const call = (value: number) => within(`{"name": "tool${index}", "arguments": {"a": ${value}}}`);
      expect(await judge(tools, call(index))).toBe('whole');
      expect(await judge(tools, call(index + 100))).toBe('refused');
    }
  });

  it.each([
    ['Hello', 'whole'],
    [`Let me see.\n${within(lisbon)}\n${within(lisbon)} Done.`, 'whole'],
    ['<tool_call>\n{"name": "get_weather", "arguments": {"city": "lisbon"', 'refused'],
    ['<tool_call>\n{"name": "rm"', 'refused'],
    ['<tool_call>', 'open'],
  ])('of a model that chooses, where a tool is strict: %s', async (answer, verdict) => {
    const tools = use([{ ...weather, strict: true }], 'auto');
    expect(await judge(tools, answer, tools.strictGrammar())).toBe(verdict);
    const single = use([{ ...weather, strict: true }], 'auto', { parallel: false });
    const twice = answer.includes('Done') ? 'refused' : verdict;
    expect(await judge(single, answer, single.strictGrammar())).toBe(twice);
  });

  it('is not for tools that are not strict, nor for a form without markers', () => {
    expect(use([weather], 'auto').strictGrammar()).toBeUndefined();
    const strict = [{ ...weather, strict: true }];
    expect(use(strict, 'auto', { template: llamaTemplate }).strictGrammar()).toBeUndefined();
    expect(use(strict, 'required').strictGrammar()).toBeUndefined();
  });

  it('names what is wrong with a strict tool', async () => {
    const tools = use([{ ...loose, strict: true }], 'required');
    await expect(grammars.constrain(tools.grammar()!, 'tools')).rejects.toThrow(/cannot be enforced/);
  });

  it('is none where the model may choose', () => {
    for (const choice of ['auto', 'none'] as const) expect(use([weather], choice).grammar()).toBeUndefined();
  });
});

describe('what the model is told', () => {
  const past = [
    { role: 'user', content: 'Weather?' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [
        { id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"city": "Oslo"}' } },
        { id: 'call_2', type: 'function', function: { name: 'time', arguments: '' } },
      ],
    },
    { role: 'tool', tool_call_id: 'call_1', content: 'rain' },
    { role: 'tool', tool_call_id: 'call_2', content: [{ type: 'text', text: 'noon' }] },
    { role: 'user', content: 'Thanks' },
  ];

  it('is left to a template that knows tools', () => {
    const tools = use([weather, time], 'auto', { template: hermesTemplate });
    expect(tools.messages(past)).toEqual(past);
    expect(tools.templateTools()).toEqual([
      {
        type: 'function',
        function: { name: 'get_weather', description: 'The weather', parameters: weather.parameters },
      },
      { type: 'function', function: { name: 'time', parameters: { type: 'object', properties: {} } } },
    ]);
  });

  it('is text for one that does not', () => {
    const tools = use([weather], 'auto', { template: '{{ messages }}' });
    expect(tools.templateTools()).toEqual([]);
    const [system, ...rest] = tools.messages(past);
    expect(system!.role).toBe('system');
    expect(system!.content).toContain('<tools>\n{"type": "function", "function": {"name": "get_weather"');
    expect(rest).toEqual([
      past[0],
      {
        role: 'assistant',
        content: within(
          '{"name": "get_weather", "arguments": {"city": "Oslo"}}',
          '{"name": "time", "arguments": {}}',
        ),
      },
      {
        role: 'user',
        content: '<tool_response>\nrain\n</tool_response>\n<tool_response>\nnoon\n</tool_response>',
      },
      past[4],
    ]);
  });

  it('joins the system message that is there', () => {
    const tools = use([weather], 'auto', { template: '{{ messages }}' });
    const messages = tools.messages([{ role: 'system', content: 'Be brief.' }, past[0]!]);
    expect(messages.length).toBe(2);
    expect(messages[0]!.content).toMatch(/^Be brief\.\n\n# Tools/);
  });

  it('is nothing of tools where none may be called, but of past calls', () => {
    const tools = use([weather], 'none', { template: '{{ messages }}' });
    expect(tools.active).toBe(false);
    const messages = tools.messages(past);
    expect(messages[0]).toEqual(past[0]);
    expect(messages[1]!.content).toContain('"get_weather"');
  });

  it('has ids as Mistral’s templates want them', () => {
    const messages = use([weather], 'auto', { template: mistralTemplate }).messages(past);
    const [call] = messages[1]!.tool_calls as Array<{ id: string }>;
    expect(call!.id).toMatch(/^[0-9a-f]{9}$/);
    expect(messages[2]!.tool_call_id).toBe(call!.id);
    expect(messages[3]!.tool_call_id).not.toBe(call!.id);
  });
});
