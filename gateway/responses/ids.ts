/** Ids of responses and of their items. An item's id says which response it came with, so that it can be found by it alone. */
import { randomBytes } from 'node:crypto';

const digits = 48;

/** "resp_" and 48 hex digits. */
export function newResponseId(): string {
  return `resp_${randomBytes(digits / 2).toString('hex')}`;
}

/** Gives the ids of one response's items, one after the other. */
export class ItemIds {
  readonly #hex: string;
  #count = 0;

  constructor(responseId: string) {
    this.#hex = responseId.slice('resp_'.length);
  }

  next(prefix: 'msg' | 'fc' | 'fco'): string {
    return `${prefix}_${this.#hex}${(this.#count++).toString(16).padStart(4, '0')}`;
  }
}

/** The response that an item came with; undefined where no item of ours has such an id. */
export function responseOfItem(itemId: string): string | undefined {
  const hex = /^[a-z]+_([0-9a-f]{48})[0-9a-f]{4,}$/.exec(itemId)?.[1];
  return hex && `resp_${hex}`;
}
