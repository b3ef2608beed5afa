import { expect, test } from 'vitest';
import { MAX_PATTERN_LENGTH, matchAll, translatePattern } from './python_pattern.ts';

const matches = (pattern: string, text: string) => {
  const { source, flags } = translatePattern(pattern);
  return matchAll([{ source: `^(?:${source})$`, flags }], [text])[0]!.has(0);
};

test.each([
  ['.*\\.q_proj', 'model.layers.0.self_attn.q_proj', true],
  ['.*\\.(q|v)_proj', 'model.layers.0.self_attn.k_proj', false],
  ['^(?!.*mlp).*_proj$', 'a.mlp.up_proj', false],
  ['^(?!.*mlp).*_proj$', 'a.attn.q_proj', true],
  ['(?P<kind>q|k)_(?P=kind)', 'q_q', true],
  ['(?P<kind>q|k)_(?P=kind)', 'q_k', false],
  ['\\Amodel\\Z', 'model', true],
  ['(?i)MODEL', 'model', true],
  ['(?m)\\Amodel\\Z', 'model', true],
  ['a{,2}b', 'aab', true],
  ['a{,2}b', 'aaab', false],
  ['a{2}b', 'aab', true],
  ['[]x]+', ']x', true],
  ['[^]x]', 'x', false],
  ['[\\w.]+', 'a.b', true],
  ['\\x61b', 'ab', true],
])('%s on %s', (pattern, text, expected) => {
  expect(matches(pattern, text)).toBe(expected);
});

test.each([
  ['(?>a)b', '(?>a'],
  ['(?i:a)', '(?i:'],
  ['a*+', 'possessive'],
  ['(?x) a', '(?x)'],
  ['\\N{BULLET}', '\\N'],
  ['[abc', '"["'],
  ['(a', 'not a regular expression'],
  ['a\\', 'backslash'],
  ['\\xg1', 'incomplete'],
])('%s is refused by a sentence', (pattern, part) => {
  expect(() => translatePattern(pattern)).toThrow(part);
});

test('a very long pattern is refused', () => {
  expect(() => translatePattern('a'.repeat(MAX_PATTERN_LENGTH + 1))).toThrow(
    `${MAX_PATTERN_LENGTH + 1} characters`,
  );
});

test('a pattern that backtracks without end is an error, not a hang', () => {
  const { source, flags } = translatePattern('(a+)+b');
  expect(() => matchAll([{ source, flags }], ['a'.repeat(200)])).toThrow('takes too long');
});

test('the group idx comes back, per question and text', () => {
  const found = matchAll(
    [
      { source: 'x(?<idx>\\d+)', flags: '' },
      { source: 'y', flags: '' },
    ],
    ['x12', 'y'],
  );
  expect(found).toEqual([new Map([[0, '12']]), new Map([[1, undefined]])]);
});
