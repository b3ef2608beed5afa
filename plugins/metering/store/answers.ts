/**
 * The record of every answer, in SQLite. What a step gave all answers is one row of `steps`, written with whatever began and ended in
 * the same moment; an answer that ended has its numbers in `answers`. What a process that died left open is cut by the next: all that was
 * recorded counts, for it may have left.
 */
import { randomBytes } from 'node:crypto';
import type { Database, Statement } from 'better-sqlite3';
import type { MeteredFinish } from '../../../gateway/contract/index.ts';
import type { AnswerAbout, BegunAnswer, EndedAnswer, Group } from './protocol.ts';
import { bytesOf, packLists, unpackLists, wordsOf } from './token_lists.ts';
import { runsOf, type TokenRun } from './token_runs.ts';

const schema = `
  CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY,
    response TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    model TEXT NOT NULL,
    adapter TEXT,
    about TEXT NOT NULL,
    began INTEGER NOT NULL,
    ended INTEGER,
    prompt_tokens INTEGER,
    cached_tokens INTEGER,
    completion_tokens INTEGER,
    generated_tokens INTEGER,
    choices TEXT,
    receipt INTEGER
  ) STRICT;
  CREATE INDEX IF NOT EXISTS answers_open ON answers (number) WHERE ended IS NULL;
  CREATE INDEX IF NOT EXISTS answers_to_receipt ON answers (number) WHERE ended IS NOT NULL AND receipt IS NULL;
  CREATE INDEX IF NOT EXISTS answers_by_time ON answers (ended);
  CREATE TABLE IF NOT EXISTS steps (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    tokens BLOB NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS openings (
    number INTEGER PRIMARY KEY REFERENCES answers (number),
    salt BLOB NOT NULL,
    prompts BLOB NOT NULL,
    grammars TEXT NOT NULL,
    outputs BLOB
  ) STRICT;
`;

/** How a choice ended, as it is kept. */
export interface EndedChoice {
  cached: number;
  generated: number;
  handed: number;
  finish: MeteredFinish;
}

/** One that ended, with what its receipt commits to. */
export interface FinishedAnswer {
  number: number;
  about: AnswerAbout;
  began: number;
  ended: number;
  usage: { prompt_tokens: number; cached_tokens: number; completion_tokens: number };
  choices: EndedChoice[];
  opening: Opening | undefined;
}

/** What commitments are opened with; gone once its owner wants it so, or its time is over. */
export interface Opening {
  /** Hex, 32 bytes. */
  salt: string;
  /** Token ids by prompt, and those that left by choice. */
  prompts: number[][];
  outputs: number[][];
  /** JSON of those that choices were kept to. */
  grammars: string[];
}

interface OpenAnswer {
  about: AnswerAbout;
  promptLengths: number[];
  /** The first row of `steps` that it may be in. */
  first: number;
  choices: Array<{ cached: number; ids: number[] }>;
  /** When it had its last tokens; 0: not yet. */
  lastAt: number;
}

export class Answers {
  readonly #db: Database;
  readonly #open = new Map<number, OpenAnswer>();
  readonly #insert: Record<'answer' | 'opening' | 'step', Statement>;
  readonly #end: Record<'answer' | 'opening', Statement>;
  readonly #read: Record<'unreceipted' | 'finished' | 'opening', Statement>;
  /** Those that were listed last: what ended does not change. */
  #listed = new Map<number, FinishedAnswer>();
  #lastStep: number;
  #keptFrom: number;

  constructor(db: Database) {
    this.#db = db;
    db.exec(schema);
    this.#lastStep = Number(db.prepare('SELECT coalesce(max(seq), 0) FROM steps').pluck().get());
    this.#keptFrom = Number(db.prepare('SELECT coalesce(min(seq), 1) FROM steps').pluck().get());
    this.#insert = {
      answer: db.prepare(
        'INSERT INTO answers (number, response, tenant, key, model, adapter, about, began) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      ),
      opening: db.prepare('INSERT INTO openings (number, salt, prompts, grammars) VALUES (?, ?, ?, ?)'),
      step: db.prepare('INSERT INTO steps (seq, at, tokens) VALUES (?, ?, ?)'),
    };
    this.#end = {
      answer: db.prepare(
        `UPDATE answers SET ended = ?, prompt_tokens = ?, cached_tokens = ?, completion_tokens = ?, generated_tokens = ?, choices = ?
         WHERE number = ? AND ended IS NULL`,
      ),
      opening: db.prepare('UPDATE openings SET outputs = ? WHERE number = ?'),
    };
    this.#read = {
      unreceipted: db.prepare(
        'SELECT * FROM answers WHERE ended IS NOT NULL AND receipt IS NULL ORDER BY number LIMIT ?',
      ),
      finished: db.prepare('SELECT * FROM answers WHERE number = ? AND ended IS NOT NULL'),
      opening: db.prepare(
        'SELECT salt, prompts, grammars, outputs FROM openings WHERE number = ? AND outputs IS NOT NULL',
      ),
    };
    this.#load();
  }

  /** The number that none has yet; whoever begins answers counts on from it. */
  get next(): number {
    return Number(this.#db.prepare('SELECT coalesce(max(number), 0) FROM answers').pluck().get()) + 1;
  }

  /** Whether no answer is being made: nobody waits for a record. */
  get idle(): boolean {
    return this.#open.size === 0;
  }

  /** Writes a group, in the caller's transaction; `forget` undoes what it left in memory where that fails. */
  write({ at, begun, tokens, ended }: Group): { forget(): void } {
    const undo: Array<() => void> = [];
    const forget = () => {
      for (const step of undo.reverse()) step();
    };
    try {
      for (const answer of begun) this.#begin(answer, undo);
      if (tokens.length > 0) {
        const before = this.#lastStep;
        undo.push(() => {
          this.#lastStep = before;
        });
        this.#insert.step.run(before + 1, at, bytesOf(tokens));
        this.#lastStep = before + 1;
        for (const run of runsOf(tokens)) this.#take(run, at, undo);
      }
      for (const answer of ended) this.#finish(answer, undo);
      if (ended.length > 0) this.#sweep(undo);
    } catch (error) {
      forget();
      throw error;
    }
    return { forget };
  }

  /** Those that ended and have no receipt, the oldest first; without what opens them. */
  unreceipted(most: number): FinishedAnswer[] {
    const answers = (this.#read.unreceipted.all(most) as AnswerRow[]).map((row) =>
      finishedOf(row, undefined),
    );
    this.#listed = new Map(answers.map((answer) => [answer.number, answer]));
    return answers;
  }

  finished(number: number): FinishedAnswer | undefined {
    const listed = this.#listed.get(number);
    if (listed) return { ...listed, opening: this.opening(number) };
    const row = this.#read.finished.get(number) as AnswerRow | undefined;
    return row && finishedOf(row, this.opening(number));
  }

  opening(number: number): Opening | undefined {
    const row = this.#read.opening.get(number) as
      | { salt: Buffer; prompts: Buffer; grammars: string; outputs: Buffer }
      | undefined;
    if (!row) return undefined;
    return {
      salt: row.salt.toString('hex'),
      prompts: unpackLists(row.prompts),
      outputs: unpackLists(row.outputs),
      grammars: JSON.parse(row.grammars),
    };
  }

  /** Forgets what commitments of answers that ended before are opened with; those without a receipt keep it. */
  forget(ended: number): number {
    return this.#db
      .prepare(
        'DELETE FROM openings WHERE number IN (SELECT number FROM answers WHERE ended < ? AND receipt IS NOT NULL)',
      )
      .run(ended).changes;
  }

  /** The same of one answer. */
  erase(number: number): boolean {
    return this.#db.prepare('DELETE FROM openings WHERE number = ?').run(number).changes > 0;
  }

  /** Ends what an earlier process left open, in the caller's transaction. */
  cut(now: number): void {
    for (const [number, { choices, lastAt }] of [...this.#open]) {
      const cut = choices.map(({ ids }) => ({
        made: ids.length,
        handed: ids.length,
        finish: 'cut' as const,
      }));
      this.#finish({ number, ended: lastAt || now, choices: cut }, []);
    }
    this.#db.prepare('DELETE FROM steps').run();
    this.#keptFrom = this.#lastStep + 1;
  }

  #begin({ number, about, prompts, grammars, began }: BegunAnswer, undo: Array<() => void>): void {
    const { response, tenant, key, model, adapter } = about;
    this.#insert.answer.run(
      number,
      response,
      tenant,
      key,
      model,
      adapter?.sha256 ?? null,
      JSON.stringify(about),
      began,
    );
    this.#insert.opening.run(number, randomBytes(32), packLists(prompts), JSON.stringify(grammars));
    this.#open.set(number, {
      about,
      promptLengths: prompts.map(({ length }) => length),
      first: this.#lastStep + 1,
      choices: about.choices.map(() => ({ cached: 0, ids: [] })),
      lastAt: 0,
    });
    undo.push(() => this.#open.delete(number));
  }

  #take({ number, choice, cached, ids }: TokenRun, at: number, undo: Array<() => void>): void {
    const answer = this.#open.get(number);
    const kept = answer?.choices[choice];
    // What began it could not be written; its meter failed with that, and lets nothing out.
    if (!kept) return;
    const before = { lastAt: answer!.lastAt, cached: kept.cached, length: kept.ids.length };
    answer!.lastAt = at;
    kept.cached = cached;
    for (const id of ids) kept.ids.push(id);
    undo.push(() => {
      answer!.lastAt = before.lastAt;
      kept.cached = before.cached;
      kept.ids.length = before.length;
    });
  }

  #finish({ number, ended, choices }: EndedAnswer, undo: Array<() => void>): void {
    const answer = this.#open.get(number);
    // It was ended already, or what began it could not be written.
    if (!answer) return;
    const kept: EndedChoice[] = answer.choices.map(({ cached, ids }, at) => {
      const { made, handed, finish } = choices[at]!;
      const generated = Math.min(made, ids.length);
      return { cached, generated, handed: Math.min(handed, generated), finish };
    });
    const sum = (numbers: number[]) => numbers.reduce((all, one) => all + one, 0);
    // A prompt counts once, whatever came of it.
    const firsts = answer.promptLengths.map((_, prompt) =>
      answer.about.choices.findIndex((choice) => choice.prompt === prompt),
    );
    this.#end.answer.run(
      ended,
      sum(answer.promptLengths),
      sum(firsts.map((at) => kept[at]!.cached)),
      sum(kept.map(({ handed }) => handed)),
      sum(kept.map(({ generated }) => generated)),
      JSON.stringify(kept),
      number,
    );
    const outputs = answer.choices.map(({ ids }, at) => ids.slice(0, kept[at]!.handed));
    this.#end.opening.run(packLists(outputs), number);
    this.#open.delete(number);
    undo.push(() => this.#open.set(number, answer));
  }

  /** Steps that only answers have which ended are of no more use. */
  #sweep(undo: Array<() => void>): void {
    let from = this.#lastStep + 1;
    for (const { first } of this.#open.values()) from = Math.min(from, first);
    // A delete for each answer that ends would cost more than the rows do.
    if (from - this.#keptFrom < 256 && this.#open.size > 0) return;
    this.#db.prepare('DELETE FROM steps WHERE seq < ?').run(from);
    const before = this.#keptFrom;
    this.#keptFrom = from;
    undo.push(() => {
      this.#keptFrom = before;
    });
  }

  /** What an earlier process left open, as far as it was applied. */
  #load(): void {
    const rows = this.#db
      .prepare(
        `SELECT number, about, prompts FROM answers LEFT JOIN openings USING (number) WHERE ended IS NULL ORDER BY number`,
      )
      .all() as Array<{ number: number; about: string; prompts: Buffer }>;
    for (const { number, about, prompts } of rows) {
      const known = JSON.parse(about) as AnswerAbout;
      this.#open.set(number, {
        about: known,
        promptLengths: unpackLists(prompts).map(({ length }) => length),
        first: 0,
        choices: known.choices.map(() => ({ cached: 0, ids: [] })),
        lastAt: 0,
      });
    }
    const steps = this.#db
      .prepare('SELECT at, tokens FROM steps ORDER BY seq')
      .iterate() as IterableIterator<{
      at: number;
      tokens: Buffer;
    }>;
    for (const { at, tokens } of steps) for (const run of runsOf(wordsOf(tokens))) this.#take(run, at, []);
  }
}

interface AnswerRow {
  number: number;
  about: string;
  began: number;
  ended: number;
  prompt_tokens: number;
  cached_tokens: number;
  completion_tokens: number;
  choices: string;
}

const finishedOf = (row: AnswerRow, opening: Opening | undefined): FinishedAnswer => ({
  number: row.number,
  about: JSON.parse(row.about),
  began: row.began,
  ended: row.ended,
  usage: {
    prompt_tokens: row.prompt_tokens,
    cached_tokens: row.cached_tokens,
    completion_tokens: row.completion_tokens,
  },
  choices: JSON.parse(row.choices),
  opening,
});
