/** Books over a store of receipts that is nothing but their table. */
import { generateKeyPairSync } from 'node:crypto';
import Database from 'better-sqlite3';
import { envelopeBytes, signEnvelope, statementPayload } from '../../keys/dsse.ts';
import { rawPublicKey } from '../../keys/ed25519.ts';
import { PublicKeys } from '../../keys/public_keys.ts';
import { ledgerEntry } from '../../ledger/receipt_file.ts';
import type { AccountChanges } from '../../receipts/correction.ts';
import { correctionsTable } from '../../receipts/corrections.ts';
import type { AccountAmounts } from '../../receipts/fee.ts';
import { distributionOf } from '../distribution.ts';
import { type ClosedEpoch, type Epoch, epochStatement } from '../epoch.ts';
import { type MoneyBooks, type MoneySettings, openMoney } from '../money.ts';

export const receiptsTable = `
  CREATE TABLE IF NOT EXISTS receipts (idx INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, envelope BLOB, owed TEXT NOT NULL) STRICT;
  ${correctionsTable}`;

const signing = generateKeyPairSync('ed25519').privateKey;
/** What epochs are signed with. */
export const testKeys = { signing, known: PublicKeys.of('test.example', [rawPublicKey(signing)]) };

/** Adds an entry to a ledger, and gives its index. */
export type Append = (entry: Buffer) => number;

export interface TestBooks {
  db: Database.Database;
  books: MoneyBooks;
  /** Enters a receipt into the ledger. */
  receipt(owed: Record<string, number>, id?: string): string;
  /** Enters a correction of a receipt: units by account, which sum to 0; gives its entry. */
  correct(id: string, changes: Record<string, bigint>): number;
  close(): Epoch;
  /** Signs a finished epoch and enters it into the ledger. */
  enter(closed: ClosedEpoch): void;
}

/** `append`: default: a ledger of which there is nothing but the count. */
export function testBooks(
  settings: Partial<MoneySettings> = {},
  db: Database.Database = new Database(':memory:'),
  append: Append = counting(),
): TestBooks {
  db.exec(receiptsTable);
  const books = openMoney(db, { currency: 'microUSD', threshold: 0, ...settings });
  let receipts = 0;
  let now = 1_800_000_000_000;
  const enter = (closed: ClosedEpoch) => {
    const envelope = signEnvelope(statementPayload, epochStatement(closed), testKeys.signing);
    const entry = append(ledgerEntry('epoch', envelope));
    books.published(closed.epoch.epoch, envelopeBytes(envelope).toString(), entry);
  };
  return {
    db,
    books,
    enter,
    receipt(owed, id = `chatcmpl-${receipts++}`) {
      const idx = append(Buffer.from(`receipt ${id}`));
      const insert = db.prepare('INSERT INTO receipts (idx, id, owed) VALUES (?, ?, ?)');
      insert.run(idx, id, JSON.stringify(amounts(owed)));
      return id;
    },
    correct(id, changes) {
      const receipt = db.prepare('SELECT idx FROM receipts WHERE id = ?').pluck().get(id);
      const idx = append(Buffer.from(`correction of ${receipt}`));
      const insert = db.prepare('INSERT INTO corrections (idx, receipt, changes) VALUES (?, ?, ?)');
      insert.run(idx, receipt, JSON.stringify(changesOf(changes)));
      return idx;
    },
    close() {
      const closed = closeNow(books, now++);
      enter(closed);
      return closed.epoch;
    },
  };
}

function counting(): Append {
  let entries = 0;
  return () => entries++;
}

export function closeNow(books: MoneyBooks, now: number): ClosedEpoch {
  const { epoch, payees } = books.freeze(now);
  return books.finish(epoch, distributionOf(payees)?.dump() ?? null);
}

export const amounts = (owed: Record<string, number>): AccountAmounts =>
  Object.keys(owed)
    .sort()
    .map((account) => ({ account, units: owed[account]! }));

export const changesOf = (changes: Record<string, bigint>): AccountChanges =>
  Object.keys(changes)
    .sort()
    .filter((account) => changes[account] !== 0n)
    .map((account) => ({ account, units: String(changes[account]) }));

/** Addresses with their checksums. */
export const addresses = [
  '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
  '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359',
  '0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB',
  '0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb',
];
