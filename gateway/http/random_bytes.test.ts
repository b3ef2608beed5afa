import { expect, test } from 'vitest';
import { takeRandom, takeRandomHex } from './random_bytes.ts';

test('bytes are given once, over the end of the pool too', () => {
  const taken = Array.from({ length: 2000 }, (_, at) =>
    at % 2 === 0 ? takeRandom(16).toString('hex') : takeRandomHex(16),
  );
  expect(new Set(taken).size).toBe(2000);
  expect(taken.every((one) => one.length === 32)).toBe(true);
});

test('what was taken stays as it was', () => {
  const bytes = takeRandom(8);
  const before = bytes.toString('hex');
  for (let i = 0; i < 1000; i++) takeRandom(15);
  expect(bytes.toString('hex')).toBe(before);
});
