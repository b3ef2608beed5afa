/** What the queries of all rooms of a Datanet share. */
import type { Kysely, Transaction } from 'kysely';
import { ColophonError } from '../../../../gateway/contract/index.ts';
import { bytes, hex } from '../codec.ts';
import type { Page, PageOptions } from '../datanet_store.ts';
import type { SqlKind, Tables } from '../schema.ts';

export interface Sql {
  db: Kysely<Tables>;
  kind: SqlKind;
}

export type Queries = Kysely<Tables> | Transaction<Tables>;

/**
 * Rows that one statement writes or one batch reads. SQLite works on the server's own thread: a transaction of this many rows
 * keeps it for some milliseconds, and nobody's tokens wait longer.
 */
export const batchRows = 1_000;

/** The batch in pieces that fit a statement: SQLite takes 32,766 parameters. */
export function* pieces<T>(rows: readonly T[], columns: number): Generator<T[]> {
  const size = Math.min(batchRows, Math.floor(32_000 / columns));
  for (let at = 0; at < rows.length; at += size) yield rows.slice(at, at + size);
}

export type EntityTable = 'datanets' | 'contributors' | 'contributions' | 'snapshots' | 'jobs';

/** The number of an entity. Throws ColophonError where there is none. */
export async function ordOf(
  db: Queries,
  table: EntityTable,
  id: string,
  param: string | null = null,
): Promise<number> {
  const row = await db.selectFrom(table).select('ord').where('id', '=', id).executeTakeFirst();
  if (row) return row.ord;
  throw new ColophonError(`There is no ${table.slice(0, -1)} with the id '${id.slice(0, 100)}'.`, {
    param,
    code: 'invalid_value',
  });
}

type Cell = string | number | Uint8Array | null;

/**
 * A page of entities in the order in which they came, after the one with the id `after`, which must be there. `where`: values
 * that they have in columns, or lists of such; undefined ones ask for nothing.
 */
export async function pageOf<T>(
  db: Queries,
  table: EntityTable,
  where: Record<string, Cell | Cell[] | undefined>,
  { after, limit }: PageOptions,
  decode: (row: object) => T,
): Promise<Page<T>> {
  const any = db as unknown as Kysely<Record<string, Record<string, Cell>>>;
  let query = any
    .selectFrom(table)
    .selectAll()
    .orderBy('ord')
    .limit(limit + 1);
  // PostgreSQL knows no empty list.
  if (Object.values(where).some((value) => Array.isArray(value) && value.length === 0)) return cut([], limit);
  if (after !== undefined) query = query.where('ord', '>', await ordOf(db, table, String(after), 'after'));
  for (const [column, value] of Object.entries(where)) {
    if (Array.isArray(value)) query = query.where(column, 'in', value);
    else if (value !== undefined) query = query.where(column, '=', value);
  }
  return cut((await query.execute()).map(decode), limit);
}

/** A page of what was read with one more than `limit`. */
export function cut<T>(found: T[], limit: number): Page<T> {
  return { data: found.slice(0, limit), hasMore: found.length > limit };
}

/** Numbers of blobs by their hashes; those that are new are entered. */
export async function blobOrds(db: Queries, hashes: Iterable<string>): Promise<Map<string, number>> {
  const unique = [...new Set(hashes)].map(bytes);
  const ords = new Map<string, number>();
  for (const some of pieces(unique, 1)) {
    await db
      .insertInto('blobs')
      .values(some.map((sha256) => ({ sha256 })))
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const rows = await db.selectFrom('blobs').selectAll().where('sha256', 'in', some).execute();
    for (const row of rows) ords.set(hex(row.sha256), row.ord);
  }
  return ords;
}
