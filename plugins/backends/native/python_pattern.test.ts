import { expect, test } from 'vitest';
import { MAX_PATTERN_LENGTH, PythonPattern } from './python_pattern.ts';

test.each([
  ['.*\\.q_proj', 'model.layers.0.self_attn.q_proj', true],
  ['.*\\.(q|v)_proj', 'model.layers.0.self_attn.k_proj', false],
  ['.*\\.(q|v)_proj', 'model.layers.0.self_attn.v_proj', true],
  ['^(?!.*mlp).*_proj$', 'a.mlp.up_proj', false],
  ['^(?!.*mlp).*_proj$', 'a.attn.q_proj', true],
  ['(?=.*attn).*proj', 'a.attn.q_proj', true],
  ['(?P<kind>q|k)_proj', 'k_proj', true],
  ['\\Amodel\\Z', 'model', true],
  ['(?i)MO[C-E]EL', 'model', true],
  ['MODEL', 'model', false],
  ['a{,2}b', 'aab', true],
  ['a{,2}b', 'aaab', false],
  ['a{2}b', 'aab', true],
  ['a{2,}b', 'aaaab', true],
  ['a{2,3}b', 'ab', false],
  ['a{x}', 'a{x}', true],
  ['[]x]+', ']x', true],
  ['[^]x]', 'x', false],
  ['[\\w.]+', 'a.b', true],
  ['[a-c1-]+', 'b-1', true],
  ['\\x61\\u0062', 'ab', true],
  ['a|', '', true],
  ['(a|ab)(c|bcd)', 'abcd', true],
  ['(a*)*b', 'aaab', true],
  ['.*?layers\\.\\d+\\b.*', 'model.layers.12.mlp', true],
  ['\\Bb', 'b', false],
  ['layers.(1[0-9]|2\\d)', 'layers.17', true],
])('%s on %s', (pattern, text, expected) => {
  expect(new PythonPattern(pattern).fullMatch(text)).toBe(expected);
});

test.each([
  ['(?>a)b', '(?>a'],
  ['(?i:a)', '(?i:'],
  ['(?<=a)b', '(?<='],
  ['(a)\\1', '\\1'],
  ['a*+', 'possessive'],
  ['a**', 'repeats a repetition'],
  ['*a', 'nothing to repeat'],
  ['(?x) a', '(?x)'],
  ['\\N{BULLET}', '\\N'],
  ['[abc', '"["'],
  ['[z-a]', 'range'],
  ['(a', '"("'],
  ['a)', '")"'],
  ['a\\', 'backslash'],
  ['\\xg1', '\\x'],
  ['a{5000}', '{5000}'],
  ['('.repeat(200), 'nested'],
])('%s is refused by a sentence', (pattern, part) => {
  expect(() => new PythonPattern(pattern)).toThrow(part);
});

test('a very long pattern is refused', () => {
  expect(() => new PythonPattern('a'.repeat(MAX_PATTERN_LENGTH + 1))).toThrow(
    `${MAX_PATTERN_LENGTH + 1} characters`,
  );
});

test('what would backtrack without end is answered', () => {
  const text = 'a'.repeat(60);
  for (const pattern of ['(a+)+b', '(a|a)*b', '(a|aa)+$b', '(.*)*(.*)*(.*)*x', `${'a?'.repeat(60)}b`]) {
    expect(new PythonPattern(pattern).fullMatch(text)).toBe(false);
  }
});

test('a match may start behind the beginning, and the beginning stays where it is', () => {
  expect(new PythonPattern('mlp\\.up').fullMatch('x.mlp.up', 2)).toBe(true);
  expect(new PythonPattern('^mlp\\.up').fullMatch('x.mlp.up', 2)).toBe(false);
  expect([...new PythonPattern('a+').ends('aaab', 0)]).toEqual([1, 2, 3]);
});
