/**
 * What the API keeps for its callers beyond an answer: responses, stored completions, files, batches. One SQLite file of JSON
 * objects by kind, tenant and id; nobody sees another tenant's. Contents of files lie beside it (content_folder.ts).
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { ColophonError } from '../contract/index.ts';

export type ObjectKind = 'response' | 'background_response' | 'chat_completion' | 'file' | 'upload' | 'batch';

export interface ListOptions {
  /** Id of the object after which the page begins; it must be there. */
  after?: string | undefined;
  /** Ends before this one. */
  before?: string | undefined;
  /** At least 1. */
  limit: number;
  /** By the time of creation. */
  order: 'asc' | 'desc';
  /** Only those whose body has these values at its top level or, by a path as `metadata.key`, below it. */
  where?: Record<string, string>;
}

export interface Page<Body> {
  data: Body[];
  hasMore: boolean;
}

interface Row {
  seq: number;
  body: string;
}

const schema = `
  CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    expires INTEGER,
    body TEXT NOT NULL,
    UNIQUE (kind, tenant, id)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS objects_by_age ON objects (kind, tenant, seq);
  CREATE INDEX IF NOT EXISTS objects_by_expiry ON objects (expires) WHERE expires IS NOT NULL;
`;

export class ObjectStore {
  readonly #db: Database.Database;
  readonly #statements = new Map<string, Database.Statement>();

  /** `folder`: made where it is not there; ":memory:": nothing outlasts the process. */
  constructor(folder: string) {
    if (folder !== ':memory:') mkdirSync(folder, { recursive: true });
    this.#db = new Database(folder === ':memory:' ? folder : join(folder, 'gateway.sqlite'));
    this.#db.pragma('journal_mode = WAL');
    this.#db.pragma('synchronous = NORMAL');
    this.#db.pragma('busy_timeout = 5000');
    this.#db.exec(schema);
  }

  /** Saves an object, in place of one of the same id; that keeps its place in lists. `expires`: Unix seconds. */
  put(kind: ObjectKind, tenant: string, id: string, body: object, expires?: number): void {
    this.#prepare(
      `INSERT INTO objects (kind, tenant, id, expires, body) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (kind, tenant, id) DO UPDATE SET body = excluded.body, expires = excluded.expires`,
    ).run(kind, tenant, id, expires ?? null, JSON.stringify(body));
  }

  get<Body>(kind: ObjectKind, tenant: string, id: string): Body | undefined {
    const row = this.#prepare(
      'SELECT body FROM objects WHERE kind = ? AND tenant = ? AND id = ? AND (expires IS NULL OR expires > ?)',
    ).get(kind, tenant, id, now()) as Row | undefined;
    return row && JSON.parse(row.body);
  }

  /** Replaces an object by what `change` makes of it, all at once; undefined where there is none. */
  change<Body extends object>(
    kind: ObjectKind,
    tenant: string,
    id: string,
    change: (body: Body) => Body,
  ): Body | undefined {
    return this.#db
      .transaction(() => {
        const body = this.get<Body>(kind, tenant, id);
        if (body === undefined) return undefined;
        const changed = change(body);
        this.#prepare('UPDATE objects SET body = ? WHERE kind = ? AND tenant = ? AND id = ?').run(
          JSON.stringify(changed),
          kind,
          tenant,
          id,
        );
        return changed;
      })
      .immediate();
  }

  /** False where there was none. */
  delete(kind: ObjectKind, tenant: string, id: string): boolean {
    const run = this.#prepare('DELETE FROM objects WHERE kind = ? AND tenant = ? AND id = ?');
    return run.run(kind, tenant, id).changes > 0;
  }

  /** A page of a tenant's objects. Throws ColophonError where `after` or `before` is unknown. */
  list<Body>(kind: ObjectKind, tenant: string, options: ListOptions): Page<Body> {
    const { after, before, limit, order, where = {} } = options;
    const conditions = ['kind = ?', 'tenant = ?', '(expires IS NULL OR expires > ?)'];
    const values: Array<string | number> = [kind, tenant, now()];
    const edge = (id: string, param: string, comparison: string) => {
      const row = this.#prepare('SELECT seq FROM objects WHERE kind = ? AND tenant = ? AND id = ?').get(
        kind,
        tenant,
        id,
      ) as Row | undefined;
      if (!row) {
        throw new ColophonError(`There is no ${kind.replace('_', ' ')} with the id '${id.slice(0, 100)}'.`, {
          param,
          code: 'invalid_value',
        });
      }
      conditions.push(`seq ${comparison} ?`);
      values.push(row.seq);
    };
    if (after !== undefined) edge(after, 'after', order === 'asc' ? '>' : '<');
    if (before !== undefined) edge(before, 'before', order === 'asc' ? '<' : '>');
    for (const [path, value] of Object.entries(where)) {
      conditions.push('json_extract(body, ?) = ?');
      values.push(jsonPath(path), value);
    }
    const rows = this.#prepare(
      `SELECT body FROM objects WHERE ${conditions.join(' AND ')} ORDER BY seq ${order} LIMIT ?`,
    ).all(...values, limit + 1) as Row[];
    return { data: rows.slice(0, limit).map((row) => JSON.parse(row.body)), hasMore: rows.length > limit };
  }

  /** Every tenant's objects of a kind, oldest first: what a start picks up again. */
  all<Body>(kind: ObjectKind): Array<{ tenant: string; body: Body }> {
    const rows = this.#prepare('SELECT tenant, body FROM objects WHERE kind = ? ORDER BY seq').all(
      kind,
    ) as Array<Row & { tenant: string }>;
    return rows.map(({ tenant, body }) => ({ tenant, body: JSON.parse(body) }));
  }

  /** Sum of a number that a tenant's objects of a kind have at the top of their bodies. */
  sum(kind: ObjectKind, tenant: string, name: string): number {
    const row = this.#prepare(
      'SELECT coalesce(sum(json_extract(body, ?)), 0) AS n FROM objects WHERE kind = ? AND tenant = ?',
    ).get(jsonPath(name), kind, tenant) as { n: number };
    return row.n;
  }

  /** Objects of a kind of all tenants. */
  count(kind: ObjectKind): number {
    const row = this.#prepare('SELECT count(*) AS n FROM objects WHERE kind = ?').get(kind) as { n: number };
    return row.n;
  }

  /** Forgets what has expired; tells what it was. */
  purge(): Array<{ kind: ObjectKind; tenant: string; id: string }> {
    return this.#prepare('DELETE FROM objects WHERE expires <= ? RETURNING kind, tenant, id').all(
      now(),
    ) as Array<{ kind: ObjectKind; tenant: string; id: string }>;
  }

  close(): void {
    this.#db.close();
  }

  #prepare(sql: string): Database.Statement {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      // Lists make few shapes; `where` of many keys makes more than are worth keeping.
      if (this.#statements.size < 64) this.#statements.set(sql, statement);
    }
    return statement;
  }
}

function jsonPath(path: string): string {
  const dot = path.indexOf('.');
  const names = dot < 0 ? [path] : [path.slice(0, dot), path.slice(dot + 1)];
  return `$${names.map((name) => `.${JSON.stringify(name)}`).join('')}`;
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
