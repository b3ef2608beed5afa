/** Evidence as it may be, for tests of what must hold of all of it. */
import fc from 'fast-check';
import type { AnswerEvidence, ExampleScore, SpanEvidence, Teacher } from '../evidence.ts';

const unit = fc.double({ min: 0, max: 1, noNaN: true });

/** Up to 12 examples of up to 5 contributors, and an answer of up to 12 tokens with spans, influence, both or neither. */
export const anyEvidence: fc.Arbitrary<AnswerEvidence> = fc
  .record({ examples: fc.integer({ min: 1, max: 12 }), tokens: fc.nat(12) })
  .chain(({ examples, tokens }) => {
    const example = fc.nat(examples - 1);
    const teacher = fc.record({
      contribution: fc.constantFrom('x', 'y'),
      contributor: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      cluster: fc.constantFrom('1', '2', '3', '4', '5', '6'),
      order: fc.nat(5),
    });
    const corpus = fc
      .array(teacher, { minLength: examples, maxLength: examples })
      .map(
        (all) => new Map(all.map((one, at): [number, Teacher] => [at, { ...one, example: `hash-${at}` }])),
      );
    const scores: fc.Arbitrary<ExampleScore[]> = fc.uniqueArray(
      fc.record(
        {
          example,
          score: fc.oneof(
            fc.double({ min: -1, max: 1, noNaN: true }),
            fc.double({ min: -1e100, max: 1e100, noNaN: true }),
          ),
          deviation: fc.double({ min: 0, max: 0.5, noNaN: true }),
          self: fc.oneof(fc.constant(0), fc.double({ min: 1e-100, max: 1e100, noNaN: true })),
        },
        { requiredKeys: ['example', 'score'] },
      ),
      { selector: (one) => one.example, maxLength: examples },
    );
    const similar = fc.array(
      fc.record({ a: example, b: example, similarity: fc.double({ min: -1, max: 1, noNaN: true }) }),
      { maxLength: 10 },
    );
    const rows = fc.array(fc.option(scores), { minLength: tokens, maxLength: tokens });
    return fc.record(
      {
        tokens: fc.array(fc.record({ base: unit }, { requiredKeys: [] }), {
          minLength: tokens,
          maxLength: tokens,
        }),
        adapterBase: unit,
        spans: tokens === 0 ? fc.constant([]) : fc.array(spanOf(tokens, example), { maxLength: 5 }),
        influence: fc.record(
          { method: fc.constant('cosine'), scores, tokens: rows },
          { requiredKeys: ['method', 'scores'] },
        ),
        similar,
        corpus,
      },
      { requiredKeys: ['tokens', 'corpus'] },
    );
  });

function spanOf(tokens: number, example: fc.Arbitrary<number>): fc.Arbitrary<SpanEvidence> {
  return fc
    .record({
      start: fc.nat(tokens - 1),
      length: fc.integer({ min: 1, max: tokens }),
      more: fc.oneof(fc.nat(3), fc.nat(2 ** 32)),
      logProbability: fc.double({ min: -200, max: 0, noNaN: true }),
      examples: fc.uniqueArray(example, { minLength: 1, maxLength: 3 }),
    })
    .map(({ start, length, more, logProbability, examples }) => ({
      start,
      end: Math.min(tokens, start + length),
      count: examples.length + more,
      logProbability,
      examples,
    }));
}
