/** The items of one Realtime session, in order. They are in memory and end with their socket, so their size is bounded. */
import { ColophonError } from '../contract/index.ts';
import { type Item, missingItem, newId, sizeOf } from './realtime_items.ts';

/** More than any context holds. */
const mostCharacters = 16 * 2 ** 20;

export class Conversation {
  readonly id = newId('conv');
  readonly #items: Item[] = [];
  readonly #sizes = new Map<string, number>();
  #characters = 0;

  get items(): readonly Item[] {
    return this.#items;
  }

  find(id: string): Item | undefined {
    return this.#sizes.has(id) ? this.#items.find((item) => item.id === id) : undefined;
  }

  /** Puts an item after the one with the id `after` ("root": first; nothing: last). Gives the id of the one before it. */
  add(item: Item, after?: string | null): string | null {
    if (this.#sizes.has(item.id)) {
      throw new ColophonError(`The conversation already has an item with the id '${item.id}'.`, {
        param: 'item.id',
        code: 'item_already_exists',
      });
    }
    const at = this.#place(after);
    const size = sizeOf(item);
    if (this.#characters + size > mostCharacters) {
      throw new ColophonError(
        `The conversation would be longer than ${mostCharacters} characters. Delete items, or open a new session.`,
        { code: 'conversation_too_long' },
      );
    }
    this.#characters += size;
    this.#sizes.set(item.id, size);
    this.#items.splice(at, 0, item);
    return this.#items[at - 1]?.id ?? null;
  }

  /** An item was written on; it may have been deleted meanwhile. */
  grown(item: Item): void {
    const before = this.#sizes.get(item.id);
    if (before === undefined) return;
    this.#sizes.set(item.id, sizeOf(item));
    this.#characters += sizeOf(item) - before;
  }

  delete(id: string): void {
    this.#characters -= this.#sizes.get(id) ?? missingItem(id, 'item_id');
    this.#sizes.delete(id);
    const at = this.#items.findIndex((item) => item.id === id);
    this.#items.splice(at, 1);
  }

  #place(after: string | null | undefined): number {
    if (after === undefined || after === null) return this.#items.length;
    if (after === 'root') return 0;
    if (!this.#sizes.has(after)) missingItem(after, 'previous_item_id');
    return this.#items.findIndex((item) => item.id === after) + 1;
  }
}
