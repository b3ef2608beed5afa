import { Value } from 'typebox/value';
import { expect, test } from 'vitest';
import { type Recipe, recipeSchema } from '../../plugins/training/recipe.ts';
import { keepingOutput } from './testing.ts';
import { recipeFlags, recipeOf } from './train_flags.ts';
import { duration, sparkline, trainView } from './train_view.ts';

test('every setting of a recipe has a flag', () => {
  expect(Object.keys(recipeFlags).sort()).toEqual(Object.keys(Value.Create(recipeSchema) as Recipe).sort());
});

test('of a recipe only what was given is asked for', () => {
  expect(recipeOf({ batchSize: 4, rslora: true, url: 'x', maxTokens: undefined })).toEqual({
    batch_size: 4,
    rslora: true,
  });
});

test('a sparkline goes from the least to the greatest, and averages what does not fit', () => {
  expect(sparkline([], 8)).toBe('');
  expect(sparkline([3, 3], 8)).toBe('▁▁');
  expect(sparkline([7, 6, 5, 4, 3, 2, 1, 0], 8)).toBe('█▇▆▅▄▃▂▁');
  expect(sparkline([1, 1, 0, 0], 2)).toBe('█▁');
});

test('durations are as long as they need to be', () => {
  expect([-3, 40, 89, 90, 720, 11_100].map(duration)).toEqual([
    '0 s',
    '40 s',
    '89 s',
    '2 min',
    '12 min',
    '3 h 5 min',
  ]);
});

test('without a terminal every event is a line, and none where it has to be quiet', () => {
  const event = {
    level: 'info',
    message: 'Step 1/2: training loss=1.00',
    data: { step: 1, total_steps: 2 },
  } as const;
  const { output, printed } = keepingOutput();
  const view = trainView(output);
  view.event(event);
  view.finish(null);
  view.end();
  expect(printed.stderr).toBe('Step 1/2: training loss=1.00\n');
  const quiet = keepingOutput({ quiet: true });
  trainView(quiet.output).event(event);
  expect(quiet.printed.stderr).toBe('');
});

test('on a terminal there is a bar with losses and the time left', () => {
  const { output, printed } = keepingOutput();
  Object.assign(output.streams.stderr, {
    isTTY: true,
    columns: 200,
    cursorTo() {},
    clearLine() {},
    moveCursor() {},
  });
  const view = trainView(output);
  const step = (number: number, loss: number, held?: number) =>
    view.event({
      level: 'info',
      message: '',
      data: { step: number, total_steps: 4, train_loss: loss, ...(held ? { valid_loss: held } : {}) },
    });
  step(1, 2);
  step(2, 1, 1.5);
  view.finish(Date.now() / 1000 + 600);
  view.end();
  expect(printed.stderr).toContain('2/4  loss 1.000 █▁  held-out 1.500  10 min left');
});
