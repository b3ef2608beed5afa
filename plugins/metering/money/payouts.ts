/** The books as the server's thread has them, and how an epoch is closed from there. */
import { buildDistribution } from './build_distribution.ts';
import type { Dispute, Opening } from './disputes.ts';
import type { DistributionFile } from './distribution.ts';
import type { BookCall, EpochSummary, KeptEpoch, MoneyBooks } from './money.ts';

/** The thread that owns the database. */
export interface PayoutStore {
  /** Rejects with ColophonError. */
  books<Name extends BookCall>(
    call: Name,
    ...given: Parameters<MoneyBooks[Name]>
  ): Promise<ReturnType<MoneyBooks[Name]>>;
  /** Gives a frozen epoch its distribution, signs its statement and logs it; durable when it resolves. */
  finishEpoch(epoch: number, file: DistributionFile | null): Promise<EpochSummary>;
  /** The proof that the ledger has an entry: c2sp.org/tlog-proof@v1. */
  proveEntry(entry: number): Promise<string>;
}

export class Payouts {
  readonly #store: PayoutStore;
  readonly #settleAgain: (response: string) => void;
  #closing: Promise<EpochSummary> | undefined;

  /** `settleAgain`: has a response in dispute settled deeper, whose receipt is corrected then. */
  constructor(store: PayoutStore, settleAgain: (response: string) => void = () => {}) {
    this.#store = store;
    this.#settleAgain = settleAgain;
  }

  /** As MoneyBooks has it. */
  books: PayoutStore['books'] = (call, ...given) => this.#store.books(call, ...given);

  /** Closes the open epoch, `now` in Unix milliseconds; who asks while one is closed gets that one. */
  close(now: number): Promise<EpochSummary> {
    this.#closing ??= this.#close(now).finally(() => {
      this.#closing = undefined;
    });
    return this.#closing;
  }

  /** What a closed epoch says, and the proof that the ledger has it. */
  async epoch(epoch: number): Promise<KeptEpoch & { proof: string | null }> {
    const kept = await this.#store.books('epoch', epoch);
    return { ...kept, proof: kept.entry === null ? null : await this.#store.proveEntry(kept.entry) };
  }

  /** As Disputes has it. */
  async openDispute(opening: Opening): Promise<Dispute> {
    const dispute = await this.#store.books('openDispute', opening);
    this.#settleAgain(dispute.receipt);
    return dispute;
  }

  /** Finishes what an earlier process froze, or had in dispute, and did not finish. To be called at the start. */
  async recover(now: number): Promise<void> {
    if (await this.#store.books('unfinished')) await this.close(now);
    for (let before: number | undefined; ; ) {
      const page = { state: 'open' as const, limit: 100, ...(before === undefined ? {} : { before }) };
      const open = await this.#store.books('disputes', page);
      for (const { receipt, correction } of open) if (correction === null) this.#settleAgain(receipt);
      before = open.at(-1)?.id;
      if (before === undefined) return;
    }
  }

  async #close(now: number): Promise<EpochSummary> {
    const { epoch, payees } = await this.#store.books('freeze', now);
    return this.#store.finishEpoch(epoch, await buildDistribution(payees));
  }
}
