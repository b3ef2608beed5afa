import { expect, test } from 'vitest';
import type { TrainingExample } from '../../../native/binding/index.ts';
import { drawn, swapped } from './held_out.ts';

/** A question and an answer of so many tokens each. */
const example = (question: number[], answer: number[]): TrainingExample => ({
  tokens: Int32Array.from([...question, ...answer]),
  weights: Float32Array.from([...question.map(() => 0), ...answer.map(() => 1)]),
});
const some = (count: number) => Array.from({ length: count }, (_, i) => example([1, 2], [10 + i]));
const wanted = { examples: 300, queries: 48 };
/** Cut at its end, so that nothing of it is learned. */
const unanswered = example([1, 2, 3], []);

test('those that were held out are asked about, and all that was learned is measured', () => {
  const { examples, queries } = drawn(some(20), some(9), wanted);
  expect(examples).toEqual([...Array(20).keys()]);
  expect(queries).toEqual({ from: 'validation', positions: [...Array(9).keys()] });
});

test('too few that were held out are made up for by others, taken out of what is trained on', () => {
  for (const heldOut of [0, 7]) {
    const { examples, queries } = drawn(some(20), some(heldOut), wanted);
    expect(queries.from).toBe('training');
    expect(queries.positions).toHaveLength(4);
    expect([...examples, ...queries.positions].sort((a, b) => a - b)).toEqual([...Array(20).keys()]);
  }
});

test('a part is drawn at random, the same every time, without what teaches nothing', () => {
  const training = [unanswered, ...some(40), unanswered];
  const validation = [unanswered, ...some(20)];
  const draw = drawn(training, validation, { examples: 10, queries: 5 });
  expect(draw).toEqual(drawn(training, validation, { examples: 10, queries: 5 }));
  expect(draw.examples).toHaveLength(10);
  expect(draw.queries.positions).toHaveLength(5);
  const all = drawn(training, validation, wanted);
  expect([all.examples.at(0), all.examples.at(-1)]).toEqual([1, 40]);
  expect(all.queries.positions.at(0)).toBe(1);
});

test('too few examples are none to measure on', () => {
  const cut = Array<TrainingExample>(30).fill(unanswered);
  expect(() => drawn([...some(9), ...cut], [], wanted)).not.toThrow();
  expect(() => drawn([...some(8), ...cut], [], wanted)).toThrow('Only 8 of its 38 training examples');
  expect(() => drawn(cut, some(9), wanted)).toThrow('Only 0 of its 30');
});

test('each gets the answer of another one, of those that differ, and no longer than it may be', () => {
  const same = [example([1], [7]), example([2], [7]), example([3], [7, 8]), example([4], [7])];
  const { swapped: all, differs } = swapped(same, 8);
  expect(differs).toEqual([true, true, true, true]);
  expect(all.map(({ tokens }) => [...tokens])).toEqual([
    [1, 7, 8],
    [2, 7, 8],
    [3, 7],
    [4, 7, 8],
  ]);
  expect([...all[0]!.weights]).toEqual([0, 1, 1]);
  expect([...swapped(same, 2).swapped[0]!.tokens]).toEqual([1, 7]);
  expect(swapped(same.slice(0, 2), 8).differs).toEqual([false, false]);
});
