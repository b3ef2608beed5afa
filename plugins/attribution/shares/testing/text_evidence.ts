/** Evidence of answers in texts alone: maximal spans by comparing with every example, influence as the cosine of TF-IDF vectors. */
import { createHash } from 'node:crypto';
import { DuplicateSearch } from '../../../datanet/curation/duplicates.ts';
import { Fingerprinter } from '../../../datanet/curation/fingerprints.ts';
import type { AnswerEvidence, ExampleScore, SimilarPair, SpanEvidence, Teacher } from '../evidence.ts';
import { standOut } from '../noise.ts';
import type { Given } from './world.ts';

export interface EvidenceOptions {
  spans: boolean;
  influence: boolean;
  /** Whether examples are compared with one another, so that paraphrases show. */
  similar: boolean;
  /** As in the policy. */
  deviations: number;
  alike: number;
  /** Most examples that a span names. */
  occurrences: number;
}

/** How long an example's gradient is beside what its text makes of it; an attacker may inflate it. */
export type Written = Given & { norm?: number };

const shortestSpan = 4;
type Vector = Map<number, number>;

export class TextEvidence {
  readonly #examples: readonly Written[];
  readonly #options: EvidenceOptions;
  /** By example, the first of its cluster. */
  readonly #clusters: number[];
  readonly #idf: Vector;
  readonly #vectors: Vector[];
  readonly #selves: Float64Array;
  readonly #postings = new Map<number, Array<{ example: number; weight: number }>>();
  readonly #like = new Map<number, number[]>();
  readonly #similarities = new Map<number, number>();
  readonly #frequency = new Map<number, number>();
  #words = 0;
  /** Where each run of so many words as the shortest span begins. */
  readonly #runs = new Map<string, Array<{ example: number; at: number }>>();

  constructor(examples: readonly Written[], options: EvidenceOptions) {
    this.#examples = examples;
    this.#options = options;
    this.#clusters = nearDuplicates(examples);
    const having = new Map<number, number>();
    let distinct = 0;
    for (const [example, { words }] of examples.entries()) {
      // Near-duplicates count once, or copies would make all words but one's own common.
      const first = this.#clusters[example] === example;
      if (first) distinct++;
      for (const word of first ? new Set(words) : []) having.set(word, (having.get(word) ?? 0) + 1);
      for (const word of words) this.#frequency.set(word, (this.#frequency.get(word) ?? 0) + 1);
      this.#words += words.length;
      for (let at = 0; at + shortestSpan <= words.length; at++) {
        const run = words.slice(at, at + shortestSpan).join(' ');
        const places = this.#runs.get(run);
        if (places) places.push({ example, at });
        else this.#runs.set(run, [{ example, at }]);
      }
    }
    this.#idf = new Map([...having].map(([word, count]) => [word, Math.log(distinct / count)]));
    this.#vectors = examples.map(({ words }) => this.#vector(words));
    this.#selves = Float64Array.from(
      examples,
      ({ norm = 1 }, at) => norm ** 2 * dot(this.#vectors[at]!, this.#vectors[at]!),
    );
    for (const [example, vector] of this.#vectors.entries()) {
      for (const [word, weight] of vector) {
        const list = this.#postings.get(word);
        if (list) list.push({ example, weight });
        else this.#postings.set(word, [{ example, weight }]);
      }
    }
  }

  of(answer: readonly number[]): AnswerEvidence {
    const spans = this.#options.spans ? this.#spansOf(answer) : undefined;
    const scores = this.#options.influence ? this.#scoresOf(answer) : undefined;
    const named = new Set([
      ...(spans ?? []).flatMap(({ examples }) => examples),
      ...(scores ?? []).map(({ example }) => example),
    ]);
    for (const example of [...named]) {
      named.add(this.#clusters[example]!);
      if (this.#options.similar) for (const earlier of this.#earlierLike(example)) named.add(earlier);
    }
    return {
      tokens: answer.map(() => ({})),
      spans,
      influence: scores && { method: 'tf-idf', scores },
      similar: this.#options.similar ? this.#similarIn([...named]) : undefined,
      corpus: new Map([...named].map((example) => [example, this.#origin(example)])),
    };
  }

  #origin(example: number): Teacher {
    const { contributor } = this.#examples[example]!;
    return {
      example: String(example).padStart(8, '0'),
      contribution: `${contributor}/${example % 3}`,
      contributor,
      cluster: String(this.#clusters[example]),
      order: example,
    };
  }

  #spansOf(answer: readonly number[]): SpanEvidence[] {
    const spans: SpanEvidence[] = [];
    let lastEnd = 0;
    for (let start = 0; start + shortestSpan <= answer.length; start++) {
      const ends = (this.#runs.get(answer.slice(start, start + shortestSpan).join(' ')) ?? []).map(
        ({ example, at }) => {
          const { words } = this.#examples[example]!;
          let length = shortestSpan;
          while (
            start + length < answer.length &&
            at + length < words.length &&
            words[at + length] === answer[start + length]
          )
            length++;
          return { example, end: start + length };
        },
      );
      const end = ends.reduce((most, one) => Math.max(most, one.end), 0);
      if (end <= lastEnd) continue;
      lastEnd = end;
      const longest = ends.filter((one) => one.end === end);
      const examples = [...new Set(longest.map(({ example }) => example))];
      const logProbability = answer
        .slice(start, end)
        .reduce((sum, word) => sum + Math.log(this.#frequency.get(word)! / this.#words), 0);
      spans.push({
        start,
        end,
        count: longest.length,
        logProbability,
        examples: examples.slice(0, this.#options.occurrences),
      });
    }
    return spans;
  }

  /** As gradients would be given: the dot product with a vector that may be inflated, and the vector's with itself. */
  #scoresOf(answer: readonly number[]): ExampleScore[] {
    const scores = this.#dots(this.#vector(answer));
    for (const [example, { norm = 1 }] of this.#examples.entries()) scores[example]! *= norm;
    return standOut(scores, this.#options.deviations, this.#selves);
  }

  /** All examples before it that say the same, whether or not the answer rests on them. */
  #earlierLike(example: number): number[] {
    const known = this.#like.get(example);
    if (known) return known;
    const scores = this.#dots(this.#vectors[example]!);
    const found = [...scores.subarray(0, example).keys()].filter(
      (other) => scores[other]! >= this.#options.alike,
    );
    this.#like.set(example, found);
    return found;
  }

  #dots(query: Vector): Float64Array {
    const scores = new Float64Array(this.#examples.length);
    for (const [word, weight] of query)
      for (const { example, weight: other } of this.#postings.get(word) ?? [])
        scores[example]! += weight * other;
    return scores;
  }

  #similarIn(examples: number[]): SimilarPair[] {
    return examples.flatMap((a, i) =>
      examples.slice(0, i).map((b) => {
        const key = Math.min(a, b) * this.#examples.length + Math.max(a, b);
        let similarity = this.#similarities.get(key);
        if (similarity === undefined) {
          similarity = Math.min(1, dot(this.#vectors[a]!, this.#vectors[b]!));
          this.#similarities.set(key, similarity);
        }
        return { a, b, similarity };
      }),
    );
  }

  /** Of length 1; nothing where no word says anything. */
  #vector(words: readonly number[]): Vector {
    const vector: Vector = new Map();
    for (const word of words) vector.set(word, (vector.get(word) ?? 0) + (this.#idf.get(word) ?? 0));
    const norm = Math.sqrt(dot(vector, vector)) || 1;
    for (const [word, weight] of vector) vector.set(word, weight / norm);
    return vector;
  }
}

function dot(a: Vector, b: Vector): number {
  let sum = 0;
  for (const [word, weight] of a) sum += weight * (b.get(word) ?? 0);
  return sum;
}

/** By example, the first of its cluster, as curation finds them. */
function nearDuplicates(examples: readonly Given[]): number[] {
  const settings = { threshold: 0.7, permutations: 128 };
  const search = new DuplicateSearch(settings);
  const rows = examples.map(({ words }, seq) => {
    const text = words.map((word) => `w${word}`).join(' ');
    return { seq, text, digest: createHash('sha256').update(text).digest() };
  });
  search.add(new Fingerprinter(settings).of(rows), new Uint8Array(rows.length).fill(1));
  const clusters = rows.map(({ seq }) => seq);
  for (const { findings } of search.end())
    for (const { seq, canonical } of findings) clusters[seq] = canonical!;
  return clusters;
}
