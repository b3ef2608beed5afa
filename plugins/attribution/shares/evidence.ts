/** What is known of an answer when its shares are made: plain values, each of which a receipt can hold. */
import type { ExampleOrigin } from '../../../gateway/contract/index.ts';

/** Who gave an example, and its place in the order in which all were given (of equals the lower hash is first). */
export interface Teacher extends ExampleOrigin {
  order: number;
}

/** Tokens [start, end) of the answer that examples have word for word: a maximal span, as OLMoTrace defines it. */
export interface SpanEvidence {
  start: number;
  end: number;
  /** Occurrences in all examples. */
  count: number;
  /** Sum of the logs of its tokens' frequencies in all examples, nats. */
  logProbability: number;
  /** All examples that have it; where it has more occurrences than the policy pays, as many as are known. */
  examples: readonly number[];
}

/** How much an example moved the model towards this answer: above 0 it helped, and 0 is what an unrelated one has on average. */
export interface ExampleScore {
  example: number;
  score: number;
  /** Standard deviation of the score: over checkpoints or seeds, or else of the scores of unrelated examples. Default 0. */
  deviation?: number;
  /**
   * The example's influence on itself (for a dot product, its squared norm). Given: score and deviation are divided by its root, so
   * that a long gradient is worth no more than a short one. Absent: the method has done so (cosines), or has no need to (BM25).
   */
  self?: number;
}

export interface InfluenceEvidence {
  method: string;
  /**
   * Every example whose score stands out of the noise. A list that is cut at the best few would let many paraphrases push out
   * the example that they paraphrase.
   */
  scores: readonly ExampleScore[];
  /** Scores by token, where they are known; null, absent, or none that stands out: those of the response. */
  tokens?: ReadonlyArray<readonly ExampleScore[] | null>;
}

/** How alike two examples are, from -1 to 1: the cosine of their states or gradients, of which the corpus's mean was taken. */
export interface SimilarPair {
  a: number;
  b: number;
  similarity: number;
}

export interface AnswerEvidence {
  /** One for each token of the answer. `base`: how much of its probability the base alone would have given it, from 0 to 1. */
  tokens: ReadonlyArray<{ base?: number }>;
  /** The same, measured once for the adapter on held-out answers: for tokens without their own. */
  adapterBase?: number;
  /** Absent: no spans were looked for. */
  spans?: readonly SpanEvidence[];
  /** Absent: no influence was asked for, or no method is better than spans. */
  influence?: InfluenceEvidence;
  /** Of the examples that spans and influence name, those that are alike; a pair that is not here is not. */
  similar?: readonly SimilarPair[];
  /** Of every example that spans and influence name, and of the first of each of their clusters. */
  corpus: ReadonlyMap<number, Teacher>;
}

/** Numbers within this can be divided by one another, and squared beside the greatest, without overflow. */
const largest = 1e100;

/** Throws RangeError where evidence says what cannot be: shares of it would be wrong without anyone seeing it. */
export function checkEvidence(evidence: AnswerEvidence): void {
  const { tokens, adapterBase, spans = [], influence, similar = [], corpus } = evidence;
  for (const [at, { base }] of tokens.entries()) if (base !== undefined) part(base, `of token ${at}`);
  if (adapterBase !== undefined) part(adapterBase, 'of the adapter');
  for (const [example, { order }] of corpus) {
    if (!Number.isFinite(order)) wrong(`The order of example ${example}`, order, 'a finite number');
  }
  for (const span of spans) checkSpan(span, tokens.length, corpus);
  for (const { a, b, similarity } of similar) {
    for (const example of [a, b]) known(example, corpus);
    if (!(similarity >= -1 && similarity <= 1))
      wrong(`The similarity of ${a} and ${b}`, similarity, 'from -1 to 1');
  }
  if (!influence) return;
  checkScores(influence.scores, corpus);
  if (influence.tokens && influence.tokens.length !== tokens.length) {
    throw new RangeError(
      `Influence has scores of ${influence.tokens.length} tokens, the answer ${tokens.length}.`,
    );
  }
  for (const scores of influence.tokens ?? []) if (scores) checkScores(scores, corpus);
}

function checkSpan(span: SpanEvidence, tokens: number, corpus: AnswerEvidence['corpus']): void {
  const { start, end, count, logProbability, examples } = span;
  if (!(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start < end && end <= tokens))
    throw new RangeError(`A span is [${start}, ${end}), which is none of an answer of ${tokens} tokens.`);
  if (!(Number.isInteger(count) && count >= 1))
    wrong('The occurrences of a span', count, 'a whole number above 0');
  if (!(logProbability <= 0 && Number.isFinite(logProbability)))
    wrong('The log probability of a span', logProbability, 'finite and not above 0');
  if (examples.length === 0 || examples.length > count)
    throw new RangeError(`A span of ${count} occurrences has ${examples.length} examples.`);
  for (const example of examples) known(example, corpus);
}

function checkScores(scores: readonly ExampleScore[], corpus: AnswerEvidence['corpus']): void {
  const seen = new Set<number>();
  for (const { example, score, deviation = 0, self = 1 } of scores) {
    known(example, corpus);
    if (seen.has(example)) throw new RangeError(`Example ${example} has two scores.`);
    seen.add(example);
    if (!(Math.abs(score) <= largest))
      wrong(`The score of example ${example}`, score, `a number within ${largest}`);
    for (const [what, value] of Object.entries({ deviation, 'influence on itself': self })) {
      if (!(value >= 0 && value <= largest))
        wrong(`The ${what} of example ${example}`, value, `from 0 to ${largest}`);
    }
    if (self > 0 && self < 1 / largest)
      wrong(`The influence on itself of example ${example}`, self, `0, or ${1 / largest} and more`);
  }
}

function part(value: number, of: string): void {
  if (!(value >= 0 && value <= 1)) wrong(`The base's share ${of}`, value, 'from 0 to 1');
}

function known(example: number, corpus: AnswerEvidence['corpus']): void {
  if (!corpus.has(example))
    throw new RangeError(`Example ${example} is named as evidence, but not who gave it.`);
}

function wrong(what: string, value: number, wanted: string): never {
  throw new RangeError(`${what} is ${value}. It must be ${wanted}.`);
}
