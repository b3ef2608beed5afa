/** SQLite for kysely, opened so that what is written lasts and what is erased is gone, beside other processes. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { CompiledQuery, type DatabaseConnection, type Driver, SqliteDialect } from 'kysely';

const pragmas = [
  'journal_mode = WAL',
  // Durable when a write resolves, even through a power cut.
  'synchronous = FULL',
  // Erased text does not stay in free pages.
  'secure_delete = ON',
  'foreign_keys = ON',
  // KiB, negative: the indices of a million examples are written at random places.
  'cache_size = -65536',
  // SQLite would wait for another process on this thread, with every request behind it: `patient` waits instead.
  'busy_timeout = 0',
];

/** The longest wait for another process, ms. Ours hold the lock for some milliseconds. */
const patience = 10_000;

/** The file's folder is made where it is not there. */
export function sqliteDialect(path: string): SqliteDialect {
  mkdirSync(dirname(path), { recursive: true });
  return new PatientSqlite({
    async database() {
      const database = await patient(() => new Database(path, { timeout: 0 }));
      for (const pragma of pragmas) await patient(() => database.pragma(pragma));
      return database;
    },
  });
}

/** What `attempt` gives, once no other process holds the database. */
export async function patient<T>(attempt: () => T | Promise<T>): Promise<T> {
  for (const until = Date.now() + patience; ; ) {
    try {
      return await attempt();
    } catch (error) {
      // A statement that was refused so has done nothing.
      if (!String((error as { code?: string }).code).startsWith('SQLITE_BUSY') || Date.now() > until)
        throw error;
      await sleep(1 + Math.random() * 10);
    }
  }
}

class PatientSqlite extends SqliteDialect {
  override createDriver(): Driver {
    const driver = super.createDriver();
    const acquire = driver.acquireConnection.bind(driver);
    const connections = new WeakMap<DatabaseConnection, DatabaseConnection>();
    driver.acquireConnection = async () => {
      const connection = await acquire();
      const known = connections.get(connection) ?? waiting(connection);
      connections.set(connection, known);
      return known;
    };
    // SQLite answers without letting go of this thread: after each transaction all else that waits has its turn, or a loop over a
    // store would keep every request waiting.
    const release = driver.releaseConnection.bind(driver);
    driver.releaseConnection = async (connection) => {
      await release(connection);
      await turn();
    };
    // Locked from the start: a reader that turns writer would fail where another process wrote in between.
    driver.beginTransaction = async (connection) => {
      await connection.executeQuery(CompiledQuery.raw('BEGIN IMMEDIATE'));
    };
    return driver;
  }
}

function waiting(connection: DatabaseConnection): DatabaseConnection {
  return {
    executeQuery: (query) => patient(() => connection.executeQuery(query)),
    streamQuery: (query, size) => connection.streamQuery(query, size),
  };
}
