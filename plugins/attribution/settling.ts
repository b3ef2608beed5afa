/** Settles answers after they were served, one after the other, the oldest first. */
import type { Logger } from '../../gateway/contract/index.ts';
import type { Corpora } from './corpus.ts';
import type { AnswerRecord, Records } from './records.ts';
import { type Settlement, shares, unattributedShares } from './settle.ts';
import type { SharePolicy } from './shares/policy.ts';
import type { AnswerShares } from './shares/shares.ts';

const atOnce = 64;
/** What passes by itself: too many open files, a disk that does not answer. */
const passing = new Set(['EMFILE', 'ENFILE', 'EIO', 'EAGAIN', 'ENOMEM']);
const retryMs = 5000;

export interface SettlingOptions {
  records: Records;
  corpora: Corpora;
  policy: SharePolicy;
  log: Pick<Logger, 'warn'>;
}

export class Settling {
  readonly #options: SettlingOptions;
  #again = false;
  #running: Promise<void> | undefined;
  #stopped = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: SettlingOptions) {
    this.#options = options;
  }

  /** There may be answers to settle. */
  wake(): void {
    this.#again = true;
    if (this.#stopped || this.#running) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#again) this.wake();
    });
  }

  /** Resolves when none is left that could be settled. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  /** After the answer that is under way; the others are settled by a later run. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#again = false;
    clearTimeout(this.#retry);
    await this.#running;
  }

  async #run(): Promise<void> {
    this.#again = false;
    const { records } = this.#options;
    for (let some = records.unsettled(atOnce); some.length > 0; some = records.unsettled(atOnce)) {
      for (const record of some) {
        if (this.#stopped) return;
        if (await this.#settle(record)) continue;
        this.#retry = setTimeout(() => this.wake(), retryMs);
        this.#retry.unref();
        return;
      }
    }
  }

  /** False where it has to be tried again. */
  async #settle(record: AnswerRecord): Promise<boolean> {
    const { records, log } = this.#options;
    const made = await this.shares(record).catch((error: NodeJS.ErrnoException) => {
      log.warn({ adapter: record.model, response: record.response }, error.message);
      return passing.has(error.code ?? '') ? undefined : { reason: error.message };
    });
    if (!made) return false;
    const reason = 'reason' in made ? made.reason : undefined;
    const { tokens: _, ...whole } =
      'reason' in made ? unattributedShares(record.tokens, this.#options.policy) : made;
    const settlement: Settlement = { level: 1, ...whole };
    records.settle(record.seq, reason === undefined ? 'settled' : 'unattributed', reason ?? null, settlement);
    return true;
  }

  /** Rejects with a sentence, or gives the reason, where nobody can be named. */
  async shares(record: AnswerRecord): Promise<AnswerShares | { reason: string }> {
    const { corpora, policy } = this.#options;
    const { evidence, reason, folder, adapter, spans } = record;
    if (reason !== null) return { reason };
    if (!evidence) return { reason: 'What it said is no longer kept.' };
    const corpus = await corpora.of(folder, adapter);
    const origins = await corpus.origins();
    if (!origins)
      return { reason: 'It was trained on a file, not on a Datanet: nobody is named as having taught it.' };
    return shares({ evidence, spans }, corpus, origins, policy);
  }
}
