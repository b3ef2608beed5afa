import { expect, test } from 'vitest';
import { standOut } from './noise.ts';

test('what stands out is what unrelated examples hardly score', () => {
  // Median 0.2, and half of all are within 0.1 of it.
  const scores = Float64Array.of(0, 0.1, 0.2, 0.3, 0.4, 0.2, 0.1, 0.3, 5);
  const found = standOut(scores, 1.64);
  expect(found).toHaveLength(1);
  expect(found[0]!.example).toBe(8);
  expect(found[0]!.score).toBeCloseTo(4.8, 12);
  expect(found[0]!.deviation).toBeCloseTo(0.14826, 12);
});

test('a gradient that is longer is worth no more', () => {
  const scores = Float64Array.of(0.1, -0.1, 0.9, 0, 0.05);
  const norms = Float64Array.of(1000, 1, 10, 3, 0.5);
  const inflated = standOut(
    scores.map((score, at) => score * norms[at]!),
    1.64,
    norms.map((norm) => norm * norm),
  );
  const plain = standOut(scores, 1.64);
  expect(inflated.map(({ example }) => example)).toEqual(plain.map(({ example }) => example));
  expect(inflated[0]!.score).toBeCloseTo(plain[0]!.score, 12);
});

test('no scores, scores that are all the same, an example without a gradient, and what is no number', () => {
  expect(standOut(new Float64Array(0), 1.64)).toEqual([]);
  expect(standOut(new Float64Array(5).fill(0.9), 1.64)).toEqual([]);
  expect(standOut(Float64Array.of(0, 1), 0, Float64Array.of(0, 1))).toMatchObject([{ example: 1 }]);
  expect(() => standOut(Float64Array.of(0, Number.NaN), 1)).toThrow('The score of example 1 is NaN');
});
