import { expect, test } from 'vitest';
import { bootstrap, meanEstimate } from './estimate.ts';

test('the interval of a mean is near that of the normal distribution', () => {
  const values = Array.from({ length: 400 }, (_, i) => (i % 20) - 9.5);
  const { value, low, high } = meanEstimate(values);
  expect(value).toBeCloseTo(0, 12);
  // 1.96 standard errors: sqrt((20^2 - 1) / 12) / sqrt(400).
  const expected = 1.96 * (Math.sqrt(399 / 12) / 20);
  expect(high).toBeGreaterThan(0.85 * expected);
  expect(high).toBeLessThan(1.15 * expected);
  expect(low).toBeLessThan(-0.85 * expected);
  expect(low).toBeGreaterThan(-1.15 * expected);
});

test('equal values leave no doubt, and the same data give the same interval', () => {
  expect(meanEstimate([2, 2, 2])).toEqual({ value: 2, low: 2, high: 2 });
  expect(meanEstimate([1, 5, 9, 2])).toEqual(meanEstimate([1, 5, 9, 2]));
});

test('draws are even and below their limit', () => {
  const counts = new Uint32Array(7);
  bootstrap(0, (draw) => {
    counts[draw(7)]!++;
    return 0;
  });
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1000);
  for (const count of counts) expect(Math.abs(count - 1000 / 7)).toBeLessThan(50);
});
