/**
 * A server's use of the store, without the server: answers are recorded, ended, given their receipts, which are corrected, an epoch is closed; it says on
 * stdout what was handed to clients and what it was refused. Plain JavaScript over the build: Node 20 starts no process from TypeScript.
 *
 *   faulted_store.mjs FOLDER RUN
 */
import { writeSync } from 'node:fs';
import { Correcting } from '../../../../dist/plugins/metering/receipts/correcting.js';
import { Receipting } from '../../../../dist/plugins/metering/receipts/receipting.js';
import { Store } from '../../../../dist/plugins/metering/store/store.js';

const [folder, run] = process.argv.slice(2);
const say = (...words) => writeSync(1, `${words.join(' ')}\n`);
const fees = {
  currency: 'unit',
  rates: { input: 1000, output: 2000, platform: 3 },
  split: { owner: 500_000, stakers: 0, contributors: 500_000 },
  models: {},
};

let store;
try {
  store = await Store.open(
    { folder, name: 'log.example/ledger', fees, threshold: 0, witnesses: [] },
    {
      warn: (sentence) => say('warned', sentence),
      broken(sentence) {
        say('stopped', sentence);
        process.exit(3);
      },
    },
  );
} catch (error) {
  say('closed', error.message);
  process.exit(5);
}
say('keys', Buffer.from(store.keys.toVkeys()).toString('base64'));

const about = (response) => ({
  response,
  tenant: 'default',
  key: 'default',
  model: 'base',
  base: { name: 'base', sha256: 'b'.repeat(64) },
  adapter: { name: 'adapter', sha256: 'a'.repeat(64), folder: '/nowhere' },
  engine: { backend: 'mock', version: null, precision: null },
  choices: [{ prompt: 0, request: { max_tokens: 7, constrained: false } }],
});

/** One answer of so many steps; says each token as a client has it. */
async function answer(at, steps) {
  const response = `run-${run}-answer-${at}`;
  let handed = 0;
  try {
    const number = store.number();
    store.begin({
      number,
      about: about(response),
      prompts: [Int32Array.of(1, 2, 3)],
      grammars: [],
      began: 1,
    });
    for (let step = 0; step < steps; step++) {
      await store.tokens(number, 0, 0, [step]);
      handed++;
      say('handed', response, handed);
    }
    await store.end({ number, ended: 2, choices: [{ made: handed, handed, finish: 'stop' }] });
    say('ended', response, handed);
  } catch (error) {
    say('refused', response, error.code ?? error.message);
  }
}

const shares = (level, base) => ({
  level,
  influence: null,
  policy: 'c'.repeat(64),
  total: 1_000_000,
  base,
  pool: 1_000_000 - base,
  contributors: [],
});
const perRun = 9;
/** Answers of this run whose making is over. */
let over = 0;
/** Settles every answer a second time, of all runs in the order of their names. */
const attributor = {
  settled: async () => shares(1, 1_000_000),
  again: {
    since: async (place, most) =>
      Array.from({ length: Math.min(most, Number(run) * perRun + over - place) }, (_, at) => {
        const number = place + at;
        return {
          place: number + 1,
          response: `run-${Math.floor(number / perRun)}-answer-${number % perRun}`,
        };
      }),
    of: async () => ({ why: 'sample', times: 100, choices: [{ choice: 0, shares: shares(2, 1000) }] }),
  },
};

for (let round = 0; round < 3; round++) {
  await Promise.all([1, 4, 7].map((steps, at) => answer(round * 3 + at, steps)));
  over += 3;
  const given = { store, log: { warn: ({ error }) => say('later', error) }, attributor: () => attributor };
  const receipting = new Receipting({ ...given, corrections: new Correcting(given) });
  receipting.wake();
  await receipting.idle();
  await receipting.stop();
}
try {
  // One that an earlier run froze and did not finish comes first.
  for (let old = await store.books('unfinished'); ; old = null) {
    const { epoch } = old ?? (await store.books('freeze', 3));
    const { totals } = await store.call('finishEpoch', { epoch, file: null });
    say('epoch', epoch, totals.receipts, totals.owed);
    if (!old) break;
  }
} catch (error) {
  say('refused', 'epoch', error.code ?? error.message);
}
await store.close();
say('done');
