import { expect, it } from 'vitest';
import { readArguments, wholeNumber } from './arguments.ts';

const known = { cases: ['a', 'b'], peers: ['x'], values: ['limit'], switches: ['setup'] };

it('has defaults', () => {
  expect(readArguments([], known)).toMatchObject({
    repeats: 3,
    cases: ['a', 'b'],
    peers: ['x'],
    quick: false,
  });
  expect(readArguments(['--quick'], known).repeats).toBe(1);
});

it('reads values in both forms', () => {
  const read = readArguments(
    ['--cases=b', '--repeats', '5', '--setup', '--limit', '7', '--peers', ''],
    known,
  );
  expect(read).toMatchObject({ repeats: 5, cases: ['b'], peers: [] });
  expect(read.flags.get('setup')).toBe(true);
  expect(wholeNumber(read.flags, 'limit', 1)).toBe(7);
});

it('refuses in a sentence what it does not know', () => {
  expect(() => readArguments(['--case', 'a'], known)).toThrow('"--case" is not an argument');
  expect(() => readArguments(['--cases', 'c'], known)).toThrow('--cases has "c", which is none of a, b.');
  expect(() => readArguments(['--repeats', '0'], known)).toThrow('--repeats is "0"');
  expect(() => readArguments(['--repeats'], known)).toThrow('--repeats needs a value');
  expect(() => readArguments(['--setup=yes'], known)).toThrow('"--setup=yes" is not an argument');
  expect(() => wholeNumber(new Map([['limit', '1.5']]), 'limit', 1)).toThrow('--limit is "1.5"');
});
