/** Union-find over 0..count-1; each cluster's root is its least member. */
export class Clusters {
  readonly #parents: Uint32Array;

  constructor(count: number) {
    this.#parents = Uint32Array.from({ length: count }, (_, i) => i);
  }

  root(of: number): number {
    const parents = this.#parents;
    while (parents[of] !== of) {
      parents[of] = parents[parents[of]!]!;
      of = parents[of]!;
    }
    return of;
  }

  join(a: number, b: number): void {
    const [left, right] = [this.root(a), this.root(b)];
    if (left < right) this.#parents[right] = left;
    else this.#parents[left] = right;
  }
}
