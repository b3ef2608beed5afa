/** Books over a store of receipts that is nothing but their table. */
import Database from 'better-sqlite3';
import type { AccountAmounts } from '../../receipts/fee.ts';
import type { ClosedEpoch } from '../closing.ts';
import { distributionOf } from '../distribution.ts';
import type { Epoch } from '../epoch.ts';
import { type MoneyBooks, type MoneySettings, openMoney } from '../money.ts';

export const receiptsTable =
  'CREATE TABLE IF NOT EXISTS receipts (idx INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, envelope BLOB, owed TEXT NOT NULL) STRICT';

export interface TestBooks {
  db: Database.Database;
  books: MoneyBooks;
  /** Enters a receipt at the next entry of the ledger. */
  receipt(owed: Record<string, number>, id?: string): string;
  close(): Epoch;
  /** Enters a finished epoch at the next entry of the ledger. */
  enter(epoch: number, json: string): void;
}

export function testBooks(
  settings: Partial<MoneySettings> = {},
  db: Database.Database = new Database(':memory:'),
): TestBooks {
  db.exec(receiptsTable);
  const books = openMoney(db, { currency: 'microUSD', threshold: 0, ...settings });
  let entries = 0;
  let now = 1_800_000_000_000;
  const enter = (epoch: number, json: string) => {
    const envelope = {
      payloadType: 'application/vnd.in-toto+json',
      payload: Buffer.from(`{"predicateType":"urn:colophon:epoch:v1","predicate":${json}}`).toString(
        'base64',
      ),
      signatures: [{ keyid: 'test', sig: '' }],
    };
    books.published(epoch, JSON.stringify(envelope), entries++);
  };
  return {
    enter,
    db,
    books,
    receipt(owed, id = `chatcmpl-${entries}`) {
      db.prepare('INSERT INTO receipts (idx, id, owed) VALUES (?, ?, ?)').run(
        entries,
        id,
        JSON.stringify(amounts(owed)),
      );
      entries++;
      return id;
    },
    close() {
      const { epoch, json } = closeNow(books, now++);
      enter(epoch.epoch, json);
      return epoch;
    },
  };
}

export function closeNow(books: MoneyBooks, now: number): ClosedEpoch {
  const { epoch, payees } = books.freeze(now);
  return books.finish(epoch, distributionOf(payees)?.dump() ?? null);
}

export const amounts = (owed: Record<string, number>): AccountAmounts =>
  Object.keys(owed)
    .sort()
    .map((account) => ({ account, units: owed[account]! }));

/** Addresses with their checksums. */
export const addresses = [
  '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
  '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359',
  '0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB',
  '0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb',
];
