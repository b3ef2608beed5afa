import { expect, test } from 'vitest';
import type { Retrains } from './lds.ts';
import { fidelityOf } from './report.ts';

/** Two classes of four examples; a query of each is helped by the examples of its own, some more than others. */
const classes = { examples: ['a', 'a', 'a', 'a', 'b', 'b', 'b', 'b'], queries: ['a', 'b'] };
const candidates = ['good', 'worse', 'same'];
const worth = [
  [4, 3, 2, 1, 0, 0.1, 0, 0],
  [0, 0, 0.1, 0, 1, 4, 2, 3],
];
const subsets = Array.from({ length: 20 }, (_, i) =>
  classes.examples.map((_, example) => example).filter((example) => ((i * 37 + 11) >> example) & 1),
);
const retrains: Retrains = {
  subsets,
  losses: subsets.map((examples) =>
    worth.map((own) => 20 - examples.reduce((sum, example) => sum + own[example]!, 0)),
  ),
};
const turned = worth.map((row) => row.map((value) => -value));
const swapped = [worth[1]!, worth[0]!];

test('the method that foretells best is chosen, and its classes are told', () => {
  const found = fidelityOf({
    scores: { bm25: turned, good: worth },
    baseline: 'bm25',
    candidates,
    retrains,
    classes,
  });
  expect(found.retrains).toBe(20);
  expect(found.chosen).toBe('good');
  expect(found.methods.map(({ method }) => method)).toEqual(['good', 'bm25']);
  const [good, baseline] = found.methods;
  expect(good!.lds.value).toBeCloseTo(1, 10);
  expect(good).toMatchObject({ classAuc: 1, classRecall: 1 });
  expect(good!.overBaseline!.low).toBeGreaterThan(0);
  expect(baseline).toMatchObject({ classRecall: 0 });
  expect(baseline!.overBaseline).toBeUndefined();
});

test('where no method is surely above the baseline none is chosen', () => {
  const only = { baseline: 'bm25', candidates, retrains };
  expect(fidelityOf({ ...only, scores: { bm25: worth, worse: swapped } }).chosen).toBeNull();
  expect(fidelityOf({ ...only, scores: { bm25: worth, same: worth } }).chosen).toBeNull();
  expect(fidelityOf({ ...only, scores: { bm25: worth } }).chosen).toBeNull();
  expect(fidelityOf({ ...only, scores: { bm25: turned, unheard: worth } }).chosen).toBeNull();
  expect(fidelityOf({ ...only, scores: { bm25: turned, unheard: worth, good: worth } }).chosen).toBe('good');
});

test('where no class is known, or all are of one, nothing is said of classes', () => {
  const only = { baseline: 'bm25', candidates, retrains, scores: { bm25: worth } };
  const one = { examples: classes.examples.map(() => 'a'), queries: ['a', 'a'] };
  for (const known of [{}, { classes: one }])
    expect(Object.keys(fidelityOf({ ...only, ...known }).methods[0]!)).toEqual(['method', 'lds']);
});
