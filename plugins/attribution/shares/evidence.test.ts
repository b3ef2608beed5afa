import { expect, test } from 'vitest';
import { type AnswerEvidence, checkEvidence, type Teacher } from './evidence.ts';

const teacher = (order: number): Teacher => ({
  example: `hash-${order}`,
  contribution: 'x',
  contributor: 'a',
  cluster: String(order),
  order,
});
const corpus = new Map([0, 1].map((at) => [at, teacher(at)]));
const good: AnswerEvidence = { tokens: [{}, {}, {}], corpus };
const span = { start: 0, end: 3, count: 1, logProbability: -40, examples: [0] };
const influence = (
  ...scores: Array<{ example: number; score: number; deviation?: number; self?: number }>
) => ({
  influence: { method: 'cosine', scores },
});
test.each<[string, Partial<AnswerEvidence>]>([
  ['Example 7 is named as evidence, but not who gave it.', influence({ example: 7, score: 1 })],
  ['Example 7 is named as evidence, but not who gave it.', { spans: [{ ...span, examples: [7], count: 2 }] }],
  ['Example 7 is named', { similar: [{ a: 0, b: 7, similarity: 0 }] }],
  [
    'The score of example 0 is NaN. It must be a number within 1e+100.',
    influence({ example: 0, score: Number.NaN }),
  ],
  ['The score of example 0 is Infinity', influence({ example: 0, score: Number.POSITIVE_INFINITY })],
  ['Example 0 has two scores.', influence({ example: 0, score: 1 }, { example: 0, score: 1 })],
  ['The deviation of example 0 is -1', influence({ example: 0, score: 1, deviation: -1 })],
  ['The influence on itself of example 0 is NaN', influence({ example: 0, score: 1, self: Number.NaN })],
  [
    'Influence has scores of 1 tokens, the answer 3.',
    { influence: { method: 'cosine', scores: [], tokens: [null] } },
  ],
  [
    'The similarity of 0 and 1 is 1.5. It must be from -1 to 1.',
    { similar: [{ a: 0, b: 1, similarity: 1.5 }] },
  ],
  ["The base's share of token 1 is 1.5. It must be from 0 to 1.", { tokens: [{}, { base: 1.5 }, {}] }],
  ["The base's share of the adapter is NaN", { adapterBase: Number.NaN }],
  ['A span is [0, 4), which is none of an answer of 3 tokens.', { spans: [{ ...span, end: 4 }] }],
  ['A span is [2, 2)', { spans: [{ ...span, start: 2, end: 2 }] }],
  ['The occurrences of a span is 0.5', { spans: [{ ...span, count: 0.5 }] }],
  ['The log probability of a span is 1', { spans: [{ ...span, logProbability: 1 }] }],
  ['A span of 1 occurrences has 2 examples.', { spans: [{ ...span, examples: [0, 1] }] }],
  ['A span of 1 occurrences has 0 examples.', { spans: [{ ...span, examples: [] }] }],
  ['The order of example 0 is NaN', { corpus: new Map([[0, teacher(Number.NaN)]]) }],
])('%s', (sentence, fault) => {
  expect(() => checkEvidence({ ...good, ...fault })).toThrow(sentence);
  expect(() => checkEvidence({ ...good, ...fault })).toThrow(RangeError);
});
test('evidence that can be', () => {
  checkEvidence(good);
  checkEvidence({
    ...good,
    spans: [span],
    ...influence({ example: 1, score: -1e100, deviation: 0, self: 0 }),
  });
});
