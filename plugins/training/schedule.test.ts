import { expect, test } from 'vitest';
import { batchOf, learningRate, planOf } from './schedule.ts';

const recipe = { epochs: 3, batch_size: 4, evaluations: 5, seed: 7 };

test('every epoch has every example once, each in another order', () => {
  const plan = planOf(recipe, 10);
  expect(plan).toMatchObject({ stepsPerEpoch: 3, steps: 9 });
  const orders = [0, 1, 2].map((epoch) =>
    [1, 2, 3].flatMap((step) => batchOf(plan, recipe, epoch * 3 + step)),
  );
  for (const order of orders)
    expect([...order].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(new Set(orders.map(String)).size).toBe(3);
  expect(batchOf(plan, recipe, 3)).toHaveLength(2);
});

test('a batch depends on the recipe and the step alone', () => {
  const plan = planOf(recipe, 100);
  const late = batchOf(plan, recipe, 60);
  batchOf(plan, recipe, 1);
  expect(batchOf(planOf(recipe, 100), recipe, 60)).toEqual(late);
  expect(batchOf(plan, { ...recipe, seed: 8 }, 60)).not.toEqual(late);
});

test('orders are fair', () => {
  const counts = new Array(6).fill(0);
  for (let seed = 0; seed < 600; seed++) {
    const few = { batch_size: 1, seed };
    counts[batchOf(planOf({ epochs: 1, evaluations: 1, ...few }, 6), few, 1)[0]!]++;
  }
  for (const count of counts) expect(Math.abs(count - 100)).toBeLessThan(40);
});

test('evaluations are spread, and the last step has one', () => {
  expect([...planOf(recipe, 40).evaluateAfter]).toEqual([6, 12, 18, 24, 30]);
  expect([...planOf({ ...recipe, evaluations: 50 }, 4).evaluateAfter]).toEqual([1, 2, 3]);
});

test('the learning rate warms up, then stays or falls', () => {
  const rates = (schedule: 'constant' | 'linear' | 'cosine') =>
    Array.from({ length: 10 }, (_, i) => learningRate({ schedule, warmup: 0.2 }, 1, i + 1, 10));
  expect(rates('constant')).toEqual([0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
  expect(rates('linear')[2]).toBeCloseTo(8 / 9, 12);
  expect(rates('linear')[9]).toBeCloseTo(1 / 9, 12);
  for (const [i, rate] of rates('cosine').entries()) {
    if (i < 2) continue;
    expect(rate).toBeCloseTo((1 + Math.cos(Math.PI * (1 - (10 - i) / 9))) / 2, 10);
  }
});
