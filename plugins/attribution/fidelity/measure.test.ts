import { expect, test } from 'vitest';
import { askedOf, removedOf } from './measure.ts';

test('no query is asked about twice, and no more than a quarter of the examples are left out together', () => {
  for (const queries of [1, 2, 7, 8, 48])
    for (const examples of [8, 19, 20, 60, 120, 300])
      for (const rounds of [1, 2, 4, 9, 60]) {
        const asked = askedOf(queries, examples, rounds);
        const of = `${queries} queries, ${examples} examples, ${rounds} rounds`;
        expect(asked, of).toHaveLength(Math.min(rounds, queries));
        const all = asked.flat();
        expect(new Set(all).size, of).toBe(all.length);
        expect(Math.max(...all), of).toBeLessThan(queries);
        expect(new Set(asked.map(({ length }) => length)).size, of).toBe(1);
        expect(asked[0]!.length * removedOf(examples), of).toBeLessThanOrEqual(examples / 4);
      }
});

test('of many queries each round takes six, and none where none are wanted', () => {
  expect(askedOf(48, 120, 4)).toEqual([0, 1, 2, 3].map((r) => [0, 8, 16, 24, 32, 40].map((at) => r + at)));
  expect(askedOf(48, 120, 0)).toEqual([]);
});
