/** A DatanetStore over SQL: the same queries for SQLite and PostgreSQL, a file a room in sql/. */
import type { DatanetStore } from './datanet_store.ts';
import type { Sql } from './sql/common.ts';
import { contributionQueries } from './sql/contributions.ts';
import { datanetQueries } from './sql/datanets.ts';
import { erasureQueries } from './sql/erasure.ts';
import { exampleWithdrawalQueries } from './sql/example_withdrawals.ts';
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
    ...exampleWithdrawalQueries(sql),
    ...curationQueries(sql),
    ...snapshotQueries(sql),
    ...jobQueries(sql),
    close: () => sql.db.destroy(),
  };
  const methods = Object.entries(store).map(([name, method]) => [name, guarded(method as Method, store)]);
  return Object.fromEntries(methods);
}

type Method = (...args: unknown[]) => Promise<unknown> | AsyncIterable<unknown>;

/** A method whose errors are told as ours. */
function guarded(method: Method, store: DatanetStore): Method {
  return (...args) => {
    const result = method.apply(store, args);
    if (Symbol.asyncIterator in result) return guardedBatches(result);
    return result.catch((error) => {
      throw storeError(error);
    });
  };
}

async function* guardedBatches(batches: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  try {
    yield* batches;
  } catch (error) {
    throw storeError(error);
  }
}
