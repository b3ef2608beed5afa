/** Opens the store of Datanets that the config names. */
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { DatanetStore } from './datanet_store.ts';
import { migrate, type SqlKind, type Tables } from './schema.ts';
import { forgetDatanet } from './sql/erasure.ts';
import { sqlStore } from './sql_store.ts';
import { sqliteDialect } from './sqlite_dialect.ts';
import { storeError } from './store_error.ts';

/** `path` of a file, whose folder is made where it is not there; `url`: postgres://user:password@host:port/database. */
export type StoreConfig = { kind: 'sqlite'; path: string } | { kind: 'postgres'; url: string };

/** Brings its schema up to date, and ends deletions that a crash cut short. */
export async function openStore(config: StoreConfig): Promise<DatanetStore> {
  const db = new Kysely<Tables>({
    dialect: config.kind === 'sqlite' ? sqliteDialect(config.path) : postgresDialect(config.url),
  });
  try {
    await migrate(db, config.kind);
    await goOnDeleting(db, config.kind);
    return sqlStore({ db, kind: config.kind });
  } catch (error) {
    await db.destroy();
    throw storeError(error);
  }
}

const int8 = 20;

function postgresDialect(url: string): PostgresDialect {
  const pool = new pg.Pool({
    connectionString: url,
    max: 8,
    connectionTimeoutMillis: 10_000,
    // Counts and byte sizes stay far below 2^53.
    types: {
      getTypeParser: (type: number, format?: 'text') =>
        type === int8 ? Number : pg.types.getTypeParser(type, format),
    } as never,
  });
  // An idle connection that breaks is replaced by the next query; unheard, it would end the process.
  pool.on('error', () => {});
  return new PostgresDialect({ pool });
}

async function goOnDeleting(db: Kysely<Tables>, kind: SqlKind): Promise<void> {
  const gone = await db.selectFrom('datanets').select('id').where('gone', '=', 1).execute();
  for (const { id } of gone) await forgetDatanet({ db, kind }, id as string);
}
