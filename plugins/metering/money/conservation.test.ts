/** Through any receipts, corrections, disputes, resolutions, addresses and closes each unit is paid, carried, held or withheld, once. */
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { expect, test } from 'vitest';
import type { DisputeState } from './disputes.ts';
import { payoutFault } from './distribution.ts';
import { Epoch, epochFault, succession } from './epoch.ts';
import { EpochReceipts } from './epoch_receipts.ts';
import type { KeptEpoch } from './money.ts';
import { addresses, type TestBooks, testBooks } from './testing/books.ts';

const accountNames = ['contributor:ada', 'contributor:bo', 'owner:law', 'platform', 'pool'];

interface Known {
  id: string;
  owed: Record<string, number>;
  epoch: number;
  correction?: { entry: number; changes: Record<string, bigint>; epoch: number };
  /** Of its disputes, in order. */
  disputes: Array<{ id: number; state: DisputeState }>;
}

interface Row {
  idx: number;
  id: string;
  owed: string;
}

interface CorrectionRow extends Pick<Row, 'idx' | 'id'> {
  receipt: number;
  changes: string;
}

const stateOf = ({ disputes }: Known): DisputeState => disputes.at(-1)?.state ?? 'rejected';

/**
 * Books beside a model that keeps none: all that was ever owed, and who may have it now, summed anew at each close. An account's
 * due is what it is credited with in all, less what it was ever paid.
 */
class Run {
  readonly #made: TestBooks;
  readonly #threshold: bigint;
  readonly #receipts: Known[] = [];
  readonly #paid = new Map(accountNames.map((name) => [name, 0n]));
  readonly #carried = new Map(accountNames.map((name) => [name, 0n]));
  readonly #addresses = new Map<string, string>();
  readonly #changed = new Set<number>();
  #epochs = 0;
  #last: KeptEpoch | undefined;

  constructor(threshold: number) {
    this.#threshold = BigInt(threshold);
    this.#made = testBooks({ threshold });
  }

  receipt(owed: Record<string, number>): void {
    this.#receipts.push({ id: this.#made.receipt(owed), owed, epoch: this.#epochs + 1, disputes: [] });
  }

  /** Moves units from one account to another, maybe many times what the receipt is worth. */
  correct(nth: number, from: string, to: string, units: bigint): void {
    const known = this.#receipts.at(-1 - (nth % Math.max(1, this.#receipts.length)));
    if (!known) return;
    const changes = from === to ? {} : { [from]: -units, [to]: units };
    const correct = () => this.#made.correct(known.id, changes);
    if (known.correction) expect(correct).toThrow('UNIQUE');
    else known.correction = { entry: correct(), changes, epoch: this.#epochs + 1 };
  }

  count(most: number): void {
    this.#made.books.count(most);
  }

  address(account: string, at: number | null): void {
    const address = at === null ? null : addresses[at]!;
    this.#made.books.setAddress({ account, address, since: 1, by: 'operator' });
    if (address === null) this.#addresses.delete(account);
    else this.#addresses.set(account, address);
  }

  dispute(nth: number): void {
    const known = this.#receipts.at(-1 - (nth % Math.max(1, this.#receipts.length)));
    const open = () =>
      this.#made.books.openDispute({ receipt: known?.id ?? 'x', reason: '', by: 'a', at: 1 });
    if (!known || known.disputes.at(-1)?.state === 'open') {
      expect(open).toThrow();
      return;
    }
    const { id } = open();
    known.disputes.push({ id, state: 'open' });
    this.#changed.add(id);
  }

  resolve(nth: number, state: 'rejected' | 'upheld'): void {
    const all = this.#receipts.flatMap(({ disputes }) => disputes);
    const some = nth % 3 === 0 ? all : all.filter((one) => one.state === 'open');
    const known = some[nth % Math.max(1, some.length)];
    const id = known?.id ?? 1_000_000;
    const resolve = () => this.#made.books.resolveDispute({ id, state, resolution: '', by: 'a', at: 1 });
    if (known?.state !== 'open') {
      expect(resolve).toThrow();
      return;
    }
    resolve();
    known.state = state;
    this.#changed.add(id);
  }

  close(): void {
    const number = ++this.#epochs;
    const epoch = this.#made.close();
    expect(Value.Check(Epoch, epoch)).toBe(true);
    expect(epochFault(epoch)).toBeNull();
    expect(epoch.epoch).toBe(number);
    const isNew = (known: Known) => known.epoch === number;
    const { totals } = epoch;
    expect(totals.receipts).toBe(this.#receipts.filter(isNew).length);
    const corrections = this.#receipts.flatMap(({ correction }) => correction ?? []);
    expect(totals.corrections ?? 0).toBe(corrections.filter((one) => one.epoch === number).length);
    expect(totals.owed).toBe(this.#sum(isNew));
    expect(totals.held_out).toBe(this.#sum((known) => stateOf(known) === 'open'));
    expect(totals.withheld_out).toBe(this.#sum((known) => stateOf(known) === 'upheld'));
    expect(epoch.disputes.map(({ dispute }) => dispute)).toEqual([...this.#changed].sort((a, b) => a - b));
    this.#changed.clear();
    for (const account of accountNames) this.#checkAccount(account, epoch);
    const counted = new EpochReceipts(epoch);
    for (const { idx, id, owed } of this.#made.db
      .prepare('SELECT idx, id, owed FROM receipts')
      .all() as Row[])
      counted.add(idx, { id, fee: { currency: 'microUSD' }, owed: JSON.parse(owed) });
    for (const { idx, id, receipt, changes } of this.#made.db
      .prepare(
        'SELECT corrections.idx, id, receipt, changes FROM corrections JOIN receipts ON receipts.idx = receipt',
      )
      .all() as CorrectionRow[])
      counted.add(idx, { receipt: { id, entry: receipt }, changes: JSON.parse(changes) });
    expect(counted.fault()).toBeNull();
    if (this.#last) expect(succession(this.#last.predicate, this.#last.sha256, epoch)).toBeNull();
    this.#last = this.#made.books.epoch(number);
    const leaves = this.#made.books.distribution(number)?.values.map(({ value }) => BigInt(value[1])) ?? [];
    expect(String(leaves.reduce((all, amount) => all + amount, 0n))).toBe(totals.paid);
    const paid = [...this.#paid.values()].reduce((all, one) => all + one, 0n);
    const kept = BigInt(totals.carried_out) + BigInt(totals.held_out) + BigInt(totals.withheld_out);
    expect(String(paid + kept)).toBe(this.#sum(() => true));
  }

  #checkAccount(account: string, { epoch, statements, distribution }: Epoch): void {
    const isCredited = (known: Known) => stateOf(known) === 'rejected';
    const earning = this.#receipts.filter((known) => known.epoch === epoch && isCredited(known));
    const changed = (which: (known: Known) => boolean) =>
      this.#receipts
        .filter((known) => isCredited(known) && known.correction && which(known))
        .flatMap(({ correction }) => correction!.changes[account] ?? []);
    const sum = (changes: bigint[]) => changes.reduce((all, one) => all + one, 0n);
    const due = BigInt(this.#sum(isCredited, account)) + sum(changed(() => true)) - this.#paid.get(account)!;
    const address = this.#addresses.get(account) ?? null;
    const paid = address !== null && due > 0n && due >= this.#threshold ? due : 0n;
    const carriedIn = this.#carried.get(account)!;
    const earned = BigInt(this.#sum((known) => earning.includes(known), account));
    const corrections = changed(({ correction }) => correction!.epoch === epoch);
    const corrected = sum(corrections);
    const expected = {
      account,
      receipts: earning.filter(({ owed }) => account in owed).length,
      carried_in: String(carriedIn),
      earned: String(earned),
      ...(corrections.length > 0 ? { corrections: corrections.length, corrected: String(corrected) } : {}),
      adjusted: String(due - carriedIn - earned - corrected),
      paid: String(paid),
      carried_out: String(due - paid),
      address,
    };
    const isNamed =
      corrections.length > 0 ||
      [expected.carried_in, expected.earned, expected.adjusted].some((one) => one !== '0');
    expect(statements.filter((one) => one.account === account)).toEqual(isNamed ? [expected] : []);
    if (isNamed) expect(this.#made.books.account(account).balance).toBe(expected.carried_out);
    if (paid > 0n) expect(payoutFault(this.#made.books.proof(epoch, account), distribution!.root)).toBeNull();
    this.#paid.set(account, this.#paid.get(account)! + paid);
    this.#carried.set(account, due - paid);
  }

  #sum(which: (known: Known) => boolean, account?: string): string {
    let all = 0n;
    for (const { owed } of this.#receipts.filter(which)) {
      for (const [name, units] of Object.entries(owed))
        if (account === undefined || name === account) all += BigInt(units);
    }
    return String(all);
  }
}

const units = fc.oneof(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 2 ** 53 - 1 }));
const account = fc.constantFrom(...accountNames);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.dictionary(account, units).map((owed) => (run: Run) => run.receipt(owed)) },
  {
    weight: 5,
    arbitrary: fc.tuple(fc.nat(9), account, account, units, fc.constantFrom(1n, 3n, 100n)).map(
      ([nth, from, to, amount, times]) =>
        (run: Run) =>
          run.correct(nth, from, to, BigInt(amount) * times),
    ),
  },
  { weight: 4, arbitrary: fc.nat(7).map((nth) => (run: Run) => run.dispute(nth)) },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.nat(100), fc.constantFrom('rejected' as const, 'upheld' as const)).map(
      ([nth, state]) =>
        (run: Run) =>
          run.resolve(nth, state),
    ),
  },
  { weight: 3, arbitrary: fc.constant((run: Run) => run.close()) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 5 }).map((most) => (run: Run) => run.count(most)) },
  {
    weight: 3,
    arbitrary: fc.tuple(account, fc.option(fc.nat(3))).map(
      ([name, at]) =>
        (run: Run) =>
          run.address(name, at),
    ),
  },
);

test('through any steps', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60, size: 'max' }),
      fc.constantFrom(0, 1, 500, 10 ** 6),
      (steps, threshold) => {
        const run = new Run(threshold);
        for (const one of steps) one(run);
        run.close();
      },
    ),
    { numRuns: 60 },
  );
});
