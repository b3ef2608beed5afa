/** Closes an epoch in two steps, as its Merkle tree takes long and the store's thread must not: what its receipts, the disputes and what was carried make of each account, and who is paid. */
import { hash } from 'node:crypto';
import type { Database } from 'better-sqlite3';
import type { AccountAmounts } from '../receipts/fee.ts';
import type { Accruals } from './accruals.ts';
import type { Addresses } from './addresses.ts';
import type { Dispute, DisputeState, Disputes } from './disputes.ts';
import { type DistributionFile, type Payee, proofsOf } from './distribution.ts';
import {
  type AccountStatement,
  type ClosedEpoch,
  type DisputeEffect,
  type Epoch,
  payeesOf,
} from './epoch.ts';
import { heldCorrections, uncreditedReceipts } from './held_corrections.ts';

/** Receipts that are counted at once. */
const batch = 10_000;

export interface Rooms {
  db: Database;
  accruals: Accruals;
  disputes: Disputes;
  addresses: Addresses;
  /** Units that an account needs to be paid; what it has below them is carried. */
  threshold: number;
}

/** An account's line as it is added up. */
interface Line {
  receipts: number;
  corrections: number;
  carriedIn: bigint;
  earned: bigint;
  corrected: bigint;
  adjusted: bigint;
}

/** Units of receipts that nobody is credited with, by the state of their dispute. */
type Uncredited = Record<Exclude<DisputeState, 'rejected'>, bigint>;

interface Last {
  epoch: number;
  entries_to: number;
  sha256: string | null;
  open: string;
  upheld: string;
}

/** A frozen epoch, whose distribution is to be made. */
export interface FrozenEpoch {
  epoch: number;
  payees: Payee[];
}

/**
 * Freezes the epoch of all receipts and corrections up to the last, in one transaction: none is in two, none is left out. One that is frozen
 * and not finished is given as it is; no other can be before. `now`: Unix milliseconds.
 */
export function freezeEpoch(rooms: Rooms, now: number): FrozenEpoch {
  const { db, accruals, disputes, addresses, threshold } = rooms;
  return db.transaction(() => {
    const unfinished = unfinishedEpoch(db);
    if (unfinished) return unfinished;
    while (accruals.count(batch) > 0);
    const { currency, next, receipts, units, corrections } = accruals.open();
    const last = lastEpoch(db);
    const lines = new Lines();
    for (const [account, { units, ...same }] of accruals.all())
      Object.assign(lines.of(account), { ...same, earned: units });
    for (const [account, carriedIn] of balances(db)) lines.of(account).carriedIn = carriedIn;
    const before = { open: BigInt(last.open), upheld: BigInt(last.upheld) };
    const after = { ...before };
    const uncredited = uncreditedReceipts(db);
    const effects = applied(rooms, last.entries_to, lines, after);
    const held = heldCorrections(db, last.entries_to, uncredited);
    for (const { in: column, amounts } of held)
      for (const { account, units } of amounts) {
        const line = lines.of(account);
        line[column] += BigInt(units);
        if (column === 'corrected') line.corrections--;
      }
    const statements = lines.statements(addresses, BigInt(threshold));
    const sum = (name: 'carried_in' | 'earned' | 'adjusted' | 'paid' | 'carried_out') =>
      String(statements.reduce((all, one) => all + BigInt(one[name]), 0n));
    const epoch: Epoch = {
      epoch: last.epoch + 1,
      closed: now,
      currency,
      entries: { from: last.entries_to, to: next },
      previous: last.sha256,
      threshold: String(threshold),
      totals: {
        receipts,
        ...(corrections > 0 ? { corrections } : {}),
        owed: String(units),
        earned: sum('earned'),
        adjusted: sum('adjusted'),
        carried_in: sum('carried_in'),
        paid: sum('paid'),
        carried_out: sum('carried_out'),
        held_in: String(before.open),
        held_out: String(after.open),
        withheld_in: String(before.upheld),
        withheld_out: String(after.upheld),
      },
      distribution: null,
      statements,
      disputes: effects,
      ...(held.length > 0 ? { corrections: held } : {}),
    };
    db.prepare('INSERT INTO payout_epochs (epoch, entries_to, predicate) VALUES (?, ?, ?)').run(
      epoch.epoch,
      next,
      JSON.stringify(epoch),
    );
    const payees = payeesOf(statements);
    const payee = db.prepare('INSERT INTO payout_payees (epoch, address, amount) VALUES (?, ?, ?)');
    for (const { address, amount } of payees) payee.run(epoch.epoch, address, amount);
    keep(db, epoch);
    accruals.clear();
    disputes.tell();
    return { epoch: epoch.epoch, payees };
  })();
}

/** What a crash, or a failure, left between freezing and finishing; null where nothing. */
export function unfinishedEpoch(db: Database): FrozenEpoch | null {
  const epoch = db.prepare('SELECT epoch FROM payout_epochs WHERE sha256 IS NULL').pluck().get();
  if (epoch === undefined) return null;
  const payees = db.prepare('SELECT address, amount FROM payout_payees WHERE epoch = ? ORDER BY address');
  return { epoch: epoch as number, payees: payees.all(epoch) as Payee[] };
}

/**
 * Gives a frozen epoch its distribution, null where nobody is paid; what it says is final then. Whoever signs and publishes that
 * does it in a transaction around this one. Throws RangeError where the epoch is not frozen, or the distribution is not of its payees.
 */
export function finishEpoch(db: Database, number: number, file: DistributionFile | null): ClosedEpoch {
  return db.transaction(() => {
    const frozen = unfinishedEpoch(db);
    if (frozen?.epoch !== number) throw new RangeError(`The epoch ${number} is not frozen.`);
    const leaves = file?.values.map(({ value: [address, amount] }) => ({ address, amount })) ?? [];
    if (JSON.stringify(leaves) !== JSON.stringify(frozen.payees))
      throw new RangeError(`The distribution is not of what the epoch ${number} pays.`);
    const row = db.prepare('SELECT predicate FROM payout_epochs WHERE epoch = ?').pluck().get(number);
    const epoch = JSON.parse(row as string) as Epoch;
    epoch.distribution = file && { root: file.tree[0]!, addresses: file.values.length };
    const json = JSON.stringify(epoch);
    const sha256 = hash('sha256', json, 'hex');
    db.prepare('UPDATE payout_epochs SET predicate = ?, sha256 = ?, distribution = ? WHERE epoch = ?').run(
      json,
      sha256,
      file && JSON.stringify(file),
      number,
    );
    const payee = db.prepare('UPDATE payout_payees SET proof = ? WHERE epoch = ? AND address = ?');
    for (const { address, proof } of file ? proofsOf(file) : [])
      payee.run(JSON.stringify(proof), number, address);
    return { epoch, json, sha256 };
  })();
}

class Lines {
  readonly #lines = new Map<string, Line>();

  of(account: string): Line {
    let line = this.#lines.get(account);
    if (!line) {
      line = { receipts: 0, corrections: 0, carriedIn: 0n, earned: 0n, corrected: 0n, adjusted: 0n };
      this.#lines.set(account, line);
    }
    return line;
  }

  /** Of all accounts that have anything, by name. Who has no address, or less than `threshold`, carries it; nobody is paid below 0. */
  statements(addresses: Addresses, threshold: bigint): AccountStatement[] {
    const names = [...this.#lines.keys()].sort();
    return names.flatMap((account) => {
      const { receipts, corrections, carriedIn, earned, corrected, adjusted } = this.of(account);
      if (receipts + corrections === 0 && carriedIn === 0n && earned === 0n && adjusted === 0n) return [];
      const due = carriedIn + earned + corrected + adjusted;
      const address = addresses.of(account);
      const paid = address !== null && due >= threshold ? due : 0n;
      return [
        {
          account,
          receipts,
          carried_in: String(carriedIn),
          earned: String(earned),
          ...(corrections > 0 ? { corrections, corrected: String(corrected) } : {}),
          adjusted: String(adjusted),
          paid: String(paid),
          carried_out: String(due - paid),
          address,
        },
      ];
    });
  }
}

/**
 * Brings the lines to what disputes that were opened or resolved since the last epoch say, and `uncredited` with them. Of a receipt
 * that was disputed again they go in that order: the last decides.
 */
function applied(
  { db, disputes }: Rooms,
  from: number,
  lines: Lines,
  uncredited: Uncredited,
): DisputeEffect[] {
  return disputes.untold().map((dispute) => {
    const change = credited(db, dispute, uncredited);
    const isOfThis = dispute.idx >= from;
    const amounts = change === 0 ? [] : owedBy(db, dispute.idx);
    for (const { account, units } of amounts) {
      const line = lines.of(account);
      line[isOfThis ? 'earned' : 'adjusted'] += BigInt(change * units);
      if (isOfThis) line.receipts += change;
    }
    return {
      dispute: dispute.id,
      receipt: dispute.receipt,
      state: dispute.state,
      in: change === 0 ? 'nothing' : isOfThis ? 'earned' : 'adjusted',
      amounts: amounts.map(({ account, units }) => ({ account, units: String(change * units) })),
    };
  });
}

/** Writes whether a receipt's amounts count now: 1 where they count again, -1 where no longer, 0 where that stays as it was. */
function credited(db: Database, { idx, state }: Dispute, uncredited: Uncredited): 1 | -1 | 0 {
  const was = db.prepare('SELECT state FROM payout_uncredited WHERE idx = ?').pluck().get(idx) as
    | keyof Uncredited
    | undefined;
  const sum = owedBy(db, idx).reduce((all, { units }) => all + BigInt(units), 0n);
  if (was) uncredited[was] -= sum;
  if (state === 'rejected') {
    db.prepare('DELETE FROM payout_uncredited WHERE idx = ?').run(idx);
    return was ? 1 : 0;
  }
  uncredited[state] += sum;
  db.prepare(
    'INSERT INTO payout_uncredited VALUES (?, ?) ON CONFLICT DO UPDATE SET state = excluded.state',
  ).run(idx, state);
  return was ? 0 : -1;
}

function owedBy(db: Database, idx: number): AccountAmounts {
  return JSON.parse(db.prepare('SELECT owed FROM receipts WHERE idx = ?').pluck().get(idx) as string);
}

function lastEpoch(db: Database): Last {
  const row = db
    .prepare(
      `SELECT epoch, entries_to, sha256, predicate ->> '$.totals.held_out' AS open, predicate ->> '$.totals.withheld_out' AS upheld
       FROM payout_epochs ORDER BY epoch DESC LIMIT 1`,
    )
    .get() as Last | undefined;
  return row ?? { epoch: 0, entries_to: 0, sha256: null, open: '0', upheld: '0' };
}

function balances(db: Database): Array<[account: string, units: bigint]> {
  const rows = db.prepare('SELECT account, units FROM payout_balances').all();
  return (rows as Array<{ account: string; units: string }>).map(({ account, units }) => [
    account,
    BigInt(units),
  ]);
}

/** Each account's line of the epoch, and what it carries into the next. */
function keep(db: Database, { epoch, statements }: Epoch): void {
  db.exec('DELETE FROM payout_balances');
  const balance = db.prepare('INSERT INTO payout_balances VALUES (?, ?)');
  const statement = db.prepare(
    `INSERT INTO payout_statements
       (account, epoch, receipts, carried_in, earned, corrections, corrected, adjusted, paid, carried_out, address)
     VALUES ($account, $epoch, $receipts, $carried_in, $earned, $corrections, $corrected, $adjusted, $paid, $carried_out, $address)`,
  );
  for (const one of statements) {
    statement.run({ epoch, corrections: null, corrected: null, ...one });
    if (one.carried_out !== '0') balance.run(one.account, one.carried_out);
  }
}
