/** Structured output on the default model: what comes at any temperature has its form, and others beside it keep their bits. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EngineServer, startEngineServer } from './server.ts';

let server: EngineServer;
beforeAll(async () => {
  server = await startEngineServer();
});
afterAll(() => server.close());

const animal = {
  type: 'object',
  properties: {
    name: { type: 'string', pattern: '^[A-Z][a-z]{1,8}$' },
    legs: { type: 'integer', minimum: 0, maximum: 100 },
    tame: { type: 'boolean' },
    food: { type: 'array', items: { enum: ['grass', 'meat', 'fish'] }, minItems: 1, maxItems: 3 },
    home: {
      type: 'object',
      properties: { country: { anyOf: [{ enum: ['Kenya', 'Peru'] }, { type: 'null' }] } },
      required: ['country'],
      additionalProperties: false,
    },
  },
  required: ['name', 'legs', 'tame', 'food', 'home'],
  additionalProperties: false,
};

function checkAnimal(text: string): void {
  const value = JSON.parse(text);
  expect(Object.keys(value)).toEqual(['name', 'legs', 'tame', 'food', 'home']);
  expect(value.name).toMatch(/^[A-Z][a-z]{1,8}$/);
  expect(Number.isInteger(value.legs) && value.legs >= 0 && value.legs <= 100).toBe(true);
  expect(value.tame).toBeTypeOf('boolean');
  expect(value.food.length).toBeGreaterThan(0);
  expect(value.food.length).toBeLessThan(4);
  for (const food of value.food) expect(['grass', 'meat', 'fish']).toContain(food);
  expect(Object.keys(value.home)).toEqual(['country']);
  expect(['Kenya', 'Peru', null]).toContain(value.home.country);
}

const ask = (fields: object) => ({
  model: 'base',
  messages: [{ role: 'user', content: 'Describe an animal.' }],
  max_tokens: 120,
  temperature: 1,
  ...fields,
});

// biome-ignore lint/suspicious/noExplicitAny: bodies of every shape
async function chat(fields: object): Promise<any> {
  const { status, body } = await server.post('/v1/chat/completions', ask(fields));
  expect(status, JSON.stringify(body)).toBe(200);
  return (body as { choices: unknown[] }).choices[0];
}

const forms: Array<[string, object, (text: string) => void]> = [
  [
    'json_schema',
    {
      response_format: { type: 'json_schema', json_schema: { name: 'animal', strict: true, schema: animal } },
    },
    checkAnimal,
  ],
  [
    'regex',
    { structured_outputs: { regex: '[A-Z][a-z]{1,9} has [0-9]{1,3} legs\\.' } },
    (text) => expect(text).toMatch(/^[A-Z][a-z]{1,9} has [0-9]{1,3} legs\.$/),
  ],
  [
    'choice',
    { structured_outputs: { choice: ['a zebra', 'an otter', 'a crow'] } },
    (text) => expect(['a zebra', 'an otter', 'a crow']).toContain(text),
  ],
  [
    'grammar',
    { structured_outputs: { grammar: 'root ::= term " + " term\nterm ::= [1-9] [0-9]? | "(" [0-9] ")"' } },
    (text) => expect(text).toMatch(/^([1-9][0-9]?|\([0-9]\)) \+ ([1-9][0-9]?|\([0-9]\))$/),
  ],
];

test.each(forms)('%s holds at temperature 1', async (_name, fields, check) => {
  const answers = await Promise.all([1, 2, 3, 4, 5, 6].map((seed) => chat({ ...fields, seed })));
  const texts = new Set<string>();
  for (const { message, finish_reason } of answers) {
    expect(finish_reason).toBe('stop');
    check(message.content);
    texts.add(message.content);
  }
  expect(texts.size).toBeGreaterThan(1);
});

test('json_object is an object, or the beginning of one where it is cut', async () => {
  for (const seed of [1, 2, 3]) {
    const { message, finish_reason } = await chat({ response_format: { type: 'json_object' }, seed });
    expect(message.content[0]).toBe('{');
    if (finish_reason === 'stop') expect(JSON.parse(message.content)).toBeTypeOf('object');
    else expect(finish_reason).toBe('length');
  }
});

test('8 constrained beside 8 free ones: each is what it is alone', async () => {
  const requests = Array.from({ length: 16 }, (_, i) => ({
    seed: i,
    max_tokens: 40,
    logprobs: true,
    ...(i % 2 ? {} : forms[(i / 2) % forms.length]![1]),
  }));
  const alone: unknown[] = [];
  for (const request of requests) alone.push(await chat(request));
  const together = await Promise.all(requests.map(chat));
  expect(together).toEqual(alone);
});
