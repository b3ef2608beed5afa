/**
 * Tiny random models of every architecture against transformers and PEFT (fixtures/architectures): from safetensors and from
 * GGUF, with an adapter and without, and bit for bit the same under every instruction set, in chunks, and in a batch.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { EngineOptions } from '../../native/binding/index.ts';
import { readHyperparameters } from '../../plugins/backends/native/hf_hyperparameters.ts';
import { fingerprint, fixtures, instructionSets, readJson, TestEngine } from './engine.ts';

interface Answer {
  ids: number[];
  /** Of every token at the last position. */
  logprobs: number[];
  greedy: number[];
  margin: number[];
}

const folder = join(fixtures, 'architectures');
const cases = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) =>
    (['safetensors', 'gguf'] as const)
      .filter((format) => existsSync(join(folder, name, `model.${format}`)))
      .map((format) => ({ name, format })),
  );

function modelOf(name: string, format: 'safetensors' | 'gguf'): EngineOptions['model'] {
  const path = join(folder, name, `model.${format}`);
  if (format === 'gguf') return { format, path };
  const config = join(folder, name, 'config.json');
  return { format, paths: [path], hyperparameters: readHyperparameters(readJson(config), config) };
}

async function withEngine<Value>(
  options: Partial<EngineOptions>,
  body: (engine: TestEngine) => Promise<Value>,
): Promise<Value> {
  const engine = await TestEngine.create({ kvBytes: 16 << 20, adapterBytes: 16 << 20, ...options });
  try {
    return await body(engine);
  } finally {
    await engine.close();
  }
}

test('all architectures are here, in both formats', () => {
  const names = cases.map(({ name, format }) => `${name}.${format}`);
  for (const name of ['llama', 'qwen2', 'qwen3', 'gemma3'])
    expect(names).toEqual(expect.arrayContaining([`${name}.safetensors`, `${name}.gguf`]));
  expect(names).toEqual(expect.arrayContaining(['mistral.safetensors', 'qwen2_window.safetensors']));
});

describe.each(cases)('$name from $format', ({ name, format }) => {
  const model = modelOf(name, format);
  const golden = readJson<{ base: Answer[]; adapter: Answer[] }>(join(folder, name, 'golden.json'));
  const everything = async (engine: TestEngine) => {
    const adapter = await engine.adapter(join(folder, name, 'adapter'));
    const runs = [
      ...golden.base.map((answer) => ({ answer, adapter: undefined })),
      ...golden.adapter.map((answer) => ({ answer, adapter })),
    ];
    return Promise.all(
      runs.map(async ({ answer, adapter }) => ({
        answer,
        run: await engine.run({ prompt: answer.ids, adapter, maxTokens: answer.greedy.length, logprobs: 20 }),
        ours: await engine.logprobsOf(answer.ids, [...answer.logprobs.keys()], adapter),
      })),
    );
  };

  test('float32: log-probabilities within 1e-3 of the reference, the same tokens wherever it is clear', async () => {
    const all = await withEngine({ model, precision: 'float32' }, everything);
    for (const { answer, run, ours } of all) {
      const worst = Math.max(...answer.logprobs.map((logprob, id) => Math.abs(ours.get(id)! - logprob)));
      expect(worst).toBeLessThan(1e-3);
      const parts = run.tokens.findIndex((token, i) => token !== answer.greedy[i]);
      if (parts >= 0) expect(answer.margin[parts]).toBeLessThan(0.02);
    }
  });

  test('int8: close', async () => {
    const all = await withEngine({ model, precision: 'int8' }, everything);
    const divergences = all.map(({ answer, ours }) =>
      answer.logprobs.reduce((sum, logprob, id) => sum + Math.exp(logprob) * (logprob - ours.get(id)!), 0),
    );
    // bfloat16 weights stay float32 products; only blocks of 32 columns are quantised at all.
    expect(divergences.reduce((sum, value) => sum + value, 0) / all.length).toBeLessThan(4e-3);
  });

  test('one arithmetic: every instruction set, chunks of 16, one after the other', async () => {
    const prints = async (options: Partial<EngineOptions>, solo: boolean) =>
      withEngine({ model, ...options }, async (engine) => {
        const adapter = await engine.adapter(join(folder, name, 'adapter'));
        const requests = golden.base.flatMap(({ ids }) =>
          [undefined, adapter].map((adapter) => ({ prompt: ids, adapter, maxTokens: 8, logprobs: 3 })),
        );
        if (!solo)
          return (await Promise.all(requests.map((request) => engine.run(request)))).map(fingerprint);
        const out = [];
        for (const request of requests) out.push(fingerprint(await engine.run(request)));
        return out;
      });
    const expected = await prints({ isa: 'reference', threads: 1, prefixCache: false }, true);
    for (const isa of instructionSets) {
      expect(await prints({ isa, threads: 2 }, false), isa).toEqual(expected);
      expect(await prints({ isa, stepTokens: 16 }, false), isa).toEqual(expected);
    }
  });
});
