/** Whether an epoch says what its receipts say: each is counted, once, and worth what it is. */
import type { AccountAmounts } from '../receipts/fee.ts';
import type { Epoch } from './epoch.ts';

/** What is looked at of a receipt. */
export interface CountedReceipt {
  id: string;
  fee: { currency: string };
  owed: AccountAmounts;
}

export class EpochReceipts {
  readonly #epoch: Epoch;
  readonly #seen = new Set<number>();
  readonly #earned = new Map<string, { receipts: number; units: bigint }>();
  /** Disputed ones that nobody earned by. */
  readonly #held = new Set<string>();
  #owed = 0n;
  #fault: string | null = null;

  constructor(epoch: Epoch) {
    this.#epoch = epoch;
    // One that was upheld and then rejected is taken away and given back: the last has it.
    for (const { receipt, in: column, amounts } of epoch.disputes) {
      if (column !== 'earned' || amounts.length === 0) continue;
      if (amounts[0]!.units.startsWith('-')) this.#held.add(receipt);
      else this.#held.delete(receipt);
    }
  }

  /** One of the ledger's, in any order; those of other epochs are left out. */
  add(index: number, { id, fee, owed }: CountedReceipt): void {
    const { entries, currency } = this.#epoch;
    if (index < entries.from || index >= entries.to) return;
    if (this.#seen.has(index)) this.#fault ??= `The receipt ${id}, entry ${index}, is there twice.`;
    this.#seen.add(index);
    if (owed.length > 0 && fee.currency !== currency)
      this.#fault ??= `The receipt ${id} is in ${fee.currency}, the epoch in ${currency}.`;
    for (const { account, units } of owed) {
      this.#owed += BigInt(units);
      if (this.#held.has(id)) continue;
      const had = this.#earned.get(account) ?? { receipts: 0, units: 0n };
      this.#earned.set(account, { receipts: had.receipts + 1, units: had.units + BigInt(units) });
    }
  }

  /** Once all were added: what is wrong, as a sentence; null where they are all of the epoch's and it says what they do. */
  fault(): string | null {
    if (this.#fault !== null) return this.#fault;
    const { totals, statements } = this.#epoch;
    if (this.#seen.size !== totals.receipts)
      return `The epoch counts ${totals.receipts} receipts, and ${this.#seen.size} of its entries are here.`;
    if (String(this.#owed) !== totals.owed)
      return `The receipts are worth ${this.#owed}, and the epoch says ${totals.owed}.`;
    const stated = new Map(statements.map((one) => [one.account, one]));
    for (const account of new Set([...this.#earned.keys(), ...stated.keys()])) {
      const { receipts, units } = this.#earned.get(account) ?? { receipts: 0, units: 0n };
      const one = stated.get(account);
      if ((one?.receipts ?? 0) !== receipts || (one?.earned ?? '0') !== String(units))
        return `'${account}' earns ${units} by ${receipts} receipts, and the epoch says ${one?.earned ?? 0} by ${one?.receipts ?? 0}.`;
    }
    return null;
  }
}
