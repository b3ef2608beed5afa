import { expect, test } from 'vitest';
import { sample } from './random.ts';
import { halves, mislabelled } from './subsets.ts';

test('a sample has each position once, rising, and is the same every time', () => {
  const found = sample(50, 20, 7);
  expect(found).toEqual([...new Set(found)].sort((a, b) => a - b));
  expect(found).toHaveLength(20);
  expect(found.every((position) => position >= 0 && position < 50)).toBe(true);
  expect(sample(50, 20, 7)).toEqual(found);
  expect(sample(50, 20, 8)).not.toEqual(found);
  expect(sample(3, 3, 1)).toEqual([0, 1, 2]);
});

test('halves differ, and each example is in about half of them', () => {
  const all = halves(40, 60);
  expect(new Set(all.map(({ examples }) => String(examples))).size).toBe(60);
  for (const { examples } of all) expect(examples).toHaveLength(20);
  for (let example = 0; example < 40; example++) {
    const times = all.filter(({ examples }) => examples.includes(example)).length;
    expect(times).toBeGreaterThan(15);
    expect(times).toBeLessThan(45);
  }
});

test('a fifth of the data is mislabelled, of a training that has all of it', () => {
  const { examples, mislabelled: wrong } = mislabelled(40);
  expect(examples).toEqual(Array.from({ length: 40 }, (_, i) => i));
  expect(wrong).toHaveLength(8);
});
