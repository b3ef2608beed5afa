/** The last responses of one socket, for those that go on from them without a store. Bounded: the oldest are forgotten. */
import type { KeptResponse } from '../responses/state.ts';

const most = 64;
/** Of their texts, together; the newest is kept whatever its length, since a context bounds it. */
const mostCharacters = 4 * 2 ** 20;

export class RecentResponses {
  readonly #kept = new Map<string, { kept: KeptResponse; characters: number }>();
  #characters = 0;

  find(id: string): KeptResponse | undefined {
    return this.#kept.get(id)?.kept;
  }

  add(kept: KeptResponse): void {
    const characters = JSON.stringify(kept).length;
    this.#kept.set(kept.response.id, { kept, characters });
    this.#characters += characters;
    for (const [id, oldest] of this.#kept) {
      if (this.#kept.size === 1 || (this.#kept.size <= most && this.#characters <= mostCharacters)) return;
      this.#kept.delete(id);
      this.#characters -= oldest.characters;
    }
  }
}
