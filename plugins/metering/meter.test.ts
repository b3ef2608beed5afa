import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Value } from 'typebox/value';
import { afterAll } from 'vitest';
import { describeMeterSink } from '../../gateway/contract/conformance/meter_sink.ts';
import { createMeterSink } from './meter.ts';
import { type FeeSettings, feesConfig } from './money/fees.ts';
import { Store } from './store/store.ts';

const folder = mkdtempSync(join(tmpdir(), 'colophon-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const stop = (sentence: string) => {
  throw new Error(sentence);
};

describeMeterSink('The metering plugin', {
  async open() {
    const store = await Store.open(
      {
        folder,
        name: 'log.example/ledger',
        fees: Value.Default(feesConfig, {}) as FeeSettings,
        threshold: 0,
        witnesses: [],
      },
      { warn: stop, broken: stop },
    );
    return {
      sink: createMeterSink(store, () => {}),
      async recorded(response) {
        const found = (await store.call('unreceipted', 1000)).find(
          ({ about }) => about.response === response,
        );
        return (
          found && {
            promptTokens: found.usage.prompt_tokens,
            cachedTokens: found.usage.cached_tokens,
            completionTokens: found.usage.completion_tokens,
            finishes: found.choices.map(({ finish }) => finish),
          }
        );
      },
      close: () => store.close(),
    };
  },
});
