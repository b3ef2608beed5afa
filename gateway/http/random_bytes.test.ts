import { expect, test } from 'vitest';
import { takeRandom64, takeRandomHex } from './random_bytes.ts';

test('digits are given once, over the end of a page too', () => {
  const taken = Array.from({ length: 2000 }, () => takeRandomHex(15));
  expect(new Set(taken).size).toBe(2000);
  expect(taken.every((one) => /^[0-9a-f]{30}$/.test(one))).toBe(true);
});

test('64 bits are given once, over the end of a page too', () => {
  const taken = Array.from({ length: 2000 }, takeRandom64);
  expect(new Set(taken).size).toBe(2000);
  // Every bit is both, somewhere.
  expect(taken.reduce((all, one) => all | one)).toBe(2n ** 64n - 1n);
  expect(taken.reduce((all, one) => all & one)).toBe(0n);
});
