/** Gives every answer that ended its receipt, in this run or a later one: asks what it was settled to, and has it signed and logged. */
import type { Attributor, Logger } from '../../../gateway/contract/index.ts';
import type { FinishedAnswer } from '../store/answers.ts';
import type { Store } from '../store/store.ts';
import { attributionHashes } from './attribution_hashes.ts';
import type { Settled } from './make_receipt.ts';

/** What is signed and logged together: so much holds up what else is asked of the store by a tenth of a second. */
const together = 256;
const retryMs = 5000;
/** Between two runs while answers are being made: receipts cost less together than one by one, and take cores from those that generate. */
const pauseMs = 30_000;

export interface ReceiptingOptions {
  store: Store;
  log: Pick<Logger, 'warn'>;
  /** Looked for when it is needed: plugins that come later may bring it. */
  attributor(): Attributor | undefined;
  /** Corrects receipts that were made. */
  corrections?: { run(): Promise<void> };
}

export class Receipting {
  readonly #options: ReceiptingOptions;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;
  #retry: NodeJS.Timeout | undefined;
  #pause: NodeJS.Timeout | undefined;

  constructor(options: ReceiptingOptions) {
    this.#options = options;
  }

  /** There may be answers without a receipt; `wanted`: somebody waits for one. */
  wake(wanted = false): void {
    if (this.#stopped) return;
    this.#again = true;
    if (!this.#running && (wanted || !this.#pause || this.#options.store.idle)) this.#start();
  }

  #start(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
    this.#again = false;
    this.#running = this.#run()
      .catch((error: Error) => {
        if (this.#stopped) return;
        this.#options.log.warn({ error: error.message }, 'Receipts cannot be made now; it is tried again.');
        clearTimeout(this.#retry);
        this.#retry = setTimeout(() => this.wake(), retryMs).unref();
      })
      .finally(() => {
        this.#running = undefined;
        if (this.#stopped) return;
        this.#pause = setTimeout(() => {
          this.#pause = undefined;
          if (this.#again) this.#start();
        }, pauseMs).unref();
      });
  }

  /** Resolves when no answer is left without one. */
  async idle(): Promise<void> {
    while (this.#running || (this.#again && !this.#stopped)) {
      if (!this.#running) this.#start();
      await this.#running;
    }
  }

  /** After those that are being made; the others get theirs in a later run. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#pause);
    await this.#running;
  }

  async #run(): Promise<void> {
    const { store } = this.#options;
    while (!this.#stopped) {
      await this.#options.corrections?.run();
      const answers = await store.call('unreceipted', together);
      if (answers.length === 0) return;
      const settled = await Promise.all(answers.map((answer) => this.#settled(answer)));
      if (this.#stopped) return;
      await store.call(
        'issue',
        answers.map(({ number }, at) => ({ number, settled: settled[at]! })),
      );
      // Nothing else was waiting then, and what ended since has asked for another run.
      if (answers.length < together) return this.#options.corrections?.run();
    }
  }

  async #settled({ about }: FinishedAnswer): Promise<Settled> {
    const { response, adapter, choices } = about;
    const nobody = (unattributed: string): Settled => ({
      shares: choices.map(() => ({ unattributed })),
      attribution: {},
    });
    if (!adapter) return nobody('It is the base model, which nobody here taught.');
    const attributor = this.#options.attributor();
    if (!attributor) return nobody('Nothing here attributed answers.');
    const shares = await Promise.all(
      choices.map(
        async ({ request }, at) =>
          (request && (await attributor.settled(response, at))) ?? {
            unattributed: request
              ? 'The server ended before the answer did: who taught it was not settled.'
              : 'Its prompt was read, and nothing was said.',
          },
      ),
    );
    return { shares, attribution: await attributionHashes(adapter.folder, adapter.sha256) };
  }
}
