import { expect, test } from 'vitest';
import { seeded } from '../lib/random.ts';
import { zipf } from './zipf.ts';

test('numbers are drawn in proportion to 1, 1/2, 1/3 and so on', () => {
  const draw = zipf(4, seeded(1));
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 100_000; i++) counts[draw()]!++;
  const all = 1 + 1 / 2 + 1 / 3 + 1 / 4;
  for (const [k, count] of counts.entries()) expect(count / 100_000).toBeCloseTo(1 / (k + 1) / all, 2);
});

test('the ends of the range are the first and the last', () => {
  expect(zipf(10_000, () => 0)()).toBe(0);
  expect(zipf(10_000, () => 1 - 1e-12)()).toBe(9_999);
  expect(zipf(1, () => 0.5)()).toBe(0);
});
