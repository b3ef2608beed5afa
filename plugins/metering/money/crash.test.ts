/** The process ends at any statement that the books make: what it finds when it comes again is as if it had not begun. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { type MoneyBooks, openMoney } from './money.ts';
import { addresses, amounts, changesOf, closeNow, receiptsTable } from './testing/books.ts';

/** Books in a file, whose process ends before a statement of them. */
class Process {
  readonly folder: string;
  readonly db: Database.Database;
  readonly books: MoneyBooks;
  /** Statements until it ends. */
  left = Number.POSITIVE_INFINITY;

  constructor(folder: string) {
    this.folder = folder;
    this.db = new Database(join(folder, 'metering.db'));
    this.db.pragma('journal_mode = WAL');
    // It is the process that ends, not the machine.
    this.db.pragma('synchronous = OFF');
    this.db.exec(receiptsTable);
    this.books = openMoney(this.#mortal(this.db), { currency: 'unit', threshold: 30 });
  }

  /** Another process, on the files as they lay there when this one ended. */
  another(): Process {
    this.db.close();
    return new Process(`${this.folder}-left`);
  }

  #mortal<Given extends object>(given: Given): Given {
    return new Proxy(given, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          if (['run', 'get', 'all', 'exec'].includes(String(name)) && this.left-- <= 0) {
            // Before the transaction is rolled back, which nobody would do where the process is killed.
            cpSync(this.folder, `${this.folder}-left`, { recursive: true });
            throw new Ended();
          }
          const result = value.apply(target, args);
          return name === 'prepare' || name === 'pluck' ? this.#mortal(result) : result;
        };
      },
    });
  }
}

class Ended extends Error {}

const enter = ({ db }: Process, idx: number, owed: Record<string, number>) =>
  db
    .prepare('INSERT INTO receipts (idx, id, owed) VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
    .run(idx, `r${idx}`, JSON.stringify(amounts(owed)));
const correct = ({ db }: Process, idx: number, receipt: number, changes: Record<string, bigint>) =>
  db
    .prepare('INSERT INTO corrections (idx, receipt, changes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
    .run(idx, receipt, JSON.stringify(changesOf(changes)));
const dispute = ({ books }: Process, receipt: string) =>
  books.disputes({ limit: 100 }).some((one) => one.receipt === receipt) ||
  books.openDispute({ receipt, reason: 'r', by: 'b', at: 1 });
const resolve = ({ books }: Process, id: number, state: 'rejected' | 'upheld') =>
  books.dispute(id).state !== 'open' || books.resolveDispute({ id, state, resolution: '', by: 'b', at: 1 });
const close = ({ books }: Process, epoch: number) =>
  books.epochs({ limit: 1 })[0]?.epoch === epoch || closeNow(books, epoch);
const pay = ({ books }: Process, account: string, at: number) =>
  books.addresses(account, 1).length > 0 ||
  books.setAddress({ account, address: addresses[at]!, since: 1, by: 'b' });

/** Each is done anew until it is done; where it was done already, as somebody would who comes again. */
const steps: Array<(process: Process) => unknown> = [
  (process) => pay(process, 'contributor:ada', 0),
  (process) => pay(process, 'pool', 1),
  (process) => [0, 1, 2, 3].map((idx) => enter(process, idx, { 'contributor:ada': 20 + idx, platform: 1 })),
  ({ books }) => books.count(3),
  (process) => correct(process, 4, 2, { 'contributor:ada': -5n, pool: 5n }),
  (process) => dispute(process, 'r1'),
  (process) => close(process, 1),
  (process) => [5, 6].map((idx) => enter(process, idx, { 'contributor:ada': 10, pool: 40 })),
  (process) => dispute(process, 'r0'),
  (process) => resolve(process, 1, 'rejected'),
  (process) => close(process, 2),
  (process) => resolve(process, 2, 'upheld'),
  (process) => close(process, 3),
];

function told({ books, db }: Process) {
  const epochs = [1, 2, 3].map((epoch) => books.epoch(epoch));
  const tables = db
    .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'payout_%'`)
    .pluck();
  return {
    epochs,
    distributions: [1, 2, 3].map((epoch) => books.distribution(epoch)),
    rows: Object.fromEntries(tables.all().map((name) => [name, db.prepare(`SELECT * FROM ${name}`).all()])),
  };
}

test('at every statement, until there is none left to end at', () => {
  const home = mkdtempSync(join(tmpdir(), 'colophon-money-'));
  try {
    const fresh = (name: string) => {
      const folder = mkdtempSync(join(home, name));
      return new Process(folder);
    };
    const whole = fresh('whole');
    for (const step of steps) step(whole);
    const expected = told(whole);
    whole.db.close();
    expect(expected.epochs.map(({ predicate }) => predicate.totals)).toMatchObject([
      { receipts: 4, corrections: 1, owed: '90', earned: '68', paid: '60', held_out: '22' },
      { receipts: 2, owed: '100', adjusted: '1', held_out: '21', paid: '85' },
      { receipts: 0, withheld_out: '21', held_out: '0' },
    ]);
    let ended = 0;
    for (const [at, step] of steps.entries()) {
      for (let statements = 0; ; statements++) {
        let process = fresh(`at-${at}-${statements}-`);
        for (const before of steps.slice(0, at)) before(process);
        process.left = statements;
        let isClean = true;
        try {
          step(process);
        } catch (error) {
          if (!(error instanceof Ended)) throw error;
          isClean = false;
          ended++;
          process = process.another();
        }
        process.left = Number.POSITIVE_INFINITY;
        for (const after of steps.slice(at)) after(process);
        expect(told(process), `step ${at}, statement ${statements}`).toEqual(expected);
        process.db.close();
        rmSync(process.folder, { recursive: true });
        if (isClean) break;
      }
    }
    expect(ended).toBeGreaterThan(100);
  } finally {
    rmSync(home, { recursive: true });
  }
});
