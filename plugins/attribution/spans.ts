/**
 * Where an answer says word for word what an adapter was trained on: the maximal matching spans of OLMoTrace (arXiv
 * 2504.07096), from what the engine says of each token as it appears. Unlike there, a span may go over the end of a sentence or
 * begin within a word: it is a run of tokens, as the model was taught them.
 */
import type { TokenMatch } from '../../gateway/contract/index.ts';
import type { NativeTraceIndex } from '../../native/binding/index.ts';

/** Tokens [start, end) of an answer that training examples have in a row, and no longer run around them that any has. */
export interface Span {
  start: number;
  end: number;
  /** Its occurrences, by the rows of the trace index: `count` of them from `row` on. */
  row: number;
  count: number;
}

export interface RankedSpan extends Span {
  /** What the corpus's frequencies of single tokens make of it: the sum of their logarithms, in nats. */
  logProbability: number;
}

/**
 * Shorter runs are language that all have in common. Of unseen text of the same field (docstrings of other modules), runs of 3
 * tokens or more cover 16% in a corpus of 10,000 tokens, runs of 4 6%, of 6 1%; in one of 100,000 it is 41%, 19% and 3.5%, so that a
 * large corpus is better traced with 6.
 */
export const defaultMinimum = 4;
/** OLMoTrace shows one span for so many tokens of an answer. */
const defaultShare = 0.05;
/** Rows that are read for a run's examples: one that occurs more often may have more examples than are found. */
const mostRows = 256;

/** Finds the spans of one answer while its tokens appear; a span is told when no later token can make it longer. */
export class SpanFinder {
  readonly #minimum: number;
  #tokens = 0;
  #last: TokenMatch | undefined;

  /** `minimum`: tokens of the shortest span. */
  constructor(minimum = defaultMinimum) {
    this.#minimum = minimum;
  }

  /** The next token, with the longest match that ends with it; the span that ended before it, where one did. */
  add(match: TokenMatch | undefined): Span | undefined {
    const before = this.#last;
    const goesOn = before !== undefined && match?.length === before.length + 1;
    const span = goesOn ? undefined : this.end();
    this.#last = match;
    this.#tokens++;
    return span;
  }

  /** The span that the last token ends, where one does. */
  end(): Span | undefined {
    const match = this.#last;
    this.#last = undefined;
    if (!match || match.length < this.#minimum) return undefined;
    const { length, row, count } = match;
    return { start: this.#tokens - length, end: this.#tokens, row, count };
  }
}

/**
 * The spans that say most, the least likely first: so many as `share` of the answer's tokens, rounded up (1: all). Likely is
 * what frequent tokens make, as OLMoTrace ranks them; of equals the earlier one is first.
 */
export function rarest(
  index: Pick<NativeTraceIndex, 'info' | 'counts'>,
  tokens: Int32Array,
  spans: readonly Span[],
  share = defaultShare,
): RankedSpan[] {
  const all = Math.log(index.info().tokens);
  const logProbabilities = Float64Array.from(index.counts(tokens), (count) => Math.log(count) - all);
  return spans
    .map((span) => ({
      ...span,
      logProbability: logProbabilities.subarray(span.start, span.end).reduce((sum, one) => sum + one, 0),
    }))
    .sort((a, b) => a.logProbability - b.logProbability || a.start - b.start)
    .slice(0, Math.ceil(share * tokens.length));
}

/** The numbers of up to `most` different examples that have a run, by its rows in their order. */
export function examplesOf(
  index: Pick<NativeTraceIndex, 'places'>,
  { row, count }: Pick<TokenMatch, 'row' | 'count'>,
  most: number,
): number[] {
  const found = new Set<number>();
  const end = row + Math.min(count, mostRows);
  for (let from = row; from < end && found.size < most; ) {
    const rows = Math.min(end - from, Math.max(most, from - row));
    for (const example of index.places(from, rows).example) if (found.size < most) found.add(example);
    from += rows;
  }
  return [...found];
}
