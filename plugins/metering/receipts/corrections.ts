/** Corrections as the thread that owns the database keeps them: at most one of a receipt, each an entry of the ledger. */
import { createHash } from 'node:crypto';
import type { Database, Statement } from 'better-sqlite3';
import type { SettledAgain } from '../../../gateway/contract/index.ts';
import type { Envelope } from '../keys/dsse.ts';
import type { FeeSettings } from '../money/fees.ts';
import type { Correction } from './correction.ts';
import { correctionOf } from './make_correction.ts';

/** Beside `receipts (idx, id, envelope, owed)`; `receipt` is the entry of the one that is corrected. */
export const correctionsTable = `
  CREATE TABLE IF NOT EXISTS corrections (
    idx INTEGER PRIMARY KEY,
    receipt INTEGER NOT NULL UNIQUE REFERENCES receipts (idx),
    envelope BLOB,
    changes TEXT NOT NULL
  ) STRICT;
  -- How far the attributor's list of what was settled again is dealt with.
  CREATE TABLE IF NOT EXISTS corrected_to (one INTEGER PRIMARY KEY CHECK (one = 1), place INTEGER NOT NULL) STRICT;
  INSERT INTO corrected_to VALUES (1, 0) ON CONFLICT DO NOTHING;
`;

/** Whether a response can have a correction: not before its receipt, and not twice. */
export type Correctable = 'yes' | 'not yet' | 'no';

export class Corrections {
  readonly #fees: FeeSettings;
  readonly #receipt: Statement<[string]>;
  readonly #state: Statement<[string]>;
  readonly #insert: Statement<[number, number, Uint8Array, string]>;
  readonly #of: Statement<[number]>;
  readonly #place: Statement<[]>;
  readonly #setPlace: Statement<[number]>;

  /** Makes its tables where they are not there; after those of answers and receipts. */
  constructor(db: Database, fees: FeeSettings) {
    db.exec(correctionsTable);
    this.#fees = fees;
    this.#receipt = db.prepare('SELECT idx, envelope FROM receipts WHERE id = ?');
    this.#state = db.prepare(
      `SELECT answers.receipt, corrections.idx FROM answers LEFT JOIN corrections ON corrections.receipt = answers.receipt
       WHERE response = ?`,
    );
    this.#insert = db.prepare(
      'INSERT INTO corrections (idx, receipt, envelope, changes) VALUES (?, ?, ?, ?)',
    );
    this.#of = db.prepare('SELECT idx, envelope FROM corrections WHERE receipt = ?');
    this.#place = db.prepare('SELECT place FROM corrected_to').pluck();
    this.#setPlace = db.prepare('UPDATE corrected_to SET place = ?');
  }

  get place(): number {
    return this.#place.get() as number;
  }

  /** In the transaction that keeps the corrections up to there. */
  setPlace(place: number): void {
    this.#setPlace.run(place);
  }

  state(response: string): Correctable {
    const row = this.#state.get(response) as { receipt: number | null; idx: number | null } | undefined;
    if (!row || row.idx !== null) return 'no';
    return row.receipt === null ? 'not yet' : 'yes';
  }

  /** Undefined where it has one, or would change nothing that its receipt has. `now`: Unix milliseconds. */
  make(response: string, again: SettledAgain, now: number): Correction | undefined {
    if (this.state(response) !== 'yes') return undefined;
    const { idx, envelope } = this.#receipt.get(response) as { idx: number; envelope: Buffer };
    const { payload } = JSON.parse(envelope.toString()) as Envelope;
    const { predicate } = JSON.parse(Buffer.from(payload, 'base64').toString());
    const sha256 = createHash('sha256').update(envelope).digest('hex');
    const { name } = predicate.model;
    const { models } = this.#fees;
    const owner = (Object.hasOwn(models, name) ? models[name]!.owner : undefined) ?? name;
    return correctionOf(predicate, { id: response, entry: idx, sha256 }, again, now, owner);
  }

  /** `idx`: its entry of the ledger; `envelope`: as its digest is of it. */
  add(idx: number, { receipt, changes }: Correction, envelope: Uint8Array): void {
    this.#insert.run(idx, receipt.entry, envelope, JSON.stringify(changes));
  }

  /** Of the receipt that is an entry of the ledger. */
  of(receipt: number): { idx: number; envelope: Buffer } | undefined {
    return this.#of.get(receipt) as { idx: number; envelope: Buffer } | undefined;
  }
}
