import { expect, test } from 'vitest';
import { halves } from '../../plugins/attribution/fidelity/subsets.ts';
import type { FidelityData } from './data.ts';
import { best, fidelityCases, mislabelledCase, reportOf } from './fidelity.ts';
import { wronglyTaught } from './protocol.ts';

const count = 20;
const example = { tokens: new Int32Array(1), weights: new Float32Array(1) };
/** Examples and queries of two classes; an example helps the queries of its own, the later the more. */
const data: FidelityData = {
  train: { examples: Array(count).fill(example), classes: Array.from({ length: count }, (_, i) => i % 2) },
  queries: { examples: Array(4).fill(example), classes: [0, 1, 0, 1] },
  mislabelled: Array(count).fill(example),
};
const worth = data.queries.classes.map((chosen) =>
  data.train.classes.map((own, i) => (own === chosen ? 1 + i / 10 : 0)),
);
const retrained = halves(count, 30).map((each) => ({
  ...each,
  losses: worth.map((row) => 20 - each.examples.reduce((sum, i) => sum + row[i]!, 0)),
}));
const turned = worth.map((row) => row.map((value) => -value));
const flat = worth.map((row) => row.map((value, i) => (value > 0 ? 1 : 0) + (i % 3) / 100));

test('ours is the best candidate, all others are peers, and what has no time of its own has none', () => {
  const scores = {
    bm25: { scores: turned, secondsPerQuery: 0.001 },
    repsim: { scores: flat, secondsPerQuery: 0.002 },
    less: { scores: worth, secondsPerQuery: 0.004 },
    'exact-cosine': { scores: worth },
  };
  const found = reportOf(data, scores, retrained);
  expect(best(found)).toBe('less');
  const [lds, classAuc, seconds] = fidelityCases(found, scores);
  expect(lds).toMatchObject({ case: 'lds', unit: 'LDS', ours: 1, peers: { bm25: -1, 'exact-cosine': 1 } });
  expect(lds!.peers.repsim).toBeLessThan(1);
  expect(lds!.ratios).not.toHaveProperty('bm25');
  expect(classAuc).toMatchObject({ ours: 1, peers: { bm25: 0, repsim: 1 } });
  expect(seconds).toMatchObject({ ours: 0.004, peers: { bm25: 0.001, repsim: 0.002 } });
  expect(seconds!.peers).not.toHaveProperty('exact-cosine');
});

test('mislabelled examples are those of the training that had them', () => {
  const wrong = new Set(wronglyTaught(count).mislabelled);
  const found = Array.from({ length: count }, (_, i) => (wrong.has(i) ? 2 : 1));
  const suspicions = {
    'self-grad-dot': found,
    'self-datainf': found.map(() => 1),
    loss: found.map((x) => -x),
  };
  expect(mislabelledCase(suspicions, count)).toMatchObject({
    ours: 1,
    peers: { loss: 0, 'self-datainf': 0.5 },
  });
});
