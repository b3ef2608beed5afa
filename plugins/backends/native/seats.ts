/** Use counts half as much after so long. */
const halfLifeMs = 5 * 60_000;

interface Use {
  score: number;
  at: number;
}

/**
 * Which names have a metric series of their own: a bounded number of seats for those used most lately. A free seat goes to
 * whoever comes. Once all are taken, a name gets that of the least used when it was used twice as much (each use halves in
 * weight every five minutes), so that seats do not change hands with every request of a long tail. Who loses its seat loses
 * its series; a new one starts at zero, which Prometheus reads as a restart.
 */
export class Seats<Seat> {
  readonly #seats = new Map<string, Use & { seat: Seat }>();
  /** Names without a seat, least recently used first; bounded too. */
  readonly #others = new Map<string, Use>();
  readonly #most: number;
  readonly #now: () => number;

  constructor(most: number, now: () => number = () => performance.now()) {
    this.#most = most;
    this.#now = now;
  }

  get(name: string): Seat | undefined {
    return this.#seats.get(name)?.seat;
  }

  /** Counts a use; `create` makes what a new seat holds. */
  use(name: string, create: () => Seat): Seat | undefined {
    const at = this.#now();
    const seated = this.#seats.get(name);
    if (seated) {
      seated.score = this.#score(seated, at) + 1;
      seated.at = at;
      return seated.seat;
    }
    const known = this.#others.get(name);
    const score = (known ? this.#score(known, at) : 0) + 1;
    this.#others.delete(name);
    if (this.#seats.size >= this.#most && !this.#outdo(score, at)) {
      this.#others.set(name, { score, at });
      if (this.#others.size > 4 * this.#most) this.#others.delete(this.#others.keys().next().value!);
      return undefined;
    }
    const seat = create();
    this.#seats.set(name, { seat, score, at });
    return seat;
  }

  *[Symbol.iterator](): Generator<[string, Seat]> {
    for (const [name, { seat }] of this.#seats) yield [name, seat];
  }

  /** Frees the seat of the least used name if `score` is twice its own. */
  #outdo(score: number, at: number): boolean {
    let least: { name: string; score: number } | undefined;
    for (const [name, use] of this.#seats) {
      const own = this.#score(use, at);
      if (!least || own < least.score) least = { name, score: own };
    }
    if (!least || score <= 2 * least.score) return false;
    this.#seats.delete(least.name);
    this.#others.set(least.name, { score: least.score, at });
    return true;
  }

  #score(use: Use, at: number): number {
    return use.score * 2 ** ((use.at - at) / halfLifeMs);
  }
}
