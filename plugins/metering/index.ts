/** What was used, by whom, and who is owed for it: recorded before it leaves, signed after, in a log that anyone can check. */
import { join } from 'node:path';
import { Type } from 'typebox';
import { definePlugin } from '../../gateway/contract/index.ts';
import { keyRoutes } from './keys/key_routes.ts';
import { ledgerRoutes } from './ledger/routes.ts';
import { createMeterSink } from './meter.ts';
import { checkedFees, feesConfig } from './money/fees.ts';
import { payoutRoutes } from './money/payout_routes.ts';
import { Payouts } from './money/payouts.ts';
import { Correcting } from './receipts/correcting.ts';
import { receiptRoutes } from './receipts/receipt_routes.ts';
import { Receipting } from './receipts/receipting.ts';
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
    ledger_name: Type.Optional(
      Type.String({
        pattern: '^[^\\s+]{1,200}$',
        description:
          'Of the ledger, in each of its checkpoints: a host name and a path, without a scheme, says best whose it is. It stays what it was at the first start; default: a random one.',
      }),
    ),
    witnesses: Type.Array(
      Type.Object(
        {
          url: Type.String({ minLength: 1, description: 'Requests go to URL/add-checkpoint.' }),
          key: Type.String({ minLength: 1, description: 'Its key, as a C2SP vkey of type cosignature.' }),
        },
        { additionalProperties: false },
      ),
      {
        default: [],
        maxItems: 16,
        description:
          'Witnesses (c2sp.org/tlog-witness), who sign that the ledger only grows. Nobody waits for them.',
      },
    ),
    fees: feesConfig,
    payout_threshold: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'Units that an account needs to be paid at the close of an epoch; less is carried over.',
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
    const options = {
      folder: join(host.paths.data, 'metering'),
      name: config.ledger_name,
      fees: checkedFees(config.fees),
      threshold: config.payout_threshold,
      witnesses: config.witnesses,
    };
    const store = await Store.open(options, {
      warn: (sentence) => host.log.warn({}, sentence),
      broken(sentence) {
        // A sync that failed leaves unknown what the disk has; the next start reads what is there.
        const told = `${sentence} The server stops: start it again once its disk is well.`;
        host.log.error({}, told);
        process.stderr.write(`${told}\n`, () => process.exit(1));
      },
    });
    const attributor = () => host.all('attributor')[0];
    const correcting = new Correcting({ store, log: host.log, attributor });
    const receipting = new Receipting({ store, log: host.log, attributor, corrections: correcting });
    const payouts = new Payouts(
      {
        books: (call, ...given) => store.books(call, ...given),
        finishEpoch: (epoch, file) => store.call('finishEpoch', { epoch, file }),
        proveEntry: (entry) => store.call('proveEntry', entry),
      },
      (response) =>
        attributor()
          ?.again?.settle(response, 'dispute')
          .catch((err) => host.log.warn({ err, response }, 'A response in dispute is not settled again.')),
    );
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
      createMeterSink(store, () => receipting.wake()),
    );
    host.routes((app) => {
      usageRoutes(app, host, store);
      receiptRoutes(app, { host, store, receipting });
      payoutRoutes(app, host, payouts);
      ledgerRoutes(app, join(options.folder, 'ledger'), () => store.keys);
      keyRoutes(app, host, store);
    });
    return {
      ready: async () => {
        await forget();
        attributor()?.again?.watch(() => {
          correcting.tell();
          receipting.wake();
        });
        receipting.wake();
        payouts
          .recover(Date.now())
          .catch((err) => host.log.error({ err }, 'A payout epoch is frozen and could not be finished.'));
      },
      close: async () => {
        clearInterval(forgetting);
        correcting.stop();
        await receipting.stop();
        await store.close();
      },
    };
  },
});
