import fc from 'fast-check';
import { expect, test } from 'vitest';
import { auc, ranks, recall, spearman } from './statistics.ts';

test('equal values share the mean of their ranks', () => {
  expect([...ranks([3, 1, 3, 2, 3])]).toEqual([4, 1, 4, 2, 4]);
  expect([...ranks([])]).toEqual([]);
});

test("Spearman's correlation is that of its closed form where no values are equal", () => {
  // 0 and -0 are equal.
  const different = fc.uniqueArray(fc.float({ noNaN: true }), {
    minLength: 2,
    maxLength: 20,
    comparator: 'IsStrictlyEqual',
  });
  fc.assert(
    fc.property(different, (values) => {
      const other = values.map((_, i) => (i * 7) % values.length);
      fc.pre(new Set(other).size === values.length);
      const [x, y] = [ranks(values), ranks(other)];
      const squares = values.reduce((sum, _, i) => sum + (x[i]! - y[i]!) ** 2, 0);
      const n = values.length;
      expect(spearman(values, other)).toBeCloseTo(1 - (6 * squares) / (n * (n * n - 1)), 10);
      expect(spearman(values, values)).toBeCloseTo(1, 12);
      expect(
        spearman(
          values,
          values.map((value) => -value),
        ),
      ).toBeCloseTo(-1, 12);
    }),
  );
});

test("Spearman's correlation with ties is Pearson's of the ranks, and 0 where one side says nothing", () => {
  // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
  expect(spearman([1, 2, 2, 3], [1, 2, 3, 4])).toBeCloseTo(4.5 / Math.sqrt(4.5 * 5), 12);
  expect(spearman([1, 1, 1], [1, 2, 3])).toBe(0);
});

test('AUC counts the pairs that are ranked right, ties half', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ score: fc.integer({ min: 0, max: 5 }), is: fc.boolean() }), { maxLength: 30 }),
      (rows) => {
        const yes = rows.filter(({ is }) => is);
        const no = rows.filter(({ is }) => !is);
        const found = auc(
          rows.map(({ score }) => score),
          (i) => rows[i]!.is,
        );
        if (yes.length === 0 || no.length === 0) {
          expect(found).toBeUndefined();
          return;
        }
        let right = 0;
        for (const a of yes)
          for (const b of no) right += a.score > b.score ? 1 : a.score === b.score ? 0.5 : 0;
        expect(found).toBeCloseTo(right / (yes.length * no.length), 10);
      },
    ),
  );
});

test('recall looks at as many scores as there are to be found', () => {
  const is =
    (...indices: number[]) =>
    (i: number) =>
      indices.includes(i);
  expect(recall([5, 4, 3, 2], is(0, 2))).toBe(0.5);
  expect(recall([5, 4, 3, 2], is(0, 1))).toBe(1);
  expect(recall([1, 1], is(1))).toBe(0);
  expect(recall([1, 1], is())).toBeUndefined();
});
