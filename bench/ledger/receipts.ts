/** Receipts a second, signed, logged and durable; and what it takes to check one of a long ledger. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Value } from 'typebox/value';
import { verifyReceiptFile } from '../../plugins/metering/ledger/verify_receipt.ts';
import { type FeeSettings, feesConfig } from '../../plugins/metering/money/fees.ts';
import { Receipting } from '../../plugins/metering/receipts/receipting.ts';
import { Store } from '../../plugins/metering/store/store.ts';
import { say } from '../lib/main.ts';
import { type CaseResult, caseResult } from '../lib/report.ts';
import { median } from '../lib/statistics.ts';

const promptTokens = 200;
const outputTokens = 100;

/** Answers as they are served: each recorded and ended, and then given its receipt by the plugin's own loop. */
export async function appends(count: number, repeats: number): Promise<CaseResult> {
  const rates: number[] = [];
  for (let repeat = 0; repeat < repeats; repeat++)
    await withStore(async (store, issue) => {
      await answered(store, count);
      const begin = performance.now();
      await issue();
      rates.push((count / (performance.now() - begin)) * 1000);
    });
  say(`${median(rates).toFixed(0)} receipts a second are signed, logged and durable.`);
  return caseResult('appends-per-second', 'entries/s', median(rates), {});
}

/** Of a ledger of `size` entries. */
export function receipts(size: number): Promise<CaseResult[]> {
  return withStore(async (store, issue) => {
    for (let made = 0; made < size; made += 4000) {
      await answered(store, Math.min(4000, size - made), made);
      await issue();
    }
    const { keys } = store;
    const times: number[] = [];
    const bytes: number[] = [];
    for (let i = 0; i < 200; i++) {
      const response = `answer-${Math.floor((i * size) / 200)}`;
      const found = await store.call('receipt', { response });
      if (!found || found === 'pending') throw new Error(`There is no receipt of ${response}.`);
      const file = Buffer.from(JSON.stringify(found));
      bytes.push(Buffer.byteLength(found.proof));
      const begin = performance.now();
      const { findings } = verifyReceiptFile(file, { keys });
      times.push(performance.now() - begin);
      const wrong = findings.find(({ ok }) => !ok);
      if (wrong) throw new Error(wrong.sentence);
    }
    return [
      caseResult('verify-receipt-ms', 'ms', median(times), {}),
      caseResult('proof-bytes', 'B', median(bytes), {}),
    ];
  });
}

function stop(sentence: string): never {
  throw new Error(sentence);
}

async function withStore<Result>(
  work: (store: Store, issue: () => Promise<void>) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'colophon-bench-'));
  const store = await Store.open(
    {
      folder,
      name: 'bench',
      fees: Value.Default(feesConfig, {}) as FeeSettings,
      threshold: 0,
      witnesses: [],
    },
    { warn: stop, broken: stop },
  );
  const receipting = new Receipting({
    store,
    log: { warn: (_, sentence) => stop(sentence) },
    attributor: () => undefined,
  });
  try {
    return await work(store, async () => {
      receipting.wake();
      await receipting.idle();
    });
  } finally {
    await receipting.stop();
    await store.close();
    rmSync(folder, { recursive: true });
  }
}

async function answered(store: Store, count: number, from = 0): Promise<void> {
  const ids = Array.from({ length: outputTokens }, (_, i) => i);
  const prompt = Int32Array.from({ length: promptTokens }, (_, i) => i);
  const request = {
    max_tokens: outputTokens,
    min_tokens: 0,
    ignore_end: false,
    stop_token_ids: [],
    constrained: false,
    sampling: {
      temperature: 1,
      top_p: 1,
      top_k: 0,
      min_p: 0,
      repetition_penalty: 1,
      presence_penalty: 0,
      frequency_penalty: 0,
      seed: '4661705435953618519',
    },
  };
  const written: Array<Promise<void>> = [];
  for (let i = from; i < from + count; i++) {
    const number = store.number();
    store.begin({
      number,
      about: {
        response: `answer-${i}`,
        tenant: 'default',
        key: 'default',
        model: 'base',
        base: { name: 'base', sha256: 'b'.repeat(64) },
        adapter: null,
        engine: { backend: 'native', version: '0.1.0', precision: 'int8' },
        choices: [{ prompt: 0, request }],
      },
      prompts: [prompt],
      grammars: [],
      began: 1_800_000_000_000 + i,
    });
    void store.tokens(number, 0, 0, ids);
    written.push(
      store.end({
        number,
        ended: 1_800_000_001_000 + i,
        choices: [{ made: outputTokens, handed: outputTokens, finish: 'length' }],
      }),
    );
  }
  await Promise.all(written);
}
