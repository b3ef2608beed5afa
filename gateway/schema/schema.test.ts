import { Type } from 'typebox';
import { expect, describe as group, test } from 'vitest';
import { describe, findFault } from './fault.ts';
import { maybe } from './nullable.ts';
import { editDistance, suggest } from './suggest.ts';

const schema = Type.Object(
  {
    n: maybe(Type.Integer({ minimum: 1, maximum: 128 })),
    temperature: maybe(Type.Number({ minimum: 0, maximum: 2 })),
    mode: Type.Optional(Type.Enum(['plain', 'parse'])),
    items: Type.Optional(Type.Array(Type.Object({ text: Type.String({ minLength: 1 }) }), { maxItems: 2 })),
    prompt: Type.Optional(
      Type.Union([Type.String(), Type.Array(Type.String()), Type.Array(Type.Integer({ minimum: 0 }))]),
    ),
    bias: Type.Optional(Type.Record(Type.String(), Type.Number({ maximum: 100 }))),
    must: Type.String(),
  },
  { additionalProperties: false },
);

group('a fault names the place and what is wrong with it', () => {
  const right = { must: '' };
  test.each<[object, string, string]>([
    [{}, 'missing', 'must'],
    [{ ...right, n: 0 }, 'below', 'n'],
    [{ ...right, n: 129 }, 'above', 'n'],
    [{ ...right, n: 1.5 }, 'type', 'n'],
    [{ ...right, n: '1' }, 'type', 'n'],
    [{ ...right, n: Number.POSITIVE_INFINITY }, 'above', 'n'],
    [{ ...right, n: Number.NEGATIVE_INFINITY }, 'below', 'n'],
    [{ ...right, temperature: Number.NaN }, 'type', 'temperature'],
    [{ ...right, mode: 'plan' }, 'value', 'mode'],
    [{ ...right, items: {} }, 'type', 'items'],
    [{ ...right, items: [{ text: 'a' }, {}] }, 'missing', 'items.1.text'],
    [{ ...right, items: [{ text: 'a' }, { text: '' }] }, 'too-short', 'items.1.text'],
    [{ ...right, items: [1, 2, 3] }, 'too-many', 'items'],
    [{ ...right, prompt: [1, -1] }, 'below', 'prompt.1'],
    [{ ...right, prompt: ['a', 1] }, 'type', 'prompt.1'],
    [{ ...right, prompt: {} }, 'type', 'prompt'],
    [{ ...right, bias: { 5: 101 } }, 'above', 'bias.5'],
    [{ ...right, mods: 1 }, 'unknown', 'mods'],
  ])('%j', (value, kind, path) => {
    const fault = findFault(schema, value);
    expect(fault?.kind).toBe(kind);
    expect(fault?.path.join('.')).toBe(path);
  });

  test('a right value has none', () => {
    expect(
      findFault(schema, { must: 'x', n: null, temperature: 2, prompt: [1, 2], bias: { 5: -100 } }),
    ).toBeUndefined();
  });
});

test('schemas are described in words', () => {
  expect(describe(Type.Integer({ minimum: 1, maximum: 128 }))).toBe('an integer from 1 to 128');
  expect(describe(Type.Number({ exclusiveMinimum: 0, maximum: 10 }))).toBe('a number above 0 and up to 10');
  expect(describe(Type.Enum(['a', 'b']))).toBe("one of 'a', 'b'");
  expect(describe(Type.Union([Type.String(), Type.Array(Type.String())]))).toBe(
    'a string or an array of strings',
  );
});

test('the nearest word is suggested only where it is near', () => {
  expect(suggest('prot', ['host', 'port'])).toBe('port');
  expect(suggest('threds', ['threads', 'precision'])).toBe('threads');
  expect(suggest('banana', ['host', 'port'])).toBeUndefined();
  expect(editDistance('ab', 'ba')).toBe(1);
  expect(editDistance('', 'abc')).toBe(3);
});
