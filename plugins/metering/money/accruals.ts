/** What the receipts of the open epoch are worth to each account, counted as they come: closing need not read them all at once. */
import type { Database, Statement } from 'better-sqlite3';
import type { AccountAmounts } from '../receipts/fee.ts';

export interface Accrual {
  receipts: number;
  units: bigint;
}

/** What is counted. */
export interface OpenEpoch {
  currency: string;
  /** The first entry of the ledger that is not counted. */
  next: number;
  receipts: number;
  units: bigint;
}

export class Accruals {
  readonly #db: Database;
  readonly #one: Statement<[string]>;

  constructor(db: Database) {
    this.#db = db;
    this.#one = db.prepare('SELECT receipts, units FROM payout_accruals WHERE account = ?');
  }

  /** Counts the next receipts, at most so many, in one transaction; gives how many there were. */
  count(most: number): number {
    return this.#db.transaction(() => {
      const { next, receipts, units } = this.open();
      const rows = this.#db
        .prepare('SELECT idx, owed FROM receipts WHERE idx >= ? ORDER BY idx LIMIT ?')
        .all(next, most) as Array<{ idx: number; owed: string }>;
      if (rows.length === 0) return 0;
      const come = new Map<string, Accrual>();
      let sum = units;
      for (const { owed } of rows) {
        for (const { account, units } of JSON.parse(owed) as AccountAmounts) {
          const one = come.get(account) ?? { receipts: 0, units: 0n };
          come.set(account, { receipts: one.receipts + 1, units: one.units + BigInt(units) });
          sum += BigInt(units);
        }
      }
      const write = this.#db.prepare(
        'INSERT INTO payout_accruals VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET receipts = excluded.receipts, units = excluded.units',
      );
      for (const [account, { receipts, units }] of come) {
        const had = this.of(account);
        write.run(account, had.receipts + receipts, String(had.units + units));
      }
      this.#db
        .prepare('UPDATE payout_books SET next = ?, receipts = ?, units = ?')
        .run(rows.at(-1)!.idx + 1, receipts + rows.length, String(sum));
      return rows.length;
    })();
  }

  open(): OpenEpoch {
    const row = this.#db.prepare('SELECT currency, next, receipts, units FROM payout_books').get() as Omit<
      OpenEpoch,
      'units'
    > & { units: string };
    return { ...row, units: BigInt(row.units) };
  }

  of(account: string): Accrual {
    const row = this.#one.get(account) as { receipts: number; units: string } | undefined;
    return row ? { receipts: row.receipts, units: BigInt(row.units) } : { receipts: 0, units: 0n };
  }

  *all(): Generator<[account: string, Accrual]> {
    const rows = this.#db.prepare('SELECT account, receipts, units FROM payout_accruals').all();
    for (const { account, receipts, units } of rows as Array<{
      account: string;
      receipts: number;
      units: string;
    }>)
      yield [account, { receipts, units: BigInt(units) }];
  }

  /** A new epoch begins. */
  clear(): void {
    this.#db.exec(`DELETE FROM payout_accruals; UPDATE payout_books SET receipts = 0, units = '0';`);
  }
}
