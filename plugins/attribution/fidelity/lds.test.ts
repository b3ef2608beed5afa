import { expect, test } from 'vitest';
import { difference, estimateOf } from './estimate.ts';
import { lds, type Retrains } from './lds.ts';

/** Twelve parts of eight examples, and losses of two queries that examples lower by what they are worth. */
const worth = [
  [5, 1, 0, 0, 3, 0, 2, 0],
  [0, 2, 4, 1, 0, 6, 0, 1],
];
const subsets = Array.from({ length: 12 }, (_, i) =>
  [0, 1, 2, 3, 4, 5, 6, 7].filter((example) => (i * 2654435761 + example * 40503) % 7 < 4),
);
const retrains: Retrains = {
  subsets,
  losses: subsets.map((examples) =>
    worth.map((own) => 10 - examples.reduce((sum, example) => sum + own[example]!, 0)),
  ),
};
const turned = worth.map((own) => own.map((value) => -value));
const nothing = worth.map((own) => own.map(() => 1e-9));

test('scores that are what examples are worth foretell every loss, turned ones the opposite', () => {
  expect(new Set(subsets.map(String)).size).toBeGreaterThan(4);
  expect(lds(worth, retrains).value).toBeCloseTo(1, 10);
  expect(lds(turned, retrains).value).toBeCloseTo(-1, 10);
});

test('a query whose scores are right and one whose are turned are worth nothing together', () => {
  expect(lds([worth[0]!, turned[1]!], retrains).value).toBeCloseTo(0, 10);
});

test('the interval holds the value, is the same every time and wide where scores say little', () => {
  const odd = [worth[1]!, worth[0]!];
  const found = estimateOf(lds(odd, retrains));
  expect(found).toEqual(estimateOf(lds(odd, retrains)));
  expect(found.low).toBeLessThanOrEqual(found.value);
  expect(found.high).toBeGreaterThanOrEqual(found.value);
  const certain = estimateOf(lds(worth, retrains));
  expect(certain.high - certain.low).toBeLessThan(found.high - found.low);
});

test('one method is compared with another over the same draws', () => {
  const [all, none, opposite] = [worth, nothing, turned].map((scores) => lds(scores, retrains));
  expect(difference(all!, lds(worth, retrains))).toEqual({ value: 0, low: 0, high: 0 });
  expect(difference(all!, none!).low).toBeGreaterThan(0);
  expect(difference(opposite!, all!).high).toBeLessThan(0);
});
