/** The books, as the thread that owns the database keeps them. */
import type { Database } from 'better-sqlite3';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { type Accrual, Accruals } from './accruals.ts';
import { Addresses, type AddressSetting } from './addresses.ts';
import { type FrozenEpoch, finishEpoch, freezeEpoch, unfinishedEpoch } from './closing.ts';
import { type Dispute, type DisputeState, Disputes, type Opening, type Resolving } from './disputes.ts';
import type { DistributionFile, PayoutProof } from './distribution.ts';
import type { AccountStatement, ClosedEpoch, Epoch } from './epoch.ts';
import { openBooks } from './schema.ts';

export interface MoneySettings {
  /** Name of the unit; books are kept in one. */
  currency: string;
  /** Units that an account needs to be paid. */
  threshold: number;
}

export interface EpochSummary
  extends Pick<Epoch, 'epoch' | 'closed' | 'currency' | 'entries' | 'totals' | 'distribution'> {
  /** Of its predicate's JSON, hex. */
  sha256: string;
  /** Its own entry of the ledger; null: it is in none. */
  entry: number | null;
}

export interface KeptEpoch extends Pick<EpochSummary, 'sha256' | 'entry'> {
  predicate: Epoch;
  /** The signed Statement, a DSSE envelope's JSON. */
  envelope: string | null;
}

export interface Account {
  account: string;
  currency: string;
  address: string | null;
  /** Units carried out of the last epoch. */
  balance: string;
  /** Of the open epoch, as far as its receipts and corrections are counted; what is in dispute is in it until the epoch is closed. */
  accruing: { receipts: number; corrections: number; units: string };
}

export type PastStatement = AccountStatement & { epoch: number };

export interface Page {
  /** Lists go from the newest: what comes before this one. */
  before?: number;
  limit: number;
}

/** What is done in the thread of the database. What throws throws ColophonError, unless the database itself fails. */
export interface MoneyBooks {
  /** Freezes the open epoch at a time, Unix milliseconds, or gives the one that is frozen and not finished. */
  freeze(now: number): FrozenEpoch;
  /** What is frozen and not finished; null where nothing. */
  unfinished(): FrozenEpoch | null;
  /** With the distribution of its payees (distribution_thread.ts). Signing and publishing belong into the same transaction. */
  finish(epoch: number, file: DistributionFile | null): ClosedEpoch;
  /** Of a closed epoch: its signed Statement, and its entry of the ledger. */
  published(epoch: number, envelope: string, entry: number): void;
  /** Counts receipts and corrections of the open epoch, at most so many, and gives how many: closing has the less to do. */
  count(most: number): number;
  epochs(page: Page): EpochSummary[];
  epoch(epoch: number): KeptEpoch;
  /** Null where nobody was paid. */
  distribution(epoch: number): DistributionFile | null;
  proof(epoch: number, account: string): PayoutProof;
  account(account: string): Account;
  /** Its statements, the newest first; `before`: an epoch. */
  statements(account: string, page: Page): PastStatement[];
  setAddress(setting: AddressSetting): void;
  addresses(account: string, most: number): AddressSetting[];
  openDispute(opening: Opening): Dispute;
  resolveDispute(resolving: Resolving): Dispute;
  dispute(id: number): Dispute;
  disputes(page: Page & { state?: DisputeState }): Dispute[];
}

/** What any thread may ask for; the rest is done where an epoch is signed and logged. */
export type BookCall = Exclude<keyof MoneyBooks, 'finish' | 'published'>;

const summary = `epoch, predicate ->> '$.closed' AS closed, predicate ->> '$.currency' AS currency,
  predicate -> '$.entries' AS entries, predicate -> '$.totals' AS totals, predicate -> '$.distribution' AS distribution,
  sha256, entry`;

const rootOf = `predicate ->> '$.currency' AS currency, predicate ->> '$.distribution.root' AS root`;

/** In the thread that owns the database, after the store's `receipts` are there. Throws ColophonError as openBooks does. */
export function openMoney(db: Database, { currency, threshold }: MoneySettings): MoneyBooks {
  openBooks(db, currency);
  const accruals = new Accruals(db);
  const disputes = new Disputes(db);
  const addresses = new Addresses(db);
  const kept = <Row>(columns: string, epoch: number): Row => {
    const row = db
      .prepare(`SELECT ${columns} FROM payout_epochs WHERE epoch = ? AND sha256 IS NOT NULL`)
      .get(epoch);
    if (row === undefined) throw notFound(`There is no closed epoch ${epoch}.`);
    return row as Row;
  };
  return {
    freeze: (now) => freezeEpoch({ db, accruals, disputes, addresses, threshold }, now),
    unfinished: () => unfinishedEpoch(db),
    finish: (epoch, file) => finishEpoch(db, epoch, file),
    published(epoch, envelope, entry) {
      kept('1', epoch);
      db.prepare('UPDATE payout_epochs SET envelope = ?, entry = ? WHERE epoch = ?').run(
        envelope,
        entry,
        epoch,
      );
    },
    count: (most) => accruals.count(most),
    epochs({ before, limit }) {
      const rows = db
        .prepare(
          `SELECT ${summary} FROM payout_epochs WHERE epoch < ? AND sha256 IS NOT NULL ORDER BY epoch DESC LIMIT ?`,
        )
        .all(before ?? Number.MAX_SAFE_INTEGER, limit);
      return (rows as Array<Record<'entries' | 'totals' | 'distribution', string> & EpochSummary>).map(
        ({ entries, totals, distribution, ...same }) => ({
          ...same,
          entries: JSON.parse(entries),
          totals: JSON.parse(totals),
          distribution: JSON.parse(distribution),
        }),
      );
    },
    epoch(epoch) {
      const row = kept<Omit<KeptEpoch, 'predicate'> & { predicate: string }>(
        'predicate, sha256, envelope, entry',
        epoch,
      );
      return { ...row, predicate: JSON.parse(row.predicate) };
    },
    distribution(epoch) {
      const { distribution } = kept<{ distribution: string | null }>('distribution', epoch);
      return distribution === null ? null : JSON.parse(distribution);
    },
    proof: (epoch, account) => proofFor(db, kept(rootOf, epoch), epoch, account),
    account(account) {
      const { currency } = accruals.open();
      const accrual = accruals.of(account);
      const balance = db.prepare('SELECT units FROM payout_balances WHERE account = ?').pluck().get(account);
      const address = addresses.of(account);
      const isKnown =
        accrual.receipts + accrual.corrections > 0 ||
        balance !== undefined ||
        db.prepare('SELECT 1 FROM payout_statements WHERE account = ? LIMIT 1').get(account) !== undefined ||
        addresses.history(account, 1).length > 0;
      if (!isKnown)
        throw notFound(`No receipt, epoch or address names the account '${account.slice(0, 100)}'.`);
      return {
        account,
        currency,
        address,
        balance: (balance as string | undefined) ?? '0',
        accruing: shown(accrual),
      };
    },
    statements(account, { before, limit }) {
      const rows = db
        .prepare(
          'SELECT * FROM payout_statements WHERE account = ? AND epoch < ? ORDER BY epoch DESC LIMIT ?',
        )
        .all(account, before ?? Number.MAX_SAFE_INTEGER, limit) as PastStatementRow[];
      return rows.map(({ corrections, corrected, ...same }) =>
        corrections === null ? same : { ...same, corrections, corrected: corrected! },
      );
    },
    setAddress: (setting) => addresses.set(setting),
    addresses: (account, most) => addresses.history(account, most),
    openDispute: (opening) => disputes.open(opening),
    resolveDispute: (resolving) => disputes.resolve(resolving),
    dispute: (id) => disputes.get(id),
    disputes: (page) => disputes.list(page),
  };
}

type PastStatementRow = Omit<PastStatement, 'corrections' | 'corrected'> & {
  corrections: number | null;
  corrected: string | null;
};

const shown = ({ receipts, corrections, units, corrected }: Accrual) => ({
  receipts,
  corrections,
  units: String(units + corrected),
});

function proofFor(
  db: Database,
  { currency, root }: { currency: string; root: string | null },
  epoch: number,
  account: string,
): PayoutProof {
  const row = db
    .prepare(
      `SELECT payee.address, amount, proof, paid FROM payout_statements statement
         JOIN payout_payees payee ON payee.epoch = statement.epoch AND payee.address = statement.address
       WHERE account = ? AND statement.epoch = ? AND paid <> '0'`,
    )
    .get(account, epoch) as { address: string; amount: string; proof: string; paid: string } | undefined;
  if (!row || root === null)
    throw notFound(`The account '${account.slice(0, 100)}' is not paid in epoch ${epoch}.`);
  const { address, amount, proof, paid } = row;
  return {
    format: 'colophon-payout-v1',
    epoch,
    currency,
    account,
    paid,
    address,
    amount,
    proof: JSON.parse(proof),
    root,
  };
}

const notFound = (sentence: string) =>
  new ColophonError(sentence, { type: 'not_found_error', code: 'payout_not_found' });
