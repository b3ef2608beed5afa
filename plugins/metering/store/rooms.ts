/** All that lives in the store's one database, and what can be asked of it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { Answers } from './answers.ts';
import type { Group } from './protocol.ts';
import { type UsageQuery, usageOf } from './usage.ts';

export interface RoomsOptions {
  /** Made where it is not there. */
  folder: string;
}

export type Rooms = ReturnType<typeof openRooms>;

export function openRooms({ folder }: RoomsOptions) {
  mkdirSync(folder, { recursive: true });
  const db = openDatabase(join(folder, 'metering.db'));
  const answers = new Answers(db, Date.now());

  /** All of it, or nothing; durable when it returns. */
  const transaction = <Result>(work: (undo: (step: () => void) => void) => Result): Result => {
    const undo: Array<() => void> = [];
    db.exec('BEGIN IMMEDIATE');
    try {
      const result = work((step) => undo.push(step));
      db.exec('COMMIT');
      return result;
    } catch (error) {
      if (db.inTransaction) db.exec('ROLLBACK');
      for (const step of undo.reverse()) step();
      throw error;
    }
  };

  return {
    opened: { next: answers.next },
    write(group: Group): void {
      transaction((undo) => undo(answers.write(group, Date.now()).forget));
    },
    calls: {
      usage: (query: UsageQuery) => usageOf(db, query),
      unreceipted: (most: number) => answers.unreceipted(most),
      forget: (ended: number) => transaction(() => answers.forget(ended)),
      close: () => {
        db.close();
      },
    },
  };
}

function openDatabase(path: string): Database.Database {
  const db = new Database(path, { timeout: 500 });
  try {
    // Exclusive: a second server on the same folder would count beside this one.
    for (const pragma of [
      'locking_mode = EXCLUSIVE',
      'journal_mode = WAL',
      'synchronous = FULL',
      'secure_delete = ON',
      'foreign_keys = ON',
    ])
      db.pragma(pragma);
    db.exec('BEGIN IMMEDIATE; COMMIT');
  } catch (error) {
    db.close();
    if ((error as NodeJS.ErrnoException).code !== 'SQLITE_BUSY') throw error;
    throw new Error(
      `${path} is in use: another Colophon runs on the same data folder. Stop it, or choose another folder with --home.`,
    );
  }
  return db;
}
