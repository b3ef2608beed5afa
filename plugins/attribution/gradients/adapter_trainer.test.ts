import { expect, test } from 'vitest';
import type { InfluenceLayout, NativeTrainer } from '../../../native/binding/index.ts';
import { queryOf } from './adapter_trainer.ts';

const gradient = Float32Array.of(1, 2);
const states = Float32Array.of(3);
const trainer = {
  influenceQuery: async (_example: unknown, _layout: unknown, wanted: { gradient: boolean }) => ({
    rows: 1,
    states,
    ...(wanted.gradient ? { gradients: [gradient] } : {}),
  }),
} as unknown as NativeTrainer;
const answer = { tokens: Int32Array.of(1, 2), weights: Float32Array.of(0, 1) };

test('a gradient of the adapter itself is that of the last checkpoint of its index', async () => {
  for (const rates of [[1], [1, 2], [1, 2, 3]]) {
    const query = await queryOf(trainer, answer, { rates } as InfluenceLayout, true);
    expect(query.gradients).toHaveLength(rates.length);
    expect(query.gradients!.at(-1)).toBe(gradient);
    expect(query.gradients!.filter((one) => one !== undefined)).toHaveLength(1);
  }
  expect(await queryOf(trainer, answer, { rates: [1, 2] } as InfluenceLayout, false)).toEqual({
    rows: 1,
    states,
  });
});
