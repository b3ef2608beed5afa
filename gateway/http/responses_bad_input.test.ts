import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { responseBody } from '../responses/request.ts';
import { startTestServer, type TestServer } from './testing.ts';

const model = 'mock/base';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ context: 600 });
});
afterAll(() => server.close());

const ask = (body: object) =>
  server.post('/v1/responses', { model, input: 'Hi.', max_output_tokens: 3, ...body });

/** Values that look as if they belonged there, in wrong places too. */
const value = fc.oneof(
  { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  fc.constantFrom<unknown>(
    null,
    '',
    'auto',
    'none',
    'required',
    'function',
    'json_schema',
    'message.output_text.logprobs',
    `resp_${'0'.repeat(48)}`,
    `msg_${'0'.repeat(52)}`,
    -1,
    2 ** 53,
    1e308,
    [[]],
    [null],
    ['message.output_text.logprobs'],
    { type: 'function', name: 'f' },
    [{ type: 'function', name: 'f', parameters: { type: 'object', properties: { a: { $ref: '#' } } } }],
    { format: { type: 'json_schema', name: 'n', schema: true } },
    { format: { type: 'json_schema', name: 'n', schema: { enum: [] } } },
    JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'),
  ),
);
const part = fc.record(
  { type: fc.constantFrom('input_text', 'output_text', 'refusal', 'x'), text: value },
  { requiredKeys: [] },
);
const item = fc.record(
  {
    type: fc.constantFrom(
      'message',
      'function_call',
      'function_call_output',
      'item_reference',
      'reasoning',
      'x',
    ),
    id: value,
    role: fc.oneof(fc.constantFrom('user', 'assistant', 'system', 'developer'), value),
    content: fc.oneof(fc.string(), fc.array(part), value),
    call_id: fc.oneof(fc.constantFrom('a', 'b'), value),
    name: value,
    arguments: fc.oneof(fc.constantFrom('{}', 'not JSON'), value),
    output: fc.oneof(fc.string(), fc.array(part), value),
  },
  { requiredKeys: [] },
);
const body = fc.record(
  {
    ...Object.fromEntries(Object.keys(responseBody.properties).map((name) => [name, value])),
    input: fc.oneof(fc.array(item, { maxLength: 4 }), fc.string(), value),
  },
  { requiredKeys: [] },
);

test('no body is answered with a 5xx', async () => {
  await fc.assert(
    fc.asyncProperty(body, async (fields) => {
      const { model: _, ...rest } = fields as Record<string, unknown>;
      const answer = await ask(rest);
      if (answer.status >= 500) throw new Error(JSON.stringify(answer.body));
    }),
    { numRuns: 300 },
  );
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
});

test('one wrong field at a time is a 4xx that names it, or does no harm', async () => {
  const names = Object.keys(responseBody.properties).filter((name) => name !== 'model');
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...names), value, async (name, given) => {
      const { status, body: answered } = await ask({ [name]: given });
      if (status === 200) return;
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
      expect(answered.error.message.length).toBeGreaterThan(10);
    }),
    { numRuns: 400 },
  );
});

/** As text: JSON.stringify could not write it. */
const abyss = `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`;

test.each<[string, string]>([
  ['a schema', `"text": {"format": {"type": "json_schema", "name": "n", "schema": ${abyss}}}`],
  [
    'one in the background',
    `"background": true, "text": {"format": {"type": "json_schema", "name": "n", "schema": ${abyss}}}`,
  ],
  ['parameters', `"tools": [{"type": "function", "name": "f", "parameters": ${abyss}}]`],
  [
    'those that nobody reads',
    `"tool_choice": "none", "tools": [{"type": "function", "name": "f", "parameters": ${abyss}}]`,
  ],
])('nesting without end is refused: %s', async (_name, fields) => {
  const { status, body: refused } = await server.post(
    '/v1/responses',
    `{"model": "${model}", "input": "Hi.", ${fields}}`,
  );
  expect([status, refused.error.message]).toEqual([400, expect.stringContaining('deep')]);
});

test('many items are looked at once each', async () => {
  const id = `msg_${'0'.repeat(52)}`;
  const { body: refused } = await ask({
    input: Array.from({ length: 16_000 }, () => ({ type: 'item_reference', id })),
  });
  expect(refused.error.code).toBe('item_not_found');
  const references = Array.from({ length: 200 }, (_, index) => ({
    type: 'item_reference',
    id: `msg_${index.toString(16).padStart(48, '0')}0000`,
  }));
  expect((await ask({ input: references })).status).toBe(404);
  const turns = Array.from({ length: 16_000 }, (_, index) => ({ role: 'user', content: `Turn ${index}` }));
  const { status, body: cut } = await ask({ input: turns, truncation: 'auto' });
  expect(status).toBe(200);
  expect((await server.openai.responses.inputItems.list(cut.id)).data[0]).toMatchObject({
    content: [{ text: 'Turn 15999' }],
  });
});
