/** A whole server with the routes of payouts over books and a ledger of its own, for tests that speak HTTP to it. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { Type } from 'typebox';
import { definePlugin } from '../../../../gateway/contract/index.ts';
import { startTestServer } from '../../../../gateway/http/testing.ts';
import { Ledger } from '../../ledger/ledger.ts';
import { payoutRoutes } from '../payout_routes.ts';
import { type PayoutStore, Payouts } from '../payouts.ts';
import { testBooks, testKeys } from './books.ts';

/** The operator's key is "secret"; "other" is that of a tenant. */
export async function startPayoutServer(threshold = 0) {
  const db = new Database(':memory:');
  // Nothing is published there.
  const ledger = new Ledger(db, join(tmpdir(), 'colophon-no-ledger'), testKeys);
  const made = testBooks({ threshold }, db, (entry) => ledger.append([entry]));
  const { books, enter } = made;
  // As the store's thread does it, in this one.
  const store: PayoutStore = {
    books: async (call, ...given) => {
      // biome-ignore lint/suspicious/noExplicitAny: a call with what belongs to it
      return (books[call] as (...given: any[]) => any)(...given);
    },
    finishEpoch: async (epoch, file) => {
      enter(books.finish(epoch, file));
      ledger.checkpoint();
      return books.epochs({ before: epoch + 1, limit: 1 })[0]!;
    },
    proveEntry: async (entry) => ledger.inclusion(entry),
  };
  const payouts = new Payouts(store);
  const plugin = definePlugin({
    name: 'payouts',
    contract: 1,
    config: Type.Object({}),
    provides: [],
    setup: (host) => host.routes((app) => payoutRoutes(app, host, payouts)),
  });
  const server = await startTestServer({
    env: { COLOPHON_API_KEY: 'secret' },
    change: (config) => {
      config.access.keys = [{ key: 'other', tenant: 'other', min_priority: 0, isolate: false }];
    },
    plugins: [plugin],
  });
  return { ...made, payouts, server };
}
