/** What was used, by whom, and who is owed for it: recorded before it leaves, signed after, in a log that anyone can check. */
import { join } from 'node:path';
import { Type } from 'typebox';
import { definePlugin } from '../../gateway/contract/index.ts';
import { createMeterSink } from './meter.ts';
import { Store } from './store/store.ts';
import { usageRoutes } from './usage_routes.ts';

export const meteringConfig = Type.Object(
  {
    keep_days: Type.Number({
      default: 30,
      minimum: 0,
      maximum: 36_500,
      description:
        'How long prompts and answers are kept as token ids, with which a receipt can be opened and run again. Receipts have only salted hashes of them and stay.',
    }),
  },
  { additionalProperties: false },
);

const dayMs = 86_400_000;

export default definePlugin({
  name: 'metering',
  contract: 1,
  config: meteringConfig,
  provides: ['meterSink'],
  async setup(host, config) {
    const store = await Store.open({ folder: join(host.paths.data, 'metering') }, (sentence) => {
      // A sync that failed leaves unknown what the disk has; the next start reads what is there.
      host.log.error({ sentence }, `${sentence} The server stops: start it again once its disk is well.`);
      setImmediate(() => process.exit(1));
    });
    const forget = () =>
      store
        .call('forget', Date.now() - config.keep_days * dayMs)
        .catch((error: Error) =>
          host.log.warn({ error: error.message }, 'Old prompts and answers are not forgotten.'),
        );
    const forgetting = setInterval(forget, dayMs / 24);
    forgetting.unref();
    host.provide(
      'meterSink',
      createMeterSink(store, () => {}),
    );
    host.routes((app) => usageRoutes(app, host, () => store));
    return {
      ready: async () => {
        await forget();
      },
      close: async () => {
        clearInterval(forgetting);
        await store.close();
      },
    };
  },
});
