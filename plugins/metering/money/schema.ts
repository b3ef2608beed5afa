/**
 * The books' tables, beside the store's `receipts (idx INTEGER PRIMARY KEY, id TEXT UNIQUE, owed TEXT, ...)` and
 * `corrections (idx INTEGER PRIMARY KEY, receipt INTEGER UNIQUE, changes TEXT, ...)`: `idx` is the entry of the ledger, `owed` and
 * `changes` are AccountAmounts and AccountChanges as JSON, `receipt` the entry of what is corrected. Amounts are decimal text: sums may pass what SQLite's integers hold.
 */
import type { Database } from 'better-sqlite3';
import { ColophonError } from '../../../gateway/contract/index.ts';

const tables = `
  -- Of the epoch that is open: receipts and corrections of entries below next are counted in payout_accruals, none of later ones.
  CREATE TABLE IF NOT EXISTS payout_books (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    currency TEXT NOT NULL,
    next INTEGER NOT NULL,
    receipts INTEGER NOT NULL,
    units TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS payout_accruals (
    account TEXT PRIMARY KEY,
    receipts INTEGER NOT NULL,
    units TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- Carried out of the last epoch; below 0 where more was taken back than there was. None is 0.
  CREATE TABLE IF NOT EXISTS payout_balances (account TEXT PRIMARY KEY, units TEXT NOT NULL) STRICT, WITHOUT ROWID;

  -- entries_to: the first entry that is not in it. sha256: of the predicate, once it has its distribution. entry: its own, once
  -- it is in the ledger.
  CREATE TABLE IF NOT EXISTS payout_epochs (
    epoch INTEGER PRIMARY KEY,
    entries_to INTEGER NOT NULL,
    predicate TEXT NOT NULL,
    sha256 TEXT,
    distribution TEXT,
    envelope TEXT,
    entry INTEGER
  ) STRICT;
  -- Leaves of its distribution; proof: the hashes from the leaf upwards, as JSON, once there is a tree.
  CREATE TABLE IF NOT EXISTS payout_payees (
    epoch INTEGER NOT NULL,
    address TEXT NOT NULL,
    amount TEXT NOT NULL,
    proof TEXT,
    PRIMARY KEY (epoch, address)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS payout_statements (
    account TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    receipts INTEGER NOT NULL,
    carried_in TEXT NOT NULL,
    earned TEXT NOT NULL,
    adjusted TEXT NOT NULL,
    paid TEXT NOT NULL,
    carried_out TEXT NOT NULL,
    address TEXT,
    PRIMARY KEY (account, epoch)
  ) STRICT, WITHOUT ROWID;

  -- told: whether a closed epoch has it in the state in which it is.
  CREATE TABLE IF NOT EXISTS payout_disputes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    receipt TEXT NOT NULL,
    idx INTEGER NOT NULL,
    reason TEXT NOT NULL,
    opened_by TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'rejected', 'upheld')),
    resolution TEXT,
    resolved_by TEXT,
    resolved_at INTEGER,
    told INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX IF NOT EXISTS payout_disputes_by_receipt ON payout_disputes (idx, id);
  CREATE INDEX IF NOT EXISTS payout_disputes_to_tell ON payout_disputes (id) WHERE told = 0;
  CREATE INDEX IF NOT EXISTS payout_disputes_by_state ON payout_disputes (state, id);

  -- Receipts of closed epochs whose amounts nobody was credited with, and the state of the dispute that was the reason.
  CREATE TABLE IF NOT EXISTS payout_uncredited (idx INTEGER PRIMARY KEY, state TEXT NOT NULL) STRICT;

  -- The last of an account counts; null: none any more.
  CREATE TABLE IF NOT EXISTS payout_addresses (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    address TEXT,
    since INTEGER NOT NULL,
    set_by TEXT NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS payout_addresses_by_account ON payout_addresses (account, seq);

  -- What is counted is frozen: a receipt that came, changed or went afterwards would be in no epoch, or in one that says otherwise.
  CREATE TRIGGER IF NOT EXISTS receipts_in_order BEFORE INSERT ON receipts
    WHEN NEW.idx < (SELECT next FROM payout_books)
    BEGIN SELECT RAISE(ABORT, 'A receipt came before others that are counted for payouts.'); END;
  CREATE TRIGGER IF NOT EXISTS receipts_frozen BEFORE UPDATE OF idx, id, owed ON receipts
    WHEN OLD.idx < (SELECT next FROM payout_books)
    BEGIN SELECT RAISE(ABORT, 'A receipt that is counted for payouts does not change.'); END;
  CREATE TRIGGER IF NOT EXISTS receipts_kept BEFORE DELETE ON receipts
    WHEN OLD.idx < (SELECT next FROM payout_books)
    BEGIN SELECT RAISE(ABORT, 'A receipt that is counted for payouts does not go.'); END;
  CREATE TRIGGER IF NOT EXISTS corrections_in_order BEFORE INSERT ON corrections
    WHEN NEW.idx < (SELECT next FROM payout_books)
    BEGIN SELECT RAISE(ABORT, 'A correction came before what is counted for payouts.'); END;
  CREATE TRIGGER IF NOT EXISTS corrections_frozen BEFORE UPDATE OF idx, receipt, changes ON corrections
    WHEN OLD.idx < (SELECT next FROM payout_books)
    BEGIN SELECT RAISE(ABORT, 'A correction that is counted for payouts does not change.'); END;
  CREATE TRIGGER IF NOT EXISTS corrections_kept BEFORE DELETE ON corrections
    WHEN OLD.idx < (SELECT next FROM payout_books)
    BEGIN SELECT RAISE(ABORT, 'A correction that is counted for payouts does not go.'); END;
`;

/** Columns that came later than their tables. */
const later: Array<[table: string, column: string, type: string]> = [
  ['payout_books', 'corrections', 'INTEGER NOT NULL DEFAULT 0'],
  ['payout_accruals', 'corrections', 'INTEGER NOT NULL DEFAULT 0'],
  ['payout_accruals', 'corrected', `TEXT NOT NULL DEFAULT '0'`],
  ['payout_statements', 'corrections', 'INTEGER'],
  ['payout_statements', 'corrected', 'TEXT'],
];

/**
 * Makes what is not there. Call it after the store's own tables are made. Throws ColophonError where amounts are kept in another
 * currency: those of two do not add up.
 */
export function openBooks(db: Database, currency: string): void {
  db.transaction(() => {
    db.exec(tables);
    for (const [table, column, type] of later)
      if (db.prepare('SELECT 1 FROM pragma_table_info(?) WHERE name = ?').get(table, column) === undefined)
        db.exec(`ALTER TABLE ${table} ADD COLUMN ${column} ${type}`);
    db.prepare(
      `INSERT INTO payout_books (one, currency, next, receipts, units) VALUES (1, ?, 0, 0, '0') ON CONFLICT DO NOTHING`,
    ).run(currency);
    const kept = db.prepare('SELECT currency FROM payout_books').pluck().get() as string;
    if (kept === currency) return;
    // While nothing ever cost anything there are no amounts to be in it.
    if (db.prepare(`SELECT 1 FROM receipts WHERE owed <> '[]' LIMIT 1`).get() !== undefined)
      throw new ColophonError(
        `The books are kept in '${kept}', and fees.currency is '${currency}'. Set it back, or begin with another data folder.`,
        { code: 'invalid_value', param: 'fees.currency' },
      );
    db.prepare('UPDATE payout_books SET currency = ?').run(currency);
  })();
}
