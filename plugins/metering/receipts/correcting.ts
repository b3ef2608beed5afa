/** Has receipts of responses that were settled again corrected: each once, in the order in which the attributor tells of them. */
import type { Attributor, Logger, SettledAgain } from '../../../gateway/contract/index.ts';
import type { Store } from '../store/store.ts';

/** What is signed and logged together. */
const together = 32;

export interface CorrectingOptions {
  store: Pick<Store, 'call'>;
  log: Pick<Logger, 'warn'>;
  /** Looked for when it is needed: plugins that come later may bring it. */
  attributor(): Attributor | undefined;
}

export class Correcting {
  readonly #options: CorrectingOptions;
  /** Whether the attributor may have told more than is dealt with. */
  #more = true;
  #stopped = false;

  constructor(options: CorrectingOptions) {
    this.#options = options;
  }

  /** The attributor has told more: the next run deals with it. */
  tell(): void {
    this.#more = true;
  }

  /** After those that are being made; the others are made in a later run of the server. */
  stop(): void {
    this.#stopped = true;
  }

  /** Corrects what can be. One run at a time; never rejects: what failed, or came before its receipt, is left to the next run. */
  async run(): Promise<void> {
    if (!this.#more) return;
    this.#more = false;
    try {
      while (!this.#stopped && (await this.#some()));
    } catch (error) {
      this.#more = true;
      const { message } = error as Error;
      this.#options.log.warn({ error: message }, 'Receipts cannot be corrected now; it is tried again.');
    }
  }

  /** False where nothing is left that could be dealt with now. */
  async #some(): Promise<boolean> {
    const { store, attributor } = this.#options;
    const again = attributor()?.again;
    if (!again) return false;
    const told = await again.since(await store.call('correctedTo', undefined), together);
    const settled = new Map<string, SettledAgain>();
    let place: number | undefined;
    for (const one of told) {
      const state = await store.call('correctable', one.response);
      // What a response comes to is asked once it has its receipt: then none of its choices is still to be settled first.
      if (state === 'not yet') {
        this.#more = true;
        break;
      }
      place = one.place;
      const found = state === 'yes' ? await again.of(one.response) : undefined;
      if (found) settled.set(one.response, found);
    }
    if (place === undefined) return false;
    await store.call('correct', { place, settled: [...settled] });
    return true;
  }
}
