import fc from 'fast-check';
import { expect, test } from 'vitest';
import { apportion } from './apportion.ts';

test('the largest remainders get what is left, the earlier of equal ones', () => {
  expect(apportion(10, [1, 1, 1])).toEqual([4, 3, 3]);
  expect(apportion(100, [47, 16, 15.8, 12, 6.1, 3.1])).toEqual([47, 16, 16, 12, 6, 3]);
  expect(apportion(1, [0, 2, 2])).toEqual([0, 1, 0]);
  expect(apportion(0, [0, 0])).toEqual([0, 0]);
  expect(apportion(0, [])).toEqual([]);
});

test('every sum is exact, each part is within a unit of its own, and what weighs nothing gets nothing', () => {
  const weights = fc.array(fc.oneof(fc.constant(0), fc.double({ min: 1e-6, max: 1, noNaN: true })), {
    minLength: 1,
  });
  fc.assert(
    fc.property(weights, fc.maxSafeNat(), (some, total) => {
      const sum = some.reduce((all, one) => all + one, 0);
      fc.pre(sum > 0);
      const parts = apportion(total, some);
      expect(parts.reduce((all, one) => all + BigInt(one), 0n)).toBe(BigInt(total));
      for (const [at, part] of parts.entries()) {
        expect(Number.isSafeInteger(part) && part >= 0).toBe(true);
        if (some[at] === 0) expect(part).toBe(0);
        if (total <= 1e9) expect(Math.abs(part - (total * some[at]!) / sum)).toBeLessThan(1.01);
      }
    }),
  );
});

test('whole weights are exact where they are bigints, however far apart', () => {
  expect(apportion(9, [2n ** 60n, 2n ** 60n + 1n, 1n])).toEqual([4, 5, 0]);
  expect(apportion(2 ** 53 - 1, [1n, 10n ** 15n])).toEqual([9, 2 ** 53 - 1 - 9]);
  expect(() => apportion(5, [1n, -1n])).toThrow('A weight is -1. Give finite weights of 0 and more.');
  expect(() => apportion(5, [0n])).toThrow('5 units have nobody to go to: all weights are 0.');
});

test('weights that are none, and units that nobody can get', () => {
  for (const weight of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => apportion(5, [1, weight])).toThrow(
      `A weight is ${weight}. Give finite weights of 0 and more.`,
    );
  }
  expect(() => apportion(5, [0, 0])).toThrow('5 units have nobody to go to: all weights are 0.');
  expect(() => apportion(5, [])).toThrow(RangeError);
});
