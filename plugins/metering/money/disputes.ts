/** Disputes over receipts: while one is open, and where it is upheld, nobody is credited with the receipt's amounts. */
import type { Database } from 'better-sqlite3';
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { disputeStates } from './epoch.ts';

export type DisputeState = (typeof disputeStates)[number];

export interface Dispute {
  id: number;
  /** Id of the receipt, and its entry of the ledger. */
  receipt: string;
  idx: number;
  reason: string;
  opened_by: string;
  /** Unix milliseconds. */
  opened_at: number;
  state: DisputeState;
  resolution: string | null;
  resolved_by: string | null;
  resolved_at: number | null;
  /** The entry of its receipt's correction; null: it has none. */
  correction: number | null;
}

export interface Opening {
  receipt: string;
  reason: string;
  by: string;
  at: number;
}

export interface Resolving {
  id: number;
  state: 'rejected' | 'upheld';
  resolution: string;
  by: string;
  at: number;
}

const columns = `id, receipt, idx, reason, opened_by, opened_at, state, resolution, resolved_by, resolved_at,
  (SELECT idx FROM corrections WHERE corrections.receipt = payout_disputes.idx) AS correction`;

export class Disputes {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Throws ColophonError where there is no such receipt, or it is in dispute already. One that was resolved may be disputed anew. */
  open({ receipt, reason, by, at }: Opening): Dispute {
    return this.#db.transaction(() => {
      const idx = this.#db.prepare('SELECT idx FROM receipts WHERE id = ?').pluck().get(receipt);
      if (idx === undefined)
        throw new ColophonError(`There is no receipt '${receipt.slice(0, 100)}'.`, {
          type: 'not_found_error',
          code: 'receipt_not_found',
        });
      const open = this.#db
        .prepare(`SELECT id FROM payout_disputes WHERE idx = ? AND state = 'open'`)
        .pluck()
        .get(idx);
      if (open !== undefined)
        throw new ColophonError(
          `The receipt '${receipt}' is in dispute already: resolve dispute ${open} first.`,
          { type: 'conflict_error', code: 'dispute_open' },
        );
      const { lastInsertRowid } = this.#db
        .prepare(
          `INSERT INTO payout_disputes (receipt, idx, reason, opened_by, opened_at, state) VALUES (?, ?, ?, ?, ?, 'open')`,
        )
        .run(receipt, idx, reason, by, at);
      return this.get(Number(lastInsertRowid));
    })();
  }

  /** Throws ColophonError where there is no such dispute, or it is resolved. */
  resolve({ id, state, resolution, by, at }: Resolving): Dispute {
    return this.#db.transaction(() => {
      const dispute = this.get(id);
      if (dispute.state !== 'open')
        throw new ColophonError(
          `Dispute ${id} is ${dispute.state} already. Open another over the receipt '${dispute.receipt}' to change that.`,
          { type: 'conflict_error', code: 'dispute_resolved' },
        );
      this.#db
        .prepare(
          'UPDATE payout_disputes SET state = ?, resolution = ?, resolved_by = ?, resolved_at = ?, told = 0 WHERE id = ?',
        )
        .run(state, resolution, by, at, id);
      return this.get(id);
    })();
  }

  /** Throws ColophonError where there is none. */
  get(id: number): Dispute {
    const row = this.#db.prepare(`SELECT ${columns} FROM payout_disputes WHERE id = ?`).get(id);
    if (row !== undefined) return row as Dispute;
    throw new ColophonError(`There is no dispute ${id}.`, {
      type: 'not_found_error',
      code: 'payout_not_found',
    });
  }

  /** The newest first, of ids below `before`. */
  list({ state, before, limit }: { state?: DisputeState; before?: number; limit: number }): Dispute[] {
    return this.#db
      .prepare(
        `SELECT ${columns} FROM payout_disputes WHERE id < ? AND ${state === undefined ? '? IS NULL' : 'state = ?'}
         ORDER BY id DESC LIMIT ?`,
      )
      .all(before ?? Number.MAX_SAFE_INTEGER, state ?? null, limit) as Dispute[];
  }

  /** Those that no closed epoch has in the state in which they are, by id. */
  untold(): Dispute[] {
    return this.#db
      .prepare(`SELECT ${columns} FROM payout_disputes WHERE told = 0 ORDER BY id`)
      .all() as Dispute[];
  }

  /** An epoch has them all. */
  tell(): void {
    this.#db.prepare('UPDATE payout_disputes SET told = 1 WHERE told = 0').run();
  }
}
