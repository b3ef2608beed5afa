/** What the receipts of the open epoch, and the corrections that came in it, are worth to each account, counted as they come: closing need not read them all at once. */
import type { Database, Statement } from 'better-sqlite3';
import type { AccountAmounts } from '../receipts/fee.ts';

export interface Accrual {
  receipts: number;
  units: bigint;
  /** Those that change what it is owed, and by how much in all; may be below 0. */
  corrections: number;
  corrected: bigint;
}

/** What is counted. */
export interface OpenEpoch {
  currency: string;
  /** The first entry of the ledger that is not counted. */
  next: number;
  receipts: number;
  /** Of the receipts: what corrections change sums to 0. */
  units: bigint;
  corrections: number;
}

const none: Accrual = { receipts: 0, units: 0n, corrections: 0, corrected: 0n };

export class Accruals {
  readonly #db: Database;
  readonly #one: Statement<[string]>;

  constructor(db: Database) {
    this.#db = db;
    this.#one = db.prepare('SELECT * FROM payout_accruals WHERE account = ?');
  }

  /** Counts the next receipts and corrections, at most so many, in one transaction; gives how many there were. */
  count(most: number): number {
    return this.#db.transaction(() => {
      const { next, receipts, units, corrections } = this.open();
      const rows = this.#db
        .prepare(
          `SELECT idx, owed AS amounts, 0 AS corrects FROM receipts WHERE idx >= ?
           UNION ALL SELECT idx, changes, 1 FROM corrections WHERE idx >= ? ORDER BY idx LIMIT ?`,
        )
        .all(next, next, most) as Array<{ idx: number; amounts: string; corrects: 0 | 1 }>;
      if (rows.length === 0) return 0;
      const come = new Map<string, Accrual>();
      let sum = units;
      let corrects = 0;
      for (const row of rows) {
        corrects += row.corrects;
        for (const { account, units } of JSON.parse(row.amounts) as AccountAmounts) {
          const one = come.get(account) ?? { ...none };
          if (row.corrects) {
            one.corrections++;
            one.corrected += BigInt(units);
          } else {
            one.receipts++;
            one.units += BigInt(units);
            sum += BigInt(units);
          }
          come.set(account, one);
        }
      }
      const write = this.#db.prepare(
        `INSERT INTO payout_accruals (account, receipts, units, corrections, corrected) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET receipts = excluded.receipts, units = excluded.units, corrections = excluded.corrections,
           corrected = excluded.corrected`,
      );
      for (const [account, one] of come) {
        const had = this.of(account);
        write.run(
          account,
          had.receipts + one.receipts,
          String(had.units + one.units),
          had.corrections + one.corrections,
          String(had.corrected + one.corrected),
        );
      }
      this.#db
        .prepare('UPDATE payout_books SET next = ?, receipts = ?, units = ?, corrections = ?')
        .run(rows.at(-1)!.idx + 1, receipts + rows.length - corrects, String(sum), corrections + corrects);
      return rows.length;
    })();
  }

  open(): OpenEpoch {
    const row = this.#db
      .prepare('SELECT currency, next, receipts, units, corrections FROM payout_books')
      .get() as Omit<OpenEpoch, 'units'> & { units: string };
    return { ...row, units: BigInt(row.units) };
  }

  of(account: string): Accrual {
    const row = this.#one.get(account);
    return row ? accrualOf(row as Row) : none;
  }

  *all(): Generator<[account: string, Accrual]> {
    for (const row of this.#db.prepare('SELECT * FROM payout_accruals').all() as Row[])
      yield [row.account, accrualOf(row)];
  }

  /** A new epoch begins. */
  clear(): void {
    this.#db.exec(
      `DELETE FROM payout_accruals; UPDATE payout_books SET receipts = 0, units = '0', corrections = 0;`,
    );
  }
}

type Row = { account: string } & Record<'receipts' | 'corrections', number> &
  Record<'units' | 'corrected', string>;

const accrualOf = ({ receipts, units, corrections, corrected }: Row): Accrual => ({
  receipts,
  units: BigInt(units),
  corrections,
  corrected: BigInt(corrected),
});
