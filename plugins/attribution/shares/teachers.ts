/** The examples of an answer's evidence as columns, in the order in which they were given: everything is summed in this order. */
import type { AnswerEvidence, Teacher } from './evidence.ts';

export class Teachers {
  /** By place, the first given first. */
  readonly examples: readonly number[];
  readonly origins: readonly Teacher[];
  /** Ids of contributors, ascending by UTF-16 code units; and by place, which of them gave the example. */
  readonly contributors: readonly string[];
  readonly contributor: Uint32Array;
  /** By place, the place of the first that was given of its near-duplicate cluster. */
  readonly cluster: Uint32Array;
  /** By place, the earlier ones that it resembles, and how much: those that say the same by 1. */
  readonly resembled: ReadonlyArray<ReadonlyArray<{ place: number; similarity: number }>>;
  /** By place, the first that says the same: of its cluster, or alike, or alike to one that is. */
  readonly first: Uint32Array;
  readonly #places: ReadonlyMap<number, number>;

  /** `alike`: similarity from which two examples say the same. */
  constructor({ corpus, similar = [] }: Pick<AnswerEvidence, 'corpus' | 'similar'>, alike: number) {
    const ordered = [...corpus].sort(
      ([left, a], [right, b]) => a.order - b.order || compare(a.example, b.example) || left - right,
    );
    this.examples = ordered.map(([example]) => example);
    this.origins = ordered.map(([, origin]) => origin);
    this.contributors = [...new Set(this.origins.map((origin) => origin.contributor))].sort(compare);
    const numbers = new Map(this.contributors.map((id, number) => [id, number]));
    this.contributor = Uint32Array.from(this.origins, (origin) => numbers.get(origin.contributor)!);
    this.#places = new Map(this.examples.map((example, place) => [example, place]));
    const clusters = new Map<string, number>();
    this.cluster = Uint32Array.from(this.origins, ({ cluster }, place) => {
      if (!clusters.has(cluster)) clusters.set(cluster, place);
      return clusters.get(cluster)!;
    });
    const resembled = ordered.map((): Array<{ place: number; similarity: number }> => []);
    for (const { a, b, similarity } of similar) {
      if (a === b || similarity <= 0) continue;
      const [left, right] = [this.place(a), this.place(b)];
      const [place, later] = left < right ? [left, right] : [right, left];
      resembled[later]!.push({ place, similarity: similarity >= alike ? 1 : similarity });
    }
    this.resembled = resembled;
    this.first = new Uint32Array(ordered.length);
    for (const [place, earlier] of resembled.entries()) {
      const cluster = this.cluster[place]!;
      let first = cluster === place ? place : this.first[cluster]!;
      for (const other of earlier)
        if (other.similarity === 1) first = Math.min(first, this.first[other.place]!);
      this.first[place] = first;
    }
  }

  place(example: number): number {
    return this.#places.get(example)!;
  }
}

/** By UTF-16 code units, which no locale changes. */
export const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
