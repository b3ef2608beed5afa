import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AnswerEvidence, Teacher } from './evidence.ts';
import { policyHash, policyOf, type SharePolicy } from './policy.ts';
import { type AnswerShares, microsOfToken, sharesOf } from './shares.ts';
import { anyEvidence } from './testing/random_evidence.ts';

const policy = policyOf();
const plain = policyOf({ cap: 1, minimum: 0, deviations: 0, spans: 0.5 });
const sum = (values: Iterable<number>) => [...values].reduce((all, one) => all + one, 0);

const anyPolicy: fc.Arbitrary<SharePolicy> = fc
  .record(
    {
      base: fc.double({ min: 0, max: 1, noNaN: true }),
      spans: fc.double({ min: 0, max: 1, noNaN: true }),
      surprise: fc.double({ min: 1, max: 100, noNaN: true }),
      occurrences: fc.integer({ min: 1, max: 256 }),
      deviations: fc.double({ min: 0, max: 3, noNaN: true }),
      alike: fc.double({ min: 0.1, max: 1, noNaN: true }),
      cap: fc.double({ min: 0.1, max: 1, noNaN: true }),
      minimum: fc.double({ min: 0, max: 0.2, noNaN: true }),
    },
    { requiredKeys: [] },
  )
  .map(policyOf);

const corpusOf = (...contributors: string[]) =>
  new Map(
    contributors.map((contributor, at): [number, Teacher] => [
      at,
      {
        example: `hash-${at}`,
        contribution: `of-${contributor}`,
        contributor,
        cluster: String(at),
        order: at,
      },
    ]),
  );
const tokens = (count: number) => Array.from({ length: count }, () => ({}));
const paid = (shares: AnswerShares) =>
  Object.fromEntries(
    shares.contributors.map(({ contributor, micro }) => [contributor, micro / shares.total]),
  );

describe('of whatever evidence', () => {
  test('all adds up: each token, the response, the pool, contributions and examples', () => {
    fc.assert(
      fc.property(anyEvidence, anyPolicy, (evidence, some) => {
        const shares = sharesOf(evidence, some);
        expect(shares.total).toBe(evidence.tokens.length * microsOfToken);
        expect(shares.base + shares.pool + sum(shares.contributors.map(({ micro }) => micro))).toBe(
          shares.total,
        );
        expect(sum(Object.values(shares.poolBy))).toBe(shares.pool);
        expect(sum(shares.tokens.map(({ base }) => base))).toBe(shares.base);
        expect(sum(shares.tokens.map(({ pool }) => pool))).toBe(shares.pool);
        const byContributor = new Map<string, number>();
        for (const token of shares.tokens) {
          expect(token.base + token.pool + sum(token.contributors.map(({ micro }) => micro))).toBe(
            microsOfToken,
          );
          for (const { contributor, micro } of token.contributors)
            byContributor.set(contributor, (byContributor.get(contributor) ?? 0) + micro);
        }
        for (const { contributor, micro, contributions, examples } of shares.contributors) {
          expect(byContributor.get(contributor)).toBe(micro);
          expect(sum(contributions.map((one) => one.micro))).toBe(micro);
          expect(sum(examples.map((one) => one.micro))).toBe(micro);
          for (const one of examples) expect(evidence.corpus.get(one.number)!.contributor).toBe(contributor);
        }
        expect(byContributor.size).toBe(shares.contributors.length);
      }),
      { numRuns: 200 },
    );
  });

  test('nothing is negative or part of a unit, and no contributor is above the cap or below the minimum', () => {
    fc.assert(
      fc.property(anyEvidence, anyPolicy, (evidence, some) => {
        const shares = sharesOf(evidence, some);
        const parts = [
          ...Object.values(shares.poolBy),
          ...shares.tokens.flatMap((one) => [
            one.base,
            one.pool,
            ...one.contributors.map(({ micro }) => micro),
          ]),
          ...shares.contributors.flatMap(({ examples }) => examples.map(({ micro }) => micro)),
        ];
        for (const part of parts) expect(Number.isSafeInteger(part) && part >= 0).toBe(true);
        // A unit a token is what largest remainder may add or take.
        const rounding = evidence.tokens.length;
        const taught = shares.total - shares.base + rounding;
        for (const { micro } of shares.contributors) {
          expect(micro).toBeLessThanOrEqual(some.cap * taught + rounding);
          expect(micro).toBeGreaterThanOrEqual(some.minimum * (taught - 2 * rounding) - 2 * rounding);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('the order in which it is named changes nothing, nor do ids that no evidence names', () => {
    const shuffled = <T>(all: readonly T[] | undefined) => all && [...all].reverse();
    fc.assert(
      fc.property(anyEvidence, (evidence) => {
        const { spans, influence, similar, corpus } = evidence;
        const other: AnswerEvidence = {
          ...evidence,
          spans: shuffled(spans)?.map((span) => ({ ...span, examples: [...span.examples].reverse() })),
          influence: influence && {
            ...influence,
            scores: shuffled(influence.scores)!,
            tokens: influence.tokens?.map((scores) => scores && shuffled(scores)!),
          },
          similar: shuffled(similar)?.map(({ a, b, similarity }) => ({ a: b, b: a, similarity })),
          corpus: new Map([
            ...[...corpus].reverse(),
            [99, { example: 'z', contribution: 'z', contributor: 'z', cluster: 'z', order: 0 }],
          ]),
        };
        expect(sharesOf(other, policy)).toEqual(sharesOf(evidence, policy));
      }),
      { numRuns: 200 },
    );
  });

  test('who gives the same examples under two names is paid no more, but for the cap', () => {
    fc.assert(
      fc.property(
        anyEvidence,
        fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
        (evidence, second) => {
          const split = new Map(
            [...evidence.corpus].map(([at, one]) => [
              at,
              one.contributor === 'a' && second[at] ? { ...one, contributor: 'a-too' } : one,
            ]),
          );
          const payOf = (shares: AnswerShares) =>
            sum(
              shares.contributors
                .filter(({ contributor }) => contributor.startsWith('a'))
                .map(({ micro }) => micro),
            );
          const before = payOf(sharesOf(evidence, policy));
          const after = payOf(sharesOf({ ...evidence, corpus: split }, policy));
          expect(after).toBeLessThanOrEqual(before / policy.cap + 2 * evidence.tokens.length);
          expect(1 / policy.cap).toBeLessThanOrEqual(1.05);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('the rules', () => {
  const span = { start: 0, end: 2, count: 1, logProbability: -64, examples: [0] };
  const scores = [
    { example: 0, score: 0.3 },
    { example: 1, score: 0.4 },
  ];

  test('the base first: by token, by adapter, or as the policy has it', () => {
    const evidence = {
      tokens: [{ base: 1 }, { base: 0.25 }, {}],
      spans: [{ ...span, end: 3 }],
      corpus: corpusOf('a'),
    };
    expect(sharesOf(evidence, plain).tokens.map(({ base }) => base)).toEqual([1_000_000, 250_000, 500_000]);
    const measured = sharesOf({ ...evidence, adapterBase: 0.75 }, plain);
    expect(measured.tokens.map(({ base }) => base)).toEqual([1_000_000, 250_000, 750_000]);
    expect(measured.baseFrom).toEqual(['token', 'adapter']);
    expect(sharesOf(evidence, plain)).toMatchObject({
      baseFrom: ['token', 'policy'],
      spans: true,
      influence: null,
    });
  });

  test('where nothing names anyone all is the base, and it is said why', () => {
    const nobody = { total: 2_000_000, base: 2_000_000, pool: 0, contributors: [] };
    expect(sharesOf({ tokens: tokens(2), corpus: new Map() }, policy)).toMatchObject({
      ...nobody,
      baseFrom: ['no_evidence'],
    });
    const found = {
      tokens: tokens(2),
      spans: [],
      influence: { method: 'cosine', scores: [] },
      corpus: new Map(),
    };
    expect(sharesOf(found, policy)).toMatchObject({
      ...nobody,
      baseFrom: ['nothing_found'],
      influence: 'cosine',
    });
  });

  test('an answer without tokens has no shares', () => {
    const evidence = {
      tokens: [],
      spans: [],
      influence: { method: 'cosine', scores },
      corpus: corpusOf('a', 'b'),
    };
    expect(sharesOf(evidence, policy)).toEqual({
      policy: policyHash(policy),
      spans: true,
      influence: 'cosine',
      total: 0,
      base: 0,
      pool: 0,
      poolBy: { unknown: 0, common: 0, uncertain: 0, capped: 0, small: 0 },
      contributors: [],
      tokens: [],
      baseFrom: [],
    });
  });

  test('spans and influence, each alone and both', () => {
    const corpus = corpusOf('a', 'b');
    const spans = sharesOf({ tokens: tokens(4), spans: [span], corpus }, plain);
    expect(paid(spans)).toEqual({ a: 0.25 });
    expect(spans.poolBy.unknown).toBe(1_000_000);
    // The squares of 3 and 4 of 25.
    const influence = sharesOf({ tokens: tokens(4), influence: { method: 'cosine', scores }, corpus }, plain);
    expect(paid(influence)).toEqual({ a: 0.18, b: 0.32 });
    // Half of two tokens of four by spans, all else by influence.
    const both = sharesOf(
      { tokens: tokens(4), spans: [span], influence: { method: 'cosine', scores }, corpus },
      plain,
    );
    expect(paid(both)).toEqual({ a: 0.125 + 0.75 * 0.18, b: 0.75 * 0.32 });
  });

  test('a span weighs by how surprising it is, and is paid to who taught it first', () => {
    const corpus = corpusOf('a', 'b', 'c');
    const later = { ...span, end: 4, count: 2, logProbability: -8, examples: [2, 1] };
    const shares = sharesOf({ tokens: tokens(4), spans: [later], corpus }, plain);
    expect(paid(shares)).toEqual({ b: 0.125 });
    const common = sharesOf({ tokens: tokens(4), spans: [{ ...later, count: 11 }, span], corpus }, plain);
    // Two tokens that both cover: 32 to 8 of full strength.
    expect(common.poolBy.common).toBe(0.2 * 1_000_000 + 0.25 * 1_000_000);
    expect(paid(common)).toEqual({ a: 0.2 });
  });

  test('those that say the same are paid once, split by what each added', () => {
    const corpus = corpusOf('a', 'b', 'c');
    corpus.get(1)!.cluster = '0';
    const of = (...values: number[]) =>
      paid(
        sharesOf(
          {
            tokens: tokens(1),
            influence: { method: 'cosine', scores: values.map((score, example) => ({ example, score })) },
            corpus,
          },
          plain,
        ),
      );
    expect(of(0.4, 0.4)).toEqual({ a: 0.5 });
    expect(of(0.4, 0.3)).toEqual({ a: 0.5 });
    expect(of(0.4, 0.6)).toEqual({ a: 0.4, b: 0.1 });
    expect(of(0.4, 0.4, 0.4)).toEqual({ a: 0.25, c: 0.25 });
  });

  test('what an earlier example taught is not paid again to one that resembles it', () => {
    const corpus = corpusOf('a', 'b');
    const of = (similarity: number) =>
      paid(
        sharesOf(
          {
            tokens: tokens(1),
            influence: { method: 'cosine', scores: [0.5, 0.5].map((score, example) => ({ example, score })) },
            similar: [{ a: 1, b: 0, similarity }],
            corpus,
          },
          plain,
        ),
      );
    expect(of(0)).toEqual({ a: 0.25, b: 0.25 });
    expect(of(0.25).b).toBeCloseTo(0.5 * (0.75 ** 2 / (1 + 0.75 ** 2)), 6);
    expect(of(plain.alike)).toEqual({ a: 0.5 });
    // A span that the later one alone has is the earlier one's, of which it is a paraphrase.
    const spans = [{ ...span, examples: [1] }];
    const similar = [{ a: 0, b: 1, similarity: 0.9 }];
    expect(paid(sharesOf({ tokens: tokens(2), spans, similar, corpus }, plain))).toEqual({ a: 0.5 });
  });

  test('what is within the error of a score goes to the pool, and what may be noise counts for nothing', () => {
    const evidence = {
      tokens: tokens(1),
      influence: {
        method: 'cosine',
        scores: [
          { example: 0, score: 0.5, deviation: 0.1 },
          { example: 1, score: 0.1, deviation: 0.1 },
        ],
      },
      corpus: corpusOf('a', 'b'),
    };
    const shares = sharesOf(evidence, policyOf({ deviations: 2 }));
    expect(paid(shares)).toEqual({ a: 0.3 });
    expect(shares.poolBy.uncertain).toBe(200_000);
  });

  test('rows of scores stand in for the response where a token has its own', () => {
    const rows = [[{ example: 1, score: 0.1 }], null, [{ example: 1, score: -1 }]];
    const influence = { method: 'cosine', scores: [{ example: 0, score: 0.3 }], tokens: rows };
    const shares = sharesOf({ tokens: tokens(3), influence, corpus: corpusOf('a', 'b') }, plain);
    expect(shares.tokens.map(({ contributors }) => contributors[0]!.contributor)).toEqual(['b', 'a', 'a']);
  });

  test('a long gradient is worth no more than a short one, and one of no length nothing', () => {
    const of = (norm: number) =>
      sharesOf(
        {
          tokens: tokens(1),
          influence: {
            method: 'grad-dot',
            scores: [
              { example: 0, score: 0.3 * norm, deviation: 0.01 * norm, self: norm * norm },
              { example: 1, score: 0.4, deviation: 0.01, self: 1 },
              { example: 2, score: 0.4, self: 0 },
            ],
          },
          corpus: corpusOf('a', 'b', 'c'),
        },
        policy,
      );
    expect(of(1024)).toEqual(of(1));
    expect(of(1).contributors).toHaveLength(2);
  });

  test('the cap and the minimum', () => {
    const capped = sharesOf({ tokens: tokens(2), spans: [span], corpus: corpusOf('a') }, policy);
    expect(paid(capped)).toEqual({ a: 0.48 });
    expect(capped.poolBy.capped).toBe(40_000);
    const small = {
      method: 'cosine',
      scores: [
        { example: 0, score: 1 },
        { example: 1, score: 0.03 },
      ],
    };
    const shares = sharesOf({ tokens: tokens(2), influence: small, corpus: corpusOf('a', 'b') }, policy);
    expect(shares.contributors.map(({ contributor }) => contributor)).toEqual(['a']);
    expect(shares.poolBy.small).toBeGreaterThan(0);
  });
});

describe('evidence that cannot be', () => {
  const good: AnswerEvidence = { tokens: tokens(3), corpus: corpusOf('a', 'b') };
  const span = { start: 0, end: 3, count: 1, logProbability: -40, examples: [0] };
  const influence = (
    ...scores: Array<{ example: number; score: number; deviation?: number; self?: number }>
  ) => ({
    influence: { method: 'cosine', scores },
  });
  test.each<[string, Partial<AnswerEvidence>]>([
    ['Example 7 is named as evidence, but not who gave it.', influence({ example: 7, score: 1 })],
    [
      'Example 7 is named as evidence, but not who gave it.',
      { spans: [{ ...span, examples: [7], count: 2 }] },
    ],
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
    [
      'The order of example 0 is NaN',
      { corpus: new Map([[0, { ...good.corpus.get(0)!, order: Number.NaN }]]) },
    ],
  ])('%s', (sentence, fault) => {
    expect(() => sharesOf({ ...good, ...fault }, policy)).toThrow(sentence);
    expect(() => sharesOf({ ...good, ...fault }, policy)).toThrow(RangeError);
  });
});

test('a long answer with as many occurrences and scores as can be', () => {
  const corpus = corpusOf(...Array.from({ length: 2000 }, (_, at) => `contributor-${at % 300}`));
  const shares = sharesOf(
    {
      tokens: tokens(500),
      spans: [{ start: 0, end: 500, count: 2 ** 32 - 2, logProbability: -1e300, examples: [5] }],
      influence: {
        method: 'dot',
        scores: [...corpus.keys()].map((example) => ({ example, score: 1e100 / (1 + example) ** 0.25 })),
      },
      corpus,
    },
    policy,
  );
  expect(shares.contributors).toHaveLength(300);
  expect(shares.base + shares.pool + sum(shares.contributors.map(({ micro }) => micro))).toBe(500_000_000);
});
