/**
 * Answers and what they were settled to, in one SQLite file. An answer that ended is written with the others of the same few
 * milliseconds; one that was written is settled once, in this run or a later one.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { AgainReason } from '../../gateway/contract/index.ts';
import type { EndedAnswer } from './following.ts';
import type { GradientEvidence } from './gradients/worker.ts';
import type { Settlement } from './settle.ts';
import type { Span } from './spans.ts';

export type AnswerStatus = 'settling' | 'settled' | 'unattributed';

export interface AnswerRecord {
  seq: number;
  response: string;
  choice: number;
  tenant: string;
  /** The model's name. */
  model: string;
  /** Content hash of the adapter, and where it lies. */
  adapter: string;
  folder: string;
  /** Unix seconds. */
  created: number;
  finish: EndedAnswer['finish'];
  status: AnswerStatus;
  /** Why nobody is named. */
  reason: string | null;
  /** How many. */
  tokens: number;
  /** Null once they are no longer kept, or where nobody can be named. */
  evidence: { prompt: Int32Array; ids: Int32Array; state: Float32Array | null } | null;
  spans: Span[];
  settlement: Settlement | null;
  second: SecondLevel | null;
}

/** Of an answer that is to be settled by gradients too, or was: why, and what came of it. */
export interface SecondLevel {
  status: 'wanted' | 'done' | 'failed';
  why: AgainReason;
  /** Of a sample: that it was drawn. */
  probability?: number;
  /** Of a failure. */
  reason?: string;
  /** What it was settled by, and to before. */
  evidence?: GradientEvidence;
  first?: Settlement;
}

interface Row extends Omit<AnswerRecord, 'evidence' | 'spans' | 'settlement' | 'second'> {
  prompt: Buffer | null;
  ids: Buffer | null;
  state: Buffer | null;
  spans: string;
  settlement: string | null;
  second: string | null;
}

/** Answers that end within so many milliseconds of each other are written together. */
const gatherMs = 20;

const schema = `
  CREATE TABLE IF NOT EXISTS answers (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    response TEXT NOT NULL,
    choice INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    model TEXT NOT NULL,
    adapter TEXT NOT NULL,
    folder TEXT NOT NULL,
    created INTEGER NOT NULL,
    finish TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    tokens INTEGER NOT NULL,
    prompt BLOB,
    ids BLOB,
    state BLOB,
    spans TEXT NOT NULL,
    settlement TEXT,
    second TEXT,
    UNIQUE (response, choice)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS answers_to_settle ON answers (seq) WHERE status = 'settling';
  CREATE INDEX IF NOT EXISTS answers_to_settle_again ON answers (seq) WHERE second ->> 'status' = 'wanted';
  CREATE INDEX IF NOT EXISTS answers_with_evidence ON answers (created) WHERE ids IS NOT NULL;
  -- Each time a choice was settled again, or could not be.
  CREATE TABLE IF NOT EXISTS again (place INTEGER PRIMARY KEY AUTOINCREMENT, response TEXT NOT NULL) STRICT;
`;

export class Records {
  readonly #db: Database.Database;
  readonly #written: () => void;
  #ended: EndedAnswer[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** `folder`: made where it is not there. `written`: answers that are to be settled have come. */
  constructor(folder: string, written: () => void) {
    mkdirSync(folder, { recursive: true });
    this.#written = written;
    this.#db = new Database(join(folder, 'attribution.sqlite'));
    // What is written outlasts the process, not a power cut: a sync for each answer would hold up the tokens of all others for
    // milliseconds. What the answers said must not stay in free pages.
    for (const pragma of [
      'journal_mode = WAL',
      'synchronous = NORMAL',
      'secure_delete = ON',
      'busy_timeout = 5000',
    ])
      this.#db.pragma(pragma);
    this.#db.exec(schema);
  }

  add(answer: EndedAnswer): void {
    this.#ended.push(answer);
    this.#timer ??= setTimeout(() => this.flush(), gatherMs);
  }

  /** Writes what has ended. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const ended = this.#ended;
    if (ended.length === 0) return;
    this.#ended = [];
    const insert = this.#db.prepare(
      `INSERT INTO answers (response, choice, tenant, model, adapter, folder, created, finish, status, reason, tokens, prompt, ids, state, spans)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'settling', ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
    );
    this.#db.transaction(() => {
      for (const { response, choice, tenant, model, finish, reason, prompt, tokens, state, spans } of ended) {
        const named = reason === undefined;
        insert.run(
          response,
          choice,
          tenant,
          model.id,
          model.contentHash ?? '',
          model.root,
          Math.floor(Date.now() / 1000),
          finish,
          reason ?? null,
          tokens.length,
          named ? bytesOf(Int32Array.from(prompt)) : null,
          named ? bytesOf(tokens) : null,
          named && state ? bytesOf(state) : null,
          JSON.stringify(spans),
        );
      }
    })();
    this.#written();
  }

  /** The next that are to be settled, the oldest first. */
  unsettled(most: number): AnswerRecord[] {
    const rows = this.#db
      .prepare(`SELECT * FROM answers WHERE status = 'settling' ORDER BY seq LIMIT ?`)
      .all(most);
    return (rows as Row[]).map(recordOf);
  }

  /** Once; one that is settled already keeps what it was settled to. `second`: what it is to be by lot, or null. */
  settle(
    seq: number,
    status: 'settled' | 'unattributed',
    reason: string | null,
    settlement: Settlement,
    second: SecondLevel | null,
  ): void {
    this.#db
      .prepare(
        `UPDATE answers SET status = ?, reason = ?, settlement = ?, second = ? WHERE seq = ? AND status = 'settling'`,
      )
      .run(status, reason, JSON.stringify(settlement), second && JSON.stringify(second), seq);
  }

  /**
   * Marks settled answers as to be settled by gradients too, all at once; false where none is marked that was not already. Those
   * that wait because they were drawn wait because they are asked for.
   */
  want(seqs: readonly number[], second: SecondLevel): boolean {
    const update = this.#db.prepare(
      `UPDATE answers SET second = ? WHERE seq = ? AND status = 'settled' AND ids IS NOT NULL
         AND (second IS NULL OR second ->> 'status' = 'failed' OR (second ->> 'status' = 'wanted' AND second ->> 'why' = 'sample'))`,
    );
    const json = JSON.stringify(second);
    return (
      this.#db.transaction(() => seqs.reduce((all, seq) => all + update.run(json, seq).changes, 0))() > 0
    );
  }

  /** The next that is to be settled again: those that were asked for first. */
  wanted(): AnswerRecord | undefined {
    const row = this.#db
      .prepare(
        `SELECT * FROM answers WHERE second ->> 'status' = 'wanted' ORDER BY second ->> 'why' = 'sample', seq LIMIT 1`,
      )
      .get();
    return row === undefined ? undefined : recordOf(row as Row);
  }

  /** Once: what was settled a second time stays so. Why it is wanted may have changed meanwhile, and stays. */
  settleAgain(
    { seq, response }: Pick<AnswerRecord, 'seq' | 'response'>,
    outcome: Omit<SecondLevel, 'why' | 'probability'>,
    settlement: Settlement | null,
  ): void {
    const write = this.#db.transaction(() => {
      const wanted = this.#db
        .prepare(`SELECT second FROM answers WHERE seq = ? AND second ->> 'status' = 'wanted'`)
        .pluck()
        .get(seq) as string | undefined;
      if (wanted === undefined) return;
      this.#db
        .prepare('UPDATE answers SET second = ?, settlement = coalesce(?, settlement) WHERE seq = ?')
        .run(
          JSON.stringify({ ...JSON.parse(wanted), ...outcome }),
          settlement && JSON.stringify(settlement),
          seq,
        );
      this.#db.prepare('INSERT INTO again (response) VALUES (?)').run(response);
    });
    // Whoever is told keeps its place: after a power cut that must not be another's.
    this.#db.pragma('synchronous = FULL');
    try {
      write();
    } finally {
      this.#db.pragma('synchronous = NORMAL');
    }
  }

  /** Of which answers `settleAgain` was told, in that order, after a place. */
  settledAgain(place: number, most: number): Array<{ place: number; response: string }> {
    const rows = this.#db.prepare('SELECT place, response FROM again WHERE place > ? ORDER BY place LIMIT ?');
    return rows.all(place, most) as Array<{ place: number; response: string }>;
  }

  /** The choices of a response, as `tenant` may see them; any tenant's where it is undefined. */
  of(response: string, tenant: string | undefined): AnswerRecord[] {
    this.flush();
    const rows = this.#db
      .prepare(`SELECT * FROM answers WHERE response = ? AND (? IS NULL OR tenant = ?) ORDER BY choice`)
      .all(response, tenant ?? null, tenant ?? null);
    return (rows as Row[]).map(recordOf);
  }

  /** Of settled answers that ended before `created`, Unix seconds, forgets what they said. */
  forget(created: number): void {
    this.#db
      .prepare(
        `UPDATE answers SET prompt = NULL, ids = NULL, state = NULL WHERE ids IS NOT NULL AND created < ?
           AND status <> 'settling' AND coalesce(second ->> 'status', '') <> 'wanted'`,
      )
      .run(created);
  }

  close(): void {
    this.flush();
    this.#db.close();
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Int32Array | Float32Array) =>
  Buffer.from(buffer, byteOffset, byteLength);

function recordOf({ prompt, ids, state, spans, settlement, second, ...row }: Row): AnswerRecord {
  return {
    ...row,
    evidence: ids && {
      prompt: prompt ? new Int32Array(copyOf(prompt)) : new Int32Array(0),
      ids: new Int32Array(copyOf(ids)),
      state: state && new Float32Array(copyOf(state)),
    },
    spans: JSON.parse(spans),
    settlement: settlement === null ? null : JSON.parse(settlement),
    second: second === null ? null : JSON.parse(second),
  };
}

/** The bytes where numbers of four bytes may begin. */
const copyOf = (bytes: Buffer) => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
