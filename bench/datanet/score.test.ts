import { expect, test } from 'vitest';
import { benchRows } from './rows.ts';
import { scoreOf } from './score.ts';

test('pairs that are found, missed and wrong', () => {
  expect(scoreOf([1, 1, 2, 3], [7, 7, 8, 9])).toEqual({ precision: 1, recall: 1, f1: 1 });
  // Found: 01, 23. Known: 01, 02, 12.
  expect(scoreOf([1, 1, 2, 2], [7, 7, 7, 8])).toMatchObject({ precision: 1 / 2, recall: 1 / 3 });
  expect(scoreOf([1, 2, 3], [7, 7, 7]).f1).toBe(0);
});

test('the rows are as many as asked for, the same each time, of all kinds', () => {
  const rows = [...benchRows(20_000, 1)];
  expect(rows).toHaveLength(20_000);
  expect([...benchRows(20_000, 1)]).toEqual(rows);
  const faults = (kind: string) => rows.filter(({ fault }) => fault === kind).length;
  for (const kind of ['address', 'mojibake', 'lost']) expect(faults(kind), kind).toBeGreaterThan(50);
  const sizes = new Map<number, number>();
  for (const { cluster } of rows) sizes.set(cluster, (sizes.get(cluster) ?? 0) + 1);
  expect([...sizes.values()].filter((size) => size > 1).length).toBeGreaterThan(1000);
  expect(Math.max(...sizes.values())).toBeLessThanOrEqual(5);
});
