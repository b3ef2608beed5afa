/** Which splits are warned of. */
import { expect, test } from 'vitest';
import { splitWarnings } from './warnings.ts';

const warned = (
  shares: [number, number, number],
  has: [number, number, number],
  apart: 'contributor' | 'source' | 'cluster' = 'contributor',
) =>
  splitWarnings({
    settings: {
      curation: null,
      seed: 0,
      shares: { train: shares[0], validation: shares[1], test: shares[2] },
      apart,
    },
    counts: {
      examples: has[0] + has[1] + has[2],
      contributions: 1,
      contributors: 1,
      splits: { train: has[0], validation: has[1], test: has[2] },
    },
  });

test('a split that is empty, or far from its share, is told of with its figures', () => {
  expect(warned([0.8, 0.1, 0.1], [120, 0, 0])).toEqual([
    "The split 'validation' is empty, where a share of 0.1 of 120 examples is 12: examples of one contributor are never in two splits. Accept more examples of others, or keep apart less ('cluster').",
    expect.stringContaining("The split 'test' is empty"),
  ]);
  expect(warned([0.8, 0.2, 0], [30, 70, 0], 'cluster')).toEqual([
    expect.stringContaining("The split 'train' has 30, where a share of 0.8 of 100 examples is 80"),
    expect.stringContaining("The split 'validation' has 70"),
  ]);
});

test('shares that are met, and splits that nobody asked for, are not', () => {
  expect(warned([0.8, 0.1, 0.1], [80, 10, 10])).toEqual([]);
  expect(warned([0.8, 0.1, 0.1], [85, 7, 8])).toEqual([]);
  expect(warned([1, 0, 0], [5, 0, 0])).toEqual([]);
});
