/** Spans by the engine's matches are those that comparing everything with everything finds. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type NativeTraceIndex, native } from '../../native/binding/index.ts';
import { examplesOf, rarest, type Span, SpanFinder } from './spans.ts';

const adapter = 'ab'.repeat(32);
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-spans-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function indexOf(corpus: number[][]): Promise<NativeTraceIndex> {
  const builder = native().createTraceIndexBuilder(16);
  for (const example of corpus) builder.add(Int32Array.from(example));
  const path = join(folder, 'trace.index');
  await builder.write(path, adapter);
  return native().openTraceIndex(path, adapter);
}

/** As the engine tells them: one token after the other. */
function spansOf(index: NativeTraceIndex, answer: number[], minimum: number): Span[] {
  const { length, row, count } = index.matches(Int32Array.from(answer));
  const finder = new SpanFinder(minimum);
  const told = answer.map((_, i) =>
    finder.add(length[i]! > 0 ? { length: length[i]!, row: row[i]!, count: count[i]! } : undefined),
  );
  return [...told, finder.end()].filter((span) => span !== undefined);
}

/** The example of each place that has the run, example by example. */
function occurrences(corpus: number[][], run: number[]): number[] {
  return corpus.flatMap((example, number) =>
    example.flatMap((_, at) => (run.every((token, i) => example[at + i] === token) ? [number] : [])),
  );
}

function spansByForce(corpus: number[][], answer: number[], minimum: number) {
  const occurs = (start: number, end: number) => occurrences(corpus, answer.slice(start, end)).length > 0;
  const spans: Array<{ start: number; end: number; examples: number[] }> = [];
  for (let start = 0; start < answer.length; start++)
    for (let end = start + minimum; end <= answer.length; end++) {
      if (!occurs(start, end)) continue;
      if (start > 0 && occurs(start - 1, end)) continue;
      if (end < answer.length && occurs(start, end + 1)) continue;
      spans.push({ start, end, examples: occurrences(corpus, answer.slice(start, end)) });
    }
  return spans;
}

const token = fc.integer({ min: 0, max: 3 });
const cases = fc.record({
  corpus: fc.array(fc.array(token, { maxLength: 24 }), { minLength: 1, maxLength: 8 }),
  // One token more than the corpus has.
  answer: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 30 }),
  minimum: fc.integer({ min: 1, max: 5 }),
});

test('exactly the maximal spans, with their counts and examples', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ corpus, answer, minimum }) => {
      const index = await indexOf(corpus);
      const found = spansOf(index, answer, minimum).map(({ start, end, row, count }) => ({
        start,
        end,
        count,
        examples: examplesOf(index, { row, count }, corpus.length).sort((a, b) => a - b),
      }));
      const expected = spansByForce(corpus, answer, minimum).map(({ examples, ...span }) => ({
        ...span,
        count: examples.length,
        examples: [...new Set(examples)],
      }));
      expect(found).toEqual(expected);
    }),
    { numRuns: 500 },
  );
});

test('each token with its longest match, count and examples', async () => {
  await fc.assert(
    fc.asyncProperty(cases, fc.integer({ min: 1, max: 4 }), async ({ corpus, answer }, most) => {
      const index = await indexOf(corpus);
      const { length, row, count } = index.matches(Int32Array.from(answer));
      answer.forEach((_, i) => {
        let longest = 0;
        while (longest <= i && occurrences(corpus, answer.slice(i - longest, i + 1)).length > 0) longest++;
        expect(length[i]).toBe(longest);
        if (longest === 0) return;
        const examples = occurrences(corpus, answer.slice(i + 1 - longest, i + 1));
        expect(count[i]).toBe(examples.length);
        const some = examplesOf(index, { row: row[i]!, count: count[i]! }, most);
        const different = new Set(examples);
        expect(some).toHaveLength(Math.min(most, different.size));
        expect(new Set(some).size).toBe(some.length);
        expect(some.every((example) => different.has(example))).toBe(true);
      });
    }),
    { numRuns: 200 },
  );
});

test('a span is told with the token that ends it', async () => {
  const index = await indexOf([
    [1, 2, 3, 4],
    [3, 4, 5],
  ]);
  const answer = Int32Array.of(1, 2, 3, 4, 5, 9, 3, 4);
  const { length, row, count } = index.matches(answer);
  const finder = new SpanFinder(2);
  const told = Array.from(answer, (_, i) => {
    const span = finder.add(length[i] ? { length: length[i]!, row: row[i]!, count: count[i]! } : undefined);
    return span && [span.start, span.end, span.count];
  });
  const none = undefined;
  expect(told).toEqual([none, none, none, none, [0, 4, 1], [2, 5, 1], none, none]);
  expect(finder.end()).toMatchObject({ start: 6, end: 8, count: 2 });
  expect(finder.end()).toBeUndefined();
});

test('the rarest are kept: one for twenty tokens, of equals the earlier', async () => {
  const index = await indexOf([
    [1, 1, 1, 1, 1, 1],
    [1, 2],
    [3, 4],
    [4, 3],
  ]);
  const answer = [1, 1, 9, 3, 4, 9, 1, 2, 9, 4, 3, ...Array(9).fill(9)];
  const spans = spansOf(index, answer, 2);
  const tokens = Int32Array.from(answer);
  expect(rarest(index, tokens, spans)).toEqual([
    { ...spans[1], logProbability: expect.closeTo(2 * Math.log(2 / 12), 12) },
  ]);
  expect(rarest(index, Int32Array.from([...answer, 9]), spans).map(({ start }) => start)).toEqual([3, 9]);
  expect(rarest(index, tokens, spans, 1).map(({ start }) => start)).toEqual([3, 9, 6, 0]);
});
