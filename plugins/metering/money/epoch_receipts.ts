/** Whether an epoch says what its receipts and their corrections say: each is counted, once, and worth what it is. */
import type { AccountChanges } from '../receipts/correction.ts';
import type { AccountAmounts } from '../receipts/fee.ts';
import type { Epoch } from './epoch.ts';

/** What is looked at of a receipt. */
export interface CountedReceipt {
  id: string;
  fee: { currency: string };
  owed: AccountAmounts;
}

/** What is looked at of a correction. */
export interface CountedCorrection {
  receipt: { id: string; entry: number };
  changes: AccountChanges;
}

export type CountedDocument = CountedReceipt | CountedCorrection;

interface Sum {
  count: number;
  units: bigint;
}

export class EpochReceipts {
  readonly #epoch: Epoch;
  readonly #seen = new Set<number>();
  readonly #earned = new Map<string, Sum>();
  readonly #corrections = new Map<number, string>();
  readonly #corrected = new Map<string, Sum>();
  /** By the entry of the receipt, the corrections that there are of it. */
  readonly #correctionOf = new Map<number, number>();
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
  add(index: number, document: CountedDocument): void {
    if ('changes' in document) this.#correct(index, document);
    else this.#earn(index, document);
  }

  #earn(index: number, { id, fee, owed }: CountedReceipt): void {
    const { entries, currency } = this.#epoch;
    if (index < entries.from || index >= entries.to) return;
    if (this.#seen.has(index)) this.#fault ??= `The receipt ${id}, entry ${index}, is there twice.`;
    this.#seen.add(index);
    if (owed.length > 0 && fee.currency !== currency)
      this.#fault ??= `The receipt ${id} is in ${fee.currency}, the epoch in ${currency}.`;
    for (const { account, units } of owed) {
      this.#owed += BigInt(units);
      if (this.#held.has(id)) continue;
      add(this.#earned, account, BigInt(units));
    }
  }

  /** Those of other epochs are only looked at for a receipt that has two. */
  #correct(index: number, { receipt: { id, entry }, changes }: CountedCorrection): void {
    const other = this.#correctionOf.get(entry) ?? index;
    this.#correctionOf.set(entry, index);
    if (other !== index)
      this.#fault ??= `The receipt ${id}, entry ${entry}, has two corrections: the entries ${Math.min(index, other)} and ${Math.max(index, other)}.`;
    const { entries, corrections = [] } = this.#epoch;
    if (index < entries.from || index >= entries.to) return;
    if (this.#corrections.has(index))
      this.#fault ??= `The correction of ${id}, entry ${index}, is there twice.`;
    this.#corrections.set(index, id);
    if (corrections.some((held) => held.in === 'corrected' && held.entry === index)) return;
    for (const { account, units } of changes) add(this.#corrected, account, BigInt(units));
  }

  /** Once all were added: what is wrong, as a sentence; null where they are all of the epoch's and it says what they do. */
  fault(): string | null {
    if (this.#fault !== null) return this.#fault;
    const { totals, statements, entries } = this.#epoch;
    if (this.#seen.size !== totals.receipts)
      return `The epoch counts ${totals.receipts} receipts, and ${this.#seen.size} of its entries are here.`;
    if (String(this.#owed) !== totals.owed)
      return `The receipts are worth ${this.#owed}, and the epoch says ${totals.owed}.`;
    if (this.#corrections.size !== (totals.corrections ?? 0))
      return `The epoch counts ${totals.corrections ?? 0} corrections, and ${this.#corrections.size} of its entries are here.`;
    for (const [entry, index] of this.#correctionOf)
      if (entry >= entries.from && this.#corrections.has(index) && !this.#seen.has(entry))
        return `The correction at ${index} is of a receipt at ${entry}, where there is none.`;
    const stated = new Map(statements.map((one) => [one.account, one]));
    for (const account of new Set([...this.#earned.keys(), ...this.#corrected.keys(), ...stated.keys()])) {
      const { receipts = 0, earned = '0', corrections = 0, corrected = '0' } = stated.get(account) ?? {};
      const own = this.#earned.get(account) ?? nothing;
      if (receipts !== own.count || earned !== String(own.units))
        return `'${account}' earns ${own.units} by ${own.count} receipts, and the epoch says ${earned} by ${receipts}.`;
      const change = this.#corrected.get(account) ?? nothing;
      if (corrections !== change.count || corrected !== String(change.units))
        return `'${account}' is corrected by ${change.units} by ${change.count} corrections, and the epoch says ${corrected} by ${corrections}.`;
    }
    return null;
  }
}

const nothing: Sum = { count: 0, units: 0n };

function add(sums: Map<string, Sum>, account: string, units: bigint): void {
  const had = sums.get(account) ?? nothing;
  sums.set(account, { count: had.count + 1, units: had.units + units });
}
