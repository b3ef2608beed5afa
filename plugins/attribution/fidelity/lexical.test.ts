import { expect, test } from 'vitest';
import { bm25, tfidf } from './lexical.ts';

const documents = [
  [1, 2, 3],
  [1, 1, 4, 5],
  [1, 6],
];

test('BM25 by hand', () => {
  const [first, second, third] = bm25(documents)([4, 4, 9]);
  expect([first, third]).toEqual([0, 0]);
  // Token 4 is in one of three documents, once in the second one of 4 tokens where the mean is 3.
  const rarity = Math.log(1 + 2.5 / 1.5);
  expect(second).toBeCloseTo((2 * rarity * 2.2) / (1 + 1.2 * (0.25 + 0.75 * (4 / 3))), 12);
});

test('what every document has counts little, and a document is most like itself', () => {
  const scores = bm25(documents)([1, 6]);
  expect(scores.indexOf(Math.max(...scores))).toBe(2);
  expect(scores[0]).toBeGreaterThan(0);
  for (const [index, document] of documents.entries()) {
    const cosines = tfidf(documents)(document);
    expect(cosines[index]).toBeCloseTo(1, 12);
    for (const [other, cosine] of cosines.entries()) if (other !== index) expect(cosine).toBeLessThan(1);
  }
});

test('TF-IDF by hand, a token that no document has included', () => {
  const idf = (among: number) => Math.log(4 / (1 + among)) + 1;
  const query = Math.hypot(idf(1), idf(0));
  const document = Math.hypot(idf(3), idf(1));
  expect(tfidf(documents)([6, 7])[2]).toBeCloseTo((idf(1) * idf(1)) / (query * document), 12);
  expect([...tfidf(documents)([7])]).toEqual([0, 0, 0]);
});

test('an empty query scores nothing', () => {
  expect([...bm25(documents)([])]).toEqual([0, 0, 0]);
  expect([...tfidf(documents)([])]).toEqual([0, 0, 0]);
});
