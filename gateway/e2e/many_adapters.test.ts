/** 256 adapters, 64 streams at once each on its own, through real HTTP; the answers are those of solo runs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeAdapters } from './adapters.ts';
import { type EngineServer, startEngineServer } from './server.ts';

const ADAPTERS = 256;
const STREAMS = 64;
const ADAPTER_BYTES = 4 << 20;
const KV_BYTES = 256 << 20;
/** What the process may take beside its budgets while streams run: buffers, heap, activations. */
const SLACK_BYTES = 400 << 20;

let folder: string;
let names: string[];
let server: EngineServer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-'));
  names = await makeAdapters(folder, ADAPTERS);
  server = await startEngineServer({
    COLOPHON_ADAPTER_DIRS: folder,
    COLOPHON_ADAPTER_BYTES: String(ADAPTER_BYTES),
    COLOPHON_LEND_MEMORY: 'false',
    COLOPHON_KV_BYTES: String(KV_BYTES),
  });
});

afterAll(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function stream(model: string): Promise<string> {
  const chunks = await server.openai.chat.completions.create({
    model,
    messages: [{ role: 'user', content: 'Tell me about the sea.' }],
    temperature: 0,
    max_tokens: 16,
    stream: true,
  });
  let text = '';
  for await (const chunk of chunks) text += chunk.choices[0]?.delta.content ?? '';
  return text;
}

test('64 streams on 64 of 256 adapters answer as each does alone, within the budgets', async () => {
  const models = (await server.openai.models.list()).data;
  expect(models).toHaveLength(ADAPTERS + 1);
  expect(models.filter((model) => (model as { parent?: string }).parent === server.base)).toHaveLength(
    ADAPTERS,
  );
  await Promise.all(names.map((name) => server.openai.models.retrieve(name)));
  expect(await server.metric('colophon_engine_adapters_registered')).toBe(ADAPTERS);

  const chosen = names.filter((_, i) => i % 4 === (i >> 2) % 4);
  expect(chosen).toHaveLength(STREAMS);
  const before = process.memoryUsage().rss;
  let resident = 0;
  let rss = 0;
  let watching = true;
  const watch = (async () => {
    while (watching) {
      resident = Math.max(resident, await server.metric('colophon_engine_adapter_bytes'));
      rss = Math.max(rss, process.memoryUsage().rss);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  const together = await Promise.all(chosen.map(stream));
  watching = false;
  await watch;
  expect(resident).toBeGreaterThan(0);
  expect(resident).toBeLessThanOrEqual(ADAPTER_BYTES);
  expect(rss).toBeLessThanOrEqual(before + ADAPTER_BYTES + KV_BYTES + SLACK_BYTES);
  expect(await server.metric('colophon_engine_adapter_evictions_total')).toBeGreaterThan(0);

  expect(new Set(together).size).toBeGreaterThan(STREAMS / 2);
  for (const [i, name] of chosen.entries()) expect(await stream(name), name).toBe(together[i]);
}, 1_800_000);
