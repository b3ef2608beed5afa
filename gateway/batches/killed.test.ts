import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import OpenAI, { toFile } from 'openai';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
// Beside the packages that it imports.
const script = join(root, `node_modules/.cache/batch-server-${process.pid}.mjs`);
let home: string;
let child: ChildProcess | undefined;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'colophon-killed-'));
  const bundle = await rolldown({
    input: join(import.meta.dirname, 'testing/server_child.ts'),
    platform: 'node',
    external: /^[^./]/,
  });
  await bundle.write({ file: script, format: 'esm', codeSplitting: false });
});
afterAll(() => {
  child?.kill('SIGKILL');
  rmSync(home, { recursive: true, force: true });
  rmSync(script, { force: true });
});

async function start(): Promise<OpenAI> {
  child = spawn(process.execPath, [script], {
    env: { ...process.env, COLOPHON_HOME: home },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [url] = await once(createInterface({ input: child.stdout! }), 'line');
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
}

async function kill(): Promise<void> {
  const gone = once(child!, 'exit');
  child!.kill('SIGKILL');
  await gone;
}

test('a server that is killed again and again answers every line of a batch once', async () => {
  const ids = Array.from({ length: 400 }, (_, index) => `line-${index}`);
  const lines = ids.map((custom_id) => ({
    custom_id,
    method: 'POST',
    url: '/v1/completions',
    body: { model: 'mock/base', prompt: custom_id, max_tokens: 2 },
  }));
  let client = await start();
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  const input = await client.files.create({
    file: await toFile(Buffer.from(text), 'in.jsonl'),
    purpose: 'batch',
  });
  const { id } = await client.batches.create({
    input_file_id: input.id,
    endpoint: '/v1/completions',
    completion_window: '24h',
  });
  let kills = 0;
  let batch = await client.batches.retrieve(id);
  for (const reached of [0, 1, 60, 150, 300, 390]) {
    while (batch.status !== 'completed' && batch.request_counts!.completed < reached) {
      batch = await client.batches.retrieve(id);
    }
    if (batch.status === 'completed') break;
    await kill();
    kills++;
    client = await start();
    batch = await client.batches.retrieve(id);
  }
  expect(kills).toBeGreaterThan(2);
  while (batch.status !== 'completed') batch = await client.batches.retrieve(id);
  expect(batch.request_counts).toEqual({ total: 400, completed: 400, failed: 0 });
  expect(batch.error_file_id).toBeNull();
  const answers = (await (await client.files.content(batch.output_file_id!)).text()).trimEnd().split('\n');
  expect(answers.map((line) => JSON.parse(line).custom_id).sort()).toEqual([...ids].sort());
});
