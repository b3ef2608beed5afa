/** A whole server with the routes of payouts over books of its own, for tests that speak HTTP to it. */
import { Type } from 'typebox';
import { definePlugin } from '../../../../gateway/contract/index.ts';
import { startTestServer } from '../../../../gateway/http/testing.ts';
import { payoutRoutes } from '../payout_routes.ts';
import { type PayoutStore, Payouts } from '../payouts.ts';
import { type TestBooks, testBooks } from './books.ts';

/** The operator's key is "secret"; "other" is that of a tenant. */
export async function startPayoutServer(threshold = 0) {
  const made = testBooks({ threshold });
  const payouts = new Payouts(storeOf(made));
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

/** As the store's thread does it, in this one. */
export function storeOf({ books, enter }: TestBooks): PayoutStore {
  return {
    books: async (call, ...given) => {
      // biome-ignore lint/suspicious/noExplicitAny: a call with what belongs to it
      return (books[call] as (...given: any[]) => any)(...given);
    },
    finishEpoch: async (epoch, file) => {
      const { json } = books.finish(epoch, file);
      enter(epoch, json);
      return books.epochs({ before: epoch + 1, limit: 1 })[0]!;
    },
  };
}
