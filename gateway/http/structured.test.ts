/** Answers that must have a form, over the mock backend, whose tokens are bytes drawn at random. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventsOf, startTestServer, type TestServer } from './testing.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

const person = {
  type: 'object',
  properties: {
    kind: { enum: ['cat', 'dog'] },
    legs: { type: 'integer', minimum: 1, maximum: 9 },
    tame: { type: 'boolean' },
  },
  required: ['kind', 'legs', 'tame'],
  additionalProperties: false,
};
const jsonSchema = { type: 'json_schema', json_schema: { name: 'animal', strict: true, schema: person } };
const schemaText = /^\{"kind": "(cat|dog)", "legs": [1-9], "tame": (true|false)\}$/;

const chat = (fields: object) =>
  server.post('/v1/chat/completions', {
    model: 'mock/base',
    messages: [{ role: 'user', content: 'An animal, please.' }],
    max_tokens: 200,
    ...fields,
  });
const complete = (fields: object) =>
  server.post('/v1/completions', { model: 'mock-adapter', prompt: 'An animal:', max_tokens: 200, ...fields });

describe('the form of an answer', () => {
  test.each<[string, object, RegExp]>([
    ['json_schema', { response_format: jsonSchema }, schemaText],
    ['json_object', { response_format: { type: 'json_object' }, max_tokens: 1 }, /^\{$/],
    ['json', { structured_outputs: { json: person } }, schemaText],
    ['json as text', { structured_outputs: { json: JSON.stringify(person) } }, schemaText],
    ['regex', { structured_outputs: { regex: '[0-9]{3}-[a-f]{2}' } }, /^[0-9]{3}-[a-f]{2}$/],
    ['choice', { structured_outputs: { choice: ['yes', 'no'] } }, /^(yes|no)$/],
    ['grammar', { structured_outputs: { grammar: 'root ::= "a" [bc] [bc] "d"' } }, /^a[bc][bc]d$/],
    ['guided_json', { guided_json: person }, schemaText],
    ['guided_regex', { guided_regex: 'x{4}' }, /^xxxx$/],
    ['guided_choice', { guided_choice: ['left', 'right'] }, /^(left|right)$/],
    ['guided_grammar', { guided_grammar: 'root ::= "(" root ")" | "."' }, /^\(*\.\)*$/],
  ])('%s', async (_name, fields, form) => {
    for (const seed of [1, 2, 3]) {
      const answers = [await chat({ ...fields, seed }), await complete({ ...fields, seed })];
      for (const { status, body } of answers) {
        expect(status, JSON.stringify(body)).toBe(200);
        const [choice] = body.choices;
        expect(choice.text ?? choice.message.content).toMatch(form);
        expect(choice.finish_reason).toBe('max_tokens' in fields ? 'length' : 'stop');
      }
    }
  });

  test('any text will do for "text" and for null', async () => {
    for (const response_format of [{ type: 'text' }, null]) {
      expect((await chat({ response_format, structured_outputs: null })).status).toBe(200);
    }
    expect(server.backend.requests.at(-1)!.constraint).toBeUndefined();
  });

  test('each of n choices has its own, in a stream too, with log-probabilities', async () => {
    const whole = await chat({ response_format: jsonSchema, n: 8, seed: 5, logprobs: true });
    const texts: string[] = whole.body.choices.map((choice: { message: { content: string } }) => {
      return choice.message.content;
    });
    for (const text of texts) expect(text).toMatch(schemaText);
    expect(new Set(texts).size).toBeGreaterThan(1);
    for (const { logprobs, message } of whole.body.choices) {
      expect(logprobs.content.map((entry: { token: string }) => entry.token).join('')).toContain(
        message.content,
      );
    }
    const stream = await chat({ response_format: jsonSchema, n: 8, seed: 5, stream: true });
    const { events, done } = eventsOf(stream.body);
    expect(done).toBe(true);
    const streamed = texts.map((_, index) =>
      events
        .flatMap((event) => event.choices)
        .filter((choice) => choice.index === index)
        .map((choice) => choice.delta.content ?? '')
        .join(''),
    );
    expect(streamed).toEqual(texts);
  });

  test('a stop string ends it before it is complete, and the matcher with it', async () => {
    const { body } = await chat({ response_format: jsonSchema, stop: ['"legs"'] });
    expect(body.choices[0]).toMatchObject({ finish_reason: 'stop' });
    expect(body.choices[0].message.content).toMatch(/^\{"kind": "(cat|dog)", $/);
  });

  test('min_tokens gives way where the grammar is complete', async () => {
    const { body } = await chat({ structured_outputs: { choice: ['yes'] }, min_tokens: 50 });
    expect(body.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: 'yes' } });
  });

  test.each<[string, object, string, RegExp]>([
    [
      'two forms',
      { response_format: jsonSchema, structured_outputs: { regex: 'a' } },
      'structured_outputs.regex',
      /both say/,
    ],
    [
      'two in one',
      { structured_outputs: { regex: 'a', choice: ['a'] } },
      'structured_outputs.choice',
      /both say/,
    ],
    ['none in one', { structured_outputs: {} }, 'structured_outputs', /says nothing/],
    [
      'no schema',
      { response_format: { type: 'json_schema' } },
      'response_format.json_schema',
      /Missing required/,
    ],
    [
      'an empty json_schema',
      { response_format: { type: 'json_schema', json_schema: { name: 'x' } } },
      'response_format.json_schema.schema',
      /Missing required/,
    ],
    ['an unknown type', { response_format: { type: 'xml' } }, 'response_format.type', /Invalid value/],
    [
      'a wrong schema',
      { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'nope' } } } },
      'response_format.json_schema.schema',
      /Unsupported type "nope"/,
    ],
    [
      'what cannot be enforced',
      { structured_outputs: { json: { type: 'integer', multipleOf: 3 } } },
      'structured_outputs.json',
      /'multipleOf' at the top cannot be enforced/,
    ],
    ['no JSON', { structured_outputs: { json: '{' } }, 'structured_outputs.json', /it is not JSON/],
    ['a wrong regex', { guided_regex: '[a' }, 'guided_regex', /Unclosed '\['/],
    ['a wrong grammar', { structured_outputs: { grammar: 'a ::= b' } }, 'structured_outputs.grammar', /root/],
    ['no choices', { structured_outputs: { choice: [] } }, 'structured_outputs.choice', /empty array/],
    [
      'an unknown kind',
      { structured_outputs: { structural_tag: '{}' } },
      'structured_outputs.structural_tag',
      /not supported/,
    ],
    ['no end', { structured_outputs: { regex: 'a' }, ignore_eos: true }, 'ignore_eos', /has to end/],
  ])('is refused: %s', async (_name, fields, param, sentence) => {
    for (const stream of [false, true]) {
      const { status, body } = await chat({ ...fields, stream });
      expect(status).toBe(400);
      expect(body.error).toMatchObject({ param, message: expect.stringMatching(sentence) });
    }
  });

  test('is refused where the backend cannot keep it', async () => {
    const other = await startTestServer({ constrains: false });
    try {
      const { status, body } = await other.post('/v1/chat/completions', {
        model: 'mock/base',
        messages: [{ role: 'user', content: 'Yes?' }],
        response_format: { type: 'json_object' },
      });
      expect(status).toBe(400);
      expect(body.error).toMatchObject({ param: 'response_format', code: 'unsupported_parameter' });
    } finally {
      await other.close();
    }
  });

  test('OpenAI’s client parses it', async () => {
    const { choices } = await server.openai.chat.completions.create({
      model: 'mock/base',
      messages: [{ role: 'user', content: 'An animal.' }],
      response_format: { type: 'json_schema', json_schema: { name: 'animal', strict: true, schema: person } },
    });
    expect(['cat', 'dog']).toContain(JSON.parse(choices[0]!.message.content!).kind);
  });
});
