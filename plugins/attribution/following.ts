/** Follows one answer while it is made: what the engine says of each token becomes traces and spans, and at its end a record. */
import type {
  Followed,
  FollowedGeneration,
  Following,
  TokenMatch,
  TokenTrace,
  TracedSpan,
} from '../../gateway/contract/index.ts';
import { Corpus } from './corpus.ts';
import { examplesOf, rarest, type Span, SpanFinder } from './spans.ts';

/** Examples that are named for a token or a span while the answer is made. */
const examplesNamed = 4;

/** All that is known of an answer at its end. */
export interface EndedAnswer extends Omit<FollowedGeneration, 'traces'> {
  finish: 'stop' | 'length' | 'cut';
  tokens: Int32Array;
  spans: Span[];
  /** The mean of the states that its tokens were drawn from; undefined where one has none. */
  state: Float32Array | undefined;
  /** Why nobody can be named; its tokens are counted alone. */
  reason: string | undefined;
}

/** An adapter that has nothing to look in, and why. */
export interface Unattributed {
  reason: string;
}

export class AnswerFollowing implements Following {
  readonly wantsStates: boolean;
  readonly #generation: FollowedGeneration;
  readonly #corpus: Corpus | Unattributed;
  readonly #ended: (answer: EndedAnswer) => void;
  readonly #finder: SpanFinder;
  readonly #tokens: number[] = [];
  readonly #spans: Span[] = [];
  /** Of the states of its first tokens, so many. */
  #sum: Float32Array | undefined;
  #summed = 0;

  /** `minimum`: tokens of the shortest span. `ended` is told once. */
  constructor(
    generation: FollowedGeneration,
    corpus: Corpus | Unattributed,
    minimum: number,
    ended: (answer: EndedAnswer) => void,
  ) {
    this.#generation = generation;
    this.#corpus = corpus;
    this.wantsStates = corpus instanceof Corpus;
    this.#finder = new SpanFinder(minimum);
    this.#ended = ended;
  }

  token(id: number, match: TokenMatch | undefined, state?: Float32Array): TokenTrace | undefined {
    if (state) this.#add(state);
    const span = this.#finder.add(match);
    if (span) this.#spans.push(span);
    this.#tokens.push(id);
    if (!match || !this.#generation.traces || !(this.#corpus instanceof Corpus)) return undefined;
    const examples = examplesOf(this.#corpus.index, match, examplesNamed);
    return { length: match.length, occurrences: match.count, examples };
  }

  end(finish: EndedAnswer['finish']): Followed {
    const last = this.#finder.end();
    if (last) this.#spans.push(last);
    const tokens = Int32Array.from(this.#tokens);
    const { traces, ...generation } = this.#generation;
    const corpus = this.#corpus;
    const reason = corpus instanceof Corpus ? undefined : corpus.reason;
    this.#ended({ ...generation, finish, tokens, spans: this.#spans, state: this.#mean(), reason });
    if (!(corpus instanceof Corpus))
      return { status: 'unattributed', reason: corpus.reason, matchedTokens: 0, spans: [] };
    // Most answers are followed without being shown.
    const spans = traces ? tracedSpans(corpus, tokens, this.#spans) : [];
    return { status: 'settling', matchedTokens: covered(this.#spans), spans };
  }

  /** In the order of the tokens, in single precision: the same bits whatever is in a batch with it. */
  #add(state: Float32Array): void {
    this.#sum ??= new Float32Array(state.length);
    for (let i = 0; i < state.length; i++) this.#sum[i]! += state[i]!;
    this.#summed++;
  }

  #mean(): Float32Array | undefined {
    return this.#summed === this.#tokens.length ? this.#sum?.map((value) => value / this.#summed) : undefined;
  }
}

/** All spans, in the order of the answer. */
export function tracedSpans(corpus: Corpus, tokens: Int32Array, spans: readonly Span[]): TracedSpan[] {
  return rarest(corpus.index, tokens, spans, 1)
    .map(({ start, end, row, count, logProbability }) => ({
      start,
      end,
      occurrences: count,
      logFrequency: logProbability,
      examples: examplesOf(corpus.index, { row, count }, examplesNamed),
    }))
    .sort((a, b) => a.start - b.start);
}

/** Tokens that are in any span; spans come in the order of the answer and may overlap. */
export function covered(spans: ReadonlyArray<{ start: number; end: number }>): number {
  let [tokens, until] = [0, 0];
  for (const { start, end } of spans) {
    tokens += Math.max(0, end - Math.max(start, until));
    until = Math.max(until, end);
  }
  return tokens;
}
