/** All that lives in the store's one database, and what can be asked of it. One call is one transaction. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { SettledAgain } from '../../../gateway/contract/index.ts';
import { isFull } from '../durable_files.ts';
import { envelopeBytes, signEnvelope, statementPayload } from '../keys/dsse.ts';
import { installationKeys } from '../keys/installation_keys.ts';
import { parseVkey } from '../keys/vkey.ts';
import { Ledger } from '../ledger/ledger.ts';
import { type Logged, ledgerEntry } from '../ledger/receipt_file.ts';
import { Cosigning } from '../ledger/witness.ts';
import type { DistributionFile } from '../money/distribution.ts';
import { epochStatement } from '../money/epoch.ts';
import type { FeeSettings } from '../money/fees.ts';
import { type BookCall, type EpochSummary, openMoney } from '../money/money.ts';
import { Corrections } from '../receipts/corrections.ts';
import { correctionStatement } from '../receipts/make_correction.ts';
import { receiptOf, type Settled, statementOf } from '../receipts/make_receipt.ts';
import { Answers } from './answers.ts';
import { type Pending, recordsAfter } from './journal.ts';
import { decodeGroup } from './protocol.ts';
import { type UsageQuery, usageOf } from './usage.ts';

export interface RoomsOptions {
  /** Made where it is not there. */
  folder: string;
  /** Of the ledger; undefined: the one that it has, or a new one. */
  name: string | undefined;
  fees: FeeSettings;
  /** Units that an account needs to be paid. */
  threshold: number;
  /** Where witnesses of the ledger are asked, and by which keys (C2SP vkeys) they are known. */
  witnesses: Array<{ url: string; key: string }>;
}

/** What is told to whoever runs the server, and what ends it. */
export interface Telling {
  warn(sentence: string): void;
  failed(error: unknown): void;
}

/** Whose response it must be; undefined: anyone's. */
export interface Named {
  response: string;
  tenant?: string;
}

const tables = `
  CREATE TABLE IF NOT EXISTS applied (one INTEGER PRIMARY KEY CHECK (one = 1), record INTEGER NOT NULL) STRICT;
  INSERT INTO applied VALUES (1, 0) ON CONFLICT DO NOTHING;
  CREATE TABLE IF NOT EXISTS receipts (
    idx INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    number INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    owed TEXT NOT NULL
  ) STRICT;
`;

/** Tiles and checkpoint are written at most so often, less while answers are being made: their syncs hold up the tokens of those. */
const publishMs = { idle: 1000, busy: 30_000 };

export type Rooms = ReturnType<typeof openRooms>;

/** Throws an Error with a sentence where it cannot be opened. */
export function openRooms({ folder, name, fees, threshold, witnesses }: RoomsOptions, tell: Telling) {
  mkdirSync(folder, { recursive: true });
  const db = openDatabase(join(folder, 'metering.db'));
  db.exec(tables);
  const answers = new Answers(db);
  const keys = installationKeys(folder, name);
  const published = join(folder, 'ledger');
  const ledger = new Ledger(db, published, keys);
  const corrections = new Corrections(db, fees);
  const books = openMoney(db, { currency: fees.currency, threshold });
  const insertReceipt = db.prepare(
    'INSERT INTO receipts (idx, id, number, envelope, owed) VALUES (?, ?, ?, ?, ?)',
  );
  const [begin, commit, rollback] = ['BEGIN IMMEDIATE', 'COMMIT', 'ROLLBACK'].map((sql) => db.prepare(sql));
  const setApplied = db.prepare('UPDATE applied SET record = ?');
  const setReceipt = db.prepare('UPDATE answers SET receipt = ? WHERE number = ?');

  /** All of it, or nothing; durable when it returns. */
  const transaction = <Result>(work: (undo: (step: () => void) => void) => Result): Result => {
    const undo: Array<() => void> = [];
    begin!.run();
    try {
      const result = work((step) => undo.push(step));
      commit!.run();
      return result;
    } catch (error) {
      if (db.inTransaction) rollback!.run();
      for (const step of undo.reverse()) step();
      throw error;
    }
  };

  /** The bytes of an envelope, and its line of the ledger, which tells nothing of it but its digest. */
  const signed = (what: Logged, statement: Uint8Array) => {
    const envelope = signEnvelope(statementPayload, statement, keys.signing);
    const bytes = envelopeBytes(envelope);
    return { bytes, entry: ledgerEntry(what, envelope, bytes) };
  };

  const cosigning = new Cosigning({
    folder: published,
    keys: () => keys.known,
    witnesses: witnesses.map(({ url, key }) => ({ url, key: parseVkey(key) })),
    refused: ({ url }, sentence) => tell.warn(`The witness at ${url} did not sign the ledger: ${sentence}`),
    failed(error) {
      // Where there was no room it is asked again once more is published.
      if (!isFull(error)) tell.failed(error);
    },
  });
  let publishing: NodeJS.Timeout | undefined;
  const publish = () => {
    clearTimeout(publishing);
    publishing = undefined;
    if (!ledger.signed()) return;
    try {
      ledger.publish();
      cosigning.wake();
      tidy(db);
    } catch (error) {
      // All of it is in the database: it is published once there is room. Anything else ends the server.
      if (!isFull(error)) throw error;
      publishing = setTimeout(publish, publishMs.busy);
    }
  };
  const publishSoon = () => {
    publishing ??= setTimeout(publish, answers.idle ? publishMs.idle : publishMs.busy);
  };

  const find = ({ response, tenant }: Named) =>
    db
      .prepare('SELECT number, ended, receipt FROM answers WHERE response = ? AND (? IS NULL OR tenant = ?)')
      .get(response, tenant ?? null, tenant ?? null) as
      | { number: number; ended: number | null; receipt: number | null }
      | undefined;

  const receiptFile = (idx: number) => {
    const envelope = db.prepare('SELECT envelope FROM receipts WHERE idx = ?').pluck().get(idx) as Buffer;
    return {
      format: 'colophon-receipt-v1' as const,
      envelope: JSON.parse(envelope.toString()),
      proof: ledger.inclusion(idx),
    };
  };

  const take = ({ records, last }: Pending, undo: (step: () => void) => void) => {
    for (const record of records) undo(answers.write(decodeGroup(record)).forget);
    setApplied.run(last);
  };

  const before = db.prepare('SELECT record FROM applied').pluck().get() as number;
  const records = recordsAfter(folder, before);
  const applied = before + records.length;
  transaction((undo) => {
    take({ records, last: applied }, undo);
    answers.cut(Date.now());
  });
  publish();
  return {
    opened: { next: answers.next, keys: keys.known.toJson(), applied },
    /** Records of the journal. */
    apply: (pending: Pending): void => transaction((undo) => take(pending, undo)),
    calls: {
      usage: (query: UsageQuery) => usageOf(db, query),
      unreceipted: (most: number) => answers.unreceipted(most),
      /** Signs receipts and logs them. */
      issue(asked: Array<{ number: number; settled: Settled }>): void {
        transaction(() => {
          const made = asked.map(({ number, settled }) => {
            const receipt = receiptOf(answers.finished(number)!, settled, fees);
            return { number, receipt, ...signed('receipt', statementOf(receipt)) };
          });
          const first = ledger.append(made.map(({ entry }) => entry));
          for (const [at, { number, receipt, bytes }] of made.entries()) {
            insertReceipt.run(first + at, receipt.id, number, bytes, JSON.stringify(receipt.owed));
            setReceipt.run(first + at, number);
          }
          ledger.checkpoint();
          books.count(asked.length);
        });
        publishSoon();
      },
      receipt(asked: Named) {
        const found = find(asked);
        if (!found) return undefined;
        if (found.receipt === null) return 'pending' as const;
        return { ...receiptFile(found.receipt), corrected: corrections.of(found.receipt) !== undefined };
      },
      /** How far the attributor's list of what was settled again is dealt with. */
      correctedTo: () => corrections.place,
      correctable: (response: string) => corrections.state(response),
      /** Signs corrections of responses that were settled again and logs them; `place`: the list is dealt with up to there. */
      correct({ place, settled }: { place: number; settled: Array<[string, SettledAgain]> }): void {
        transaction(() => {
          const made = settled.flatMap(([response, again]) => {
            const correction = corrections.make(response, again, Date.now());
            if (!correction) return [];
            const what: Logged = `correction of ${correction.receipt.entry}`;
            return [{ correction, ...signed(what, correctionStatement(correction)) }];
          });
          const first = ledger.append(made.map(({ entry }) => entry));
          for (const [at, { correction, bytes }] of made.entries())
            corrections.add(first + at, correction, bytes);
          if (made.length > 0) ledger.checkpoint();
          books.count(made.length);
          corrections.setPlace(place);
        });
        publishSoon();
      },
      /** The file of a response's correction, with that of its receipt; undefined where there is none. */
      correction(asked: Named) {
        const receipt = find(asked)?.receipt;
        const found = typeof receipt === 'number' ? corrections.of(receipt) : undefined;
        return (
          found && {
            format: 'colophon-correction-v1' as const,
            envelope: JSON.parse(found.envelope.toString()),
            proof: ledger.inclusion(found.idx),
            receipt: receiptFile(receipt as number),
          }
        );
      },
      opening(asked: Named) {
        const found = find(asked);
        return found && answers.opening(found.number);
      },
      erase(asked: Named): boolean {
        const found = find(asked);
        return (
          found !== undefined && found.receipt !== null && transaction(() => answers.erase(found.number))
        );
      },
      /** The proof that the ledger has an entry: c2sp.org/tlog-proof@v1. */
      proveEntry: (entry: number) => ledger.inclusion(entry),
      /** A new key signs from here on, the checkpoint of now first. */
      rotateKeys() {
        keys.rotate();
        transaction(() => ledger.checkpoint());
        publish();
        return keys.known.toJson();
      },
      forget: (ended: number) => transaction(() => answers.forget(ended)),
      /** Gives a frozen epoch its distribution, signs its statement and logs it. */
      finishEpoch({ epoch, file }: { epoch: number; file: DistributionFile | null }): EpochSummary {
        transaction(() => {
          const { bytes, entry } = signed('epoch', epochStatement(books.finish(epoch, file)));
          books.published(epoch, bytes.toString(), ledger.append([entry]));
          ledger.checkpoint();
        });
        publish();
        return books.epochs({ before: epoch + 1, limit: 1 })[0]!;
      },
      books: ({ call, given }: { call: BookCall; given: unknown[] }): unknown =>
        transaction(() => (books[call] as (...given: unknown[]) => unknown)(...given)),
      async close(): Promise<void> {
        await cosigning.stop();
        publish();
        clearTimeout(publishing);
        // Nor does it tell when the one fails that it makes as it closes.
        db.pragma('wal_checkpoint(TRUNCATE)');
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
      // SQLite tells nobody when a checkpoint fails that it makes by itself: tidy() makes them.
      'wal_autocheckpoint = 0',
    ])
      db.pragma(pragma);
    db.exec('BEGIN IMMEDIATE; COMMIT');
    // What the last process wrote and did not sync is written again, so that what was read of it stays.
    db.pragma('wal_checkpoint(TRUNCATE)');
  } catch (error) {
    db.close();
    if ((error as NodeJS.ErrnoException).code !== 'SQLITE_BUSY') throw error;
    throw new Error(
      `${path} is in use: another Colophon runs on the same data folder. Stop it, or choose another folder with --home.`,
    );
  }
  return db;
}

/** Pages of the write-ahead log that are written back at once. */
const mostPages = 4000;

function tidy(db: Database.Database): void {
  const [{ log }] = db.pragma('wal_checkpoint(NOOP)') as [{ log: number }];
  if (log > mostPages) db.pragma('wal_checkpoint(TRUNCATE)');
}
