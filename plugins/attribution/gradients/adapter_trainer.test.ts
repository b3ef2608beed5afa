import { expect, test } from 'vitest';
import type { InfluenceLayout, NativeTrainer } from '../../../native/binding/index.ts';
import { gradientsAt, type OpenedAdapter, queryOf } from './adapter_trainer.ts';

const states = Float32Array.of(3);
/** An adapter whose gradient is its value, and what it was opened with. */
function opened(earlier: number[]): OpenedAdapter & { value(): number } {
  let value = 9;
  const trainer = {
    setValues: (values: Float32Array) => {
      value = values[0]!;
    },
    influenceQuery: async (_example: unknown, _layout: unknown, wanted: { gradient: boolean }) => ({
      rows: 1,
      states: Float32Array.of(3 * (value === 9 ? 1 : 0)),
      ...(wanted.gradient ? { gradients: [Float32Array.of(value)] } : {}),
    }),
  } as unknown as NativeTrainer;
  return {
    trainer,
    own: Float32Array.of(9),
    earlier: earlier.map((one) => Float32Array.of(one)),
    value: () => value,
  };
}
const answer = { tokens: Int32Array.of(1, 2), weights: Float32Array.of(0, 1) };
const at = (value: number) => Float32Array.of(value);
const layout = (...rates: number[]) => ({ rates }) as InfluenceLayout;

test('gradients are those of the checkpoints of its index, of which the adapter itself is the last', async () => {
  const adapter = opened([1, 2]);
  const all = await queryOf(adapter, answer, layout(1, 2, 3), 'all');
  expect(all).toEqual({ rows: 1, states, gradients: [at(1), at(2), at(9)] });
  expect(adapter.value()).toBe(9);
  expect((await queryOf(adapter, answer, layout(1, 2, 3), 'last')).gradients).toEqual([
    undefined,
    undefined,
    at(9),
  ]);
  expect(await queryOf(adapter, answer, layout(1, 2, 3), 'none')).toEqual({ rows: 1, states });
  expect((await queryOf(opened([]), answer, layout(1), 'all')).gradients).toEqual([at(9)]);
});

test('where its checkpoints are not beside it the last alone knows the gradient', async () => {
  for (const earlier of [[], [1]])
    expect((await queryOf(opened(earlier), answer, layout(1, 2, 3), 'all')).gradients).toEqual([
      undefined,
      undefined,
      at(9),
    ]);
});

test('a checkpoint that fails leaves the adapter as it was', async () => {
  const adapter = opened([1]);
  const { influenceQuery } = adapter.trainer;
  adapter.trainer.influenceQuery = () => Promise.reject(new Error('no memory'));
  await expect(queryOf(adapter, answer, layout(1, 2), 'all')).rejects.toThrow('no memory');
  adapter.trainer.influenceQuery = influenceQuery;
  expect(adapter.value()).toBe(9);
});

test('a method takes the gradients that it is told by', () => {
  expect(gradientsAt('repsim')).toBe('none');
  expect(gradientsAt('logra')).toBe('last');
  for (const method of ['cosine', 'less', 'trak', 'grad-dot'] as const)
    expect(gradientsAt(method)).toBe('all');
});
