/** A DatanetStore over SQL: the same queries for SQLite and PostgreSQL, a file a room in sql/. */
import { setImmediate as turn } from 'node:timers/promises';
import type { DatanetStore } from './datanet_store.ts';
import type { Sql } from './sql/common.ts';
import { contributionQueries } from './sql/contributions.ts';
import { datanetQueries } from './sql/datanets.ts';
import { erasureQueries } from './sql/erasure.ts';
import { jobQueries } from './sql/jobs.ts';
import { rowQueries } from './sql/rows.ts';
import { snapshotQueries } from './sql/snapshots.ts';
import { curationQueries } from './sql/verdicts.ts';
import { storeError } from './store_error.ts';

/** Over a database that has the newest schema; `close` closes it. */
export function sqlStore(sql: Sql): DatanetStore {
  const store: DatanetStore = {
    ...datanetQueries(sql),
    ...contributionQueries(sql),
    ...rowQueries(sql),
    ...erasureQueries(sql),
    ...curationQueries(sql),
    ...snapshotQueries(sql),
    ...jobQueries(sql),
    close: () => sql.db.destroy(),
  };
  const methods = Object.entries(store).map(([name, method]) => [name, guarded(method as Method, store)]);
  return Object.fromEntries(methods);
}

type Method = (...args: unknown[]) => Promise<unknown> | AsyncIterable<unknown>;

/**
 * A method whose errors are told as ours. After each call, and after each batch, other work of this thread has its turn: SQLite
 * answers without ever letting go of it, so that a loop over a store would keep every request waiting.
 */
function guarded(method: Method, store: DatanetStore): Method {
  return (...args) => {
    const result = method.apply(store, args);
    if (Symbol.asyncIterator in result) return guardedBatches(result);
    return result.then(
      (value) => turn(value),
      (error) => {
        throw storeError(error);
      },
    );
  };
}

async function* guardedBatches(batches: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  try {
    for await (const batch of batches) {
      yield batch;
      await turn();
    }
  } catch (error) {
    throw storeError(error);
  }
}
