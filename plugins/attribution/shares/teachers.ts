/** The examples of an answer's evidence as columns, in the order in which they were given: everything is summed in this order. */
import type { AnswerEvidence, SimilarPair, Teacher } from './evidence.ts';

export class Teachers {
  /** By place, the first given first. */
  readonly examples: readonly number[];
  readonly origins: readonly Teacher[];
  /** Ids of contributors, ascending by UTF-16 code units; and by place, which of them gave the example. */
  readonly contributors: readonly string[];
  readonly contributor: Uint32Array;
  /** By place, the place of the first that was given of those that say the same: of its cluster, or alike, or alike to one that is. */
  readonly first: Uint32Array;
  /** By place, the earlier ones that it resembles, and how much; those that say the same: 1. */
  readonly resembled: ReadonlyArray<ReadonlyMap<number, number>>;
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
    this.resembled = this.#resembled(similar, alike);
    this.first = new Uint32Array(ordered.length);
    for (const [place, earlier] of this.resembled.entries()) {
      let first = place;
      for (const [other, similarity] of earlier)
        if (similarity === 1) first = Math.min(first, this.first[other]!);
      this.first[place] = first;
    }
  }

  #resembled(similar: readonly SimilarPair[], alike: number): Array<Map<number, number>> {
    const resembled = this.examples.map(() => new Map<number, number>());
    const add = (a: number, b: number, similarity: number) => {
      const [earlier, later] = a < b ? [a, b] : [b, a];
      const before = resembled[later]!;
      before.set(earlier, Math.max(similarity, before.get(earlier) ?? 0));
    };
    const clusters = new Map<string, number[]>();
    for (const [place, { cluster }] of this.origins.entries()) {
      const members = clusters.get(cluster);
      for (const member of members ?? []) add(member, place, 1);
      if (members) members.push(place);
      else clusters.set(cluster, [place]);
    }
    for (const { a, b, similarity } of similar) {
      if (a === b || similarity <= 0) continue;
      add(this.place(a), this.place(b), similarity >= alike ? 1 : similarity);
    }
    return resembled;
  }

  place(example: number): number {
    return this.#places.get(example)!;
  }
}

/** By UTF-16 code units, which no locale changes. */
export const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
