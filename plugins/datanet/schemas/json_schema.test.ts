/** What is a JSON Schema, and what one says of examples; and that none keeps the server. */
import { afterEach, expect, test } from 'vitest';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { compileSchema, type DatanetSchema } from './json_schema.ts';
import { SchemaChecker } from './schema_checker.ts';

function refusalOf(schema: DatanetSchema): string {
  try {
    compileSchema(schema);
  } catch (error) {
    expect(error).toBeInstanceOf(ColophonError);
    expect(error).toMatchObject({ status: 400, code: 'invalid_value', param: 'schema' });
    return (error as ColophonError).message;
  }
  return 'it was taken';
}

test.each<[DatanetSchema, string]>([
  [{ type: 'strin' }, `at '/type' it must be equal to one of the allowed values (["array","boolean",`],
  [{ properties: { prompt: { type: 'strin' } } }, "at '/properties/prompt/type' it must be equal to one"],
  [{ properties: 7 }, "at '/properties' it must be object"],
  [{ required: 'x' }, "at '/required' it must be array"],
  [{ properties: { text: { minLength: -1 } } }, "at '/properties/text/minLength' it must be >= 0"],
  [{ allOf: [{ $ref: '#/nope' }] }, "cannot be applied: can't resolve reference #/nope"],
  [{ $ref: 'https://example.org/x.json' }, "can't resolve reference https://example.org/x.json"],
  [{ properties: { text: { pattern: '(' } } }, 'Invalid regular expression'],
  [
    { $schema: 'https://example.org/mine' },
    "is of a dialect that is not known ('$schema'); take one of https://",
  ],
  [{ $schema: '__proto__' }, 'is of a dialect that is not known'],
  [{ $async: true, type: 'object' }, "at '/$async' it has a keyword that is not taken"],
])('no JSON Schema is %j', (schema, sentence) => {
  const refusal = refusalOf(schema);
  expect(refusal.startsWith("'schema' ") && refusal.endsWith('.'), refusal).toBe(true);
  expect(refusal).toContain(sentence);
});

test('nor what is longer than anyone needs, or nested deeper', () => {
  expect(refusalOf({ description: 'x'.repeat(70_000) })).toBe(
    "'schema' has 70018 characters as JSON; at most 65536 are taken. Describe less.",
  );
  const nested = JSON.parse(`${'{"not":'.repeat(8_000)}{}${'}'.repeat(8_000)}`);
  expect(refusalOf(nested)).toBe("'schema' is nested too deep.");
});

test.each([
  undefined,
  'https://json-schema.org/draft/2020-12/schema',
  'https://json-schema.org/draft/2019-09/schema',
  'http://json-schema.org/draft-07/schema#',
])('a schema of the dialect %s says field and why', ($schema) => {
  const check = compileSchema({
    ...($schema === undefined ? {} : { $schema }),
    type: 'object',
    properties: {
      messages: { items: { properties: { content: { type: 'string', maxLength: 5 } } } },
      prompt: { type: 'string', format: 'email' },
      completion: { enum: ['yes', 'no'] },
      'a/b': { type: 'integer' },
    },
    required: ['messages'],
    unheardOf: 7,
  });
  const said = (content: object) => check(content as never);
  expect(said({ messages: [] })).toBeNull();
  expect(said({ messages: [{ content: 'short' }, { content: 'longer' }] })).toEqual({
    field: 'messages[1].content',
    reason: expect.stringMatching(
      /^messages\[1\]\.content must NOT have more than 5 characters by the Datanet's schema at #\/.*maxLength\.$/,
    ),
  });
  expect(said({})).toEqual({
    field: null,
    reason: "The row must have required property 'messages' by the Datanet's schema at #/required.",
  });
  expect(said({ messages: [], prompt: 'nobody' })).toMatchObject({ field: 'prompt' });
  expect(said({ messages: [], completion: 'perhaps' })?.reason).toContain('allowed values (["yes","no"])');
  expect(said({ messages: [], 'a/b': 1.5 })).toMatchObject({ field: 'a/b' });
});

test('a schema that refers to itself without an end takes no row', () => {
  expect(compileSchema({ $ref: '#' })({ text: 'x' })).toEqual({
    field: null,
    reason: "The Datanet's schema refers to itself without an end for the row.",
  });
});

let checker: SchemaChecker | undefined;
afterEach(() => checker?.end());

test('many examples are told apart in a thread', async () => {
  checker = new SchemaChecker({ properties: { text: { maxLength: 3 } } });
  const texts = Array.from({ length: 250 }, (_, at) => ({ text: 'x'.repeat(at % 5) }));
  const faults = await checker.check(texts, new AbortController().signal);
  expect(faults.map((fault) => fault === null)).toEqual(texts.map(({ text }) => text.length <= 3));
});

/** 2^60 ways. */
const endless: DatanetSchema = {
  $ref: '#/$defs/d0',
  $defs: Object.fromEntries(
    Array.from({ length: 61 }, (_, at) => {
      const next = { $ref: `#/$defs/d${at + 1}` };
      return [`d${at}`, at === 60 ? {} : { allOf: [next, next] }];
    }),
  ),
};

test.each<[string, DatanetSchema]>([
  ['references that double', endless],
  ['an expression that tries all ways', { properties: { text: { pattern: '^(a|a)*$' } } }],
])('%s end a check, and not the server', async (_, schema) => {
  checker = new SchemaChecker(schema, 1_000);
  const rows = [{ text: `${'a'.repeat(60)}!` }];
  await expect(checker.check(rows, new AbortController().signal)).rejects.toMatchObject({
    code: 'invalid_value',
    message: expect.stringContaining("The Datanet's schema takes more than 1 s for 100 rows of the file."),
  });
  const stop = new AbortController();
  const waiting = new SchemaChecker(schema).check(rows, stop.signal);
  stop.abort();
  await expect(waiting).rejects.toThrow(/abort/i);
});
