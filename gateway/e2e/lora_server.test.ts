/** What vLLM's and llama.cpp's own tests of their LoRA servers ask: lineage, load errors, replacement, small caches, reuse. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeAdapter, recipe } from './adapters.ts';
import { type EngineServer, startEngineServer } from './server.ts';

/** Room for about two of the ten adapters. */
const ADAPTER_BYTES = 1 << 20;

let parent: string;
let home: string;
let server: EngineServer;
const paths = new Map<string, string>();
const names = Array.from({ length: 10 }, (_, i) => `lora-${i}`);

const start = () =>
  startEngineServer({
    COLOPHON_HOME: home,
    COLOPHON_ADAPTER_BYTES: String(ADAPTER_BYTES),
    COLOPHON_LEND_MEMORY: 'false',
  });

beforeAll(async () => {
  parent = mkdtempSync(join(tmpdir(), 'colophon-'));
  home = mkdtempSync(join(tmpdir(), 'colophon-'));
  for (const [i, name] of names.entries()) {
    paths.set(name, await makeAdapter(parent, name, { ...recipe(4 * i + 3), rank: 16 }));
  }
  server = await start();
});

afterAll(async () => {
  await server?.close();
  for (const folder of [parent, home]) rmSync(folder, { recursive: true, force: true });
});

const load = (name: string, path: string, more: object = {}) =>
  server.post('/v1/load_lora_adapter', { lora_name: name, lora_path: path, ...more });
const unload = (name: string) => server.post('/v1/unload_lora_adapter', { lora_name: name });

interface Told {
  text: string;
  cached: number;
}

async function complete(model: string, prompt = 'Tell me about the sea.', salt?: string): Promise<Told> {
  const answer = await server.openai.completions.create({
    model,
    prompt,
    max_tokens: 12,
    temperature: 0,
    ...(salt === undefined ? {} : { cache_salt: salt }),
  } as Parameters<typeof server.openai.completions.create>[0] & { stream?: false });
  return {
    text: answer.choices[0]!.text,
    cached: answer.usage?.prompt_tokens_details?.cached_tokens ?? 0,
  };
}

async function models() {
  const { data } = await server.openai.models.list();
  return data as unknown as Array<{ id: string; root: string; parent: string | null }>;
}

test('lineage: an adapter names its base as parent and its path as root; the base has no parent', async () => {
  await load('lineage', paths.get('lora-0')!);
  const listed = await models();
  expect(listed[0]).toMatchObject({ id: server.base, parent: null });
  expect(listed.find(({ id }) => id === 'lineage')).toMatchObject({
    parent: server.base,
    root: paths.get('lora-0'),
  });
  expect(await server.openai.models.retrieve('lineage')).toMatchObject({ parent: server.base });
  await unload('lineage');
  expect((await models()).map(({ id }) => id)).not.toContain('lineage');
});

test('load and unload errors change nothing', async () => {
  const before = await models();
  const none = join(parent, 'none');
  for (const [name, path, status] of [
    ['', paths.get('lora-0')!, 400],
    ['x', '', 400],
    ['x', none, 404],
    ['x', parent, 404],
    ['../x', paths.get('lora-0')!, 400],
    [server.base, paths.get('lora-0')!, 400],
  ] as const) {
    expect((await load(name, path)).status, `${name} from ${path}`).toBe(status);
  }
  expect((await unload('x')).status).toBe(404);
  expect((await unload(server.base)).status).toBe(404);
  expect(await models()).toEqual(before);
});

test('a second load of a name is refused; in place it replaces, and the other content answers', async () => {
  expect((await load('mine', paths.get('lora-0')!)).status).toBe(200);
  const first = await complete('mine');
  const again = await load('mine', paths.get('lora-1')!);
  expect(again.status).toBe(400);
  expect(JSON.stringify(again.body)).toContain('has already been loaded');
  expect(await complete('mine')).toMatchObject({ text: first.text });
  expect((await load('mine', paths.get('lora-1')!, { load_inplace: true })).status).toBe(200);
  const second = await complete('mine');
  expect(second.text).not.toBe(first.text);
  // What the old content left in the prefix cache is not the new one's.
  expect(second.cached).toBe(0);
  // A replacement that fails leaves what was there.
  expect((await load('mine', parent, { load_inplace: true })).status).toBe(404);
  expect(await complete('mine')).toMatchObject({ text: second.text });
  await unload('mine');
});

test('a load of the same adapter asked for a hundred times at once is one load', async () => {
  const path = join(parent, 'served-once');
  cpSync(paths.get('lora-5')!, path, { recursive: true });
  const loads = () => server.metric('colophon_engine_adapter_loads_total');
  const before = await loads();
  const answers = await Promise.all(Array.from({ length: 100 }, () => load('once', path)));
  // One is first; the others are told that it is there.
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(await loads()).toBe(before + 1);
  // Out of memory again, and a hundred requests for it at once.
  await load('large-0', paths.get('lora-1')!);
  await load('large-1', paths.get('lora-2')!);
  const cold = await loads();
  const told = await Promise.all(
    Array.from({ length: 100 }, () =>
      server.openai.completions.create({ model: 'once', prompt: 'Once', max_tokens: 1, temperature: 0 }),
    ),
  );
  expect(new Set(told.map(({ choices }) => choices[0]!.text)).size).toBe(1);
  expect(await loads()).toBe(cold + 1);
  for (const name of ['once', 'large-0', 'large-1']) await unload(name);
});

test('ten adapters over a cache for two: each answers as alone, in turn and all at once', async () => {
  for (const name of names) expect((await load(name, paths.get(name)!)).status).toBe(200);
  const alone = [];
  for (const name of names) alone.push((await complete(name)).text);
  expect(new Set(alone).size).toBeGreaterThan(5);
  const evictions = await server.metric('colophon_engine_adapter_evictions_total');
  expect(evictions).toBeGreaterThan(0);
  const together = await Promise.all([...names, ...names].map((name) => complete(name)));
  expect(together.map(({ text }) => text)).toEqual([...alone, ...alone]);
  expect(await server.metric('colophon_engine_adapter_evictions_total')).toBeGreaterThan(evictions);
  expect(await server.metric('colophon_engine_adapter_bytes')).toBeLessThanOrEqual(ADAPTER_BYTES);
});

test('pages are reused by their own adapter alone, and outlast its leaving the memory', async () => {
  const prompt = 'The lighthouse keeper wrote every evening into the same book. '.repeat(6);
  const first = await complete('lora-0', prompt);
  expect(first.cached).toBe(0);
  expect((await complete('lora-1', prompt)).cached).toBe(0);
  expect((await complete(server.base, prompt)).cached).toBe(0);
  const again = await complete('lora-0', prompt);
  expect(again).toMatchObject({ text: first.text });
  expect(again.cached).toBeGreaterThan(0);
  // The others push it out of memory; it is read again and finds its pages.
  const loads = await server.metric('colophon_engine_adapter_loads_total');
  for (const name of names.slice(2)) await complete(name);
  const back = await complete('lora-0', prompt);
  expect(await server.metric('colophon_engine_adapter_loads_total')).toBeGreaterThan(loads);
  expect(back).toEqual(again);
  expect((await complete('lora-0', prompt, 'a tenant')).cached).toBe(0);
  // The same content under another name is the same adapter.
  await load('lora-0-too', paths.get('lora-0')!);
  expect((await complete('lora-0-too', prompt)).cached).toBe(again.cached);
  await unload('lora-0-too');
});

test('an adapter whose files are gone is a 404 that says what to do, and can be replaced and unloaded', async () => {
  const path = join(parent, 'short-lived');
  cpSync(paths.get('lora-4')!, path, { recursive: true });
  await load('gone', path);
  const answer = await complete('gone');
  rmSync(path, { recursive: true });
  const asked = await server.post('/v1/completions', { model: 'gone', prompt: 'x', max_tokens: 1 });
  expect(asked.status).toBe(404);
  expect(JSON.stringify(asked.body)).toMatch(/no longer is.*load_inplace.*unload/);
  expect((await load('gone', paths.get('lora-4')!, { load_inplace: true })).status).toBe(200);
  expect((await complete('gone')).text).toBe(answer.text);
  cpSync(paths.get('lora-4')!, path, { recursive: true });
  await load('gone', path, { load_inplace: true });
  rmSync(path, { recursive: true });
  expect((await unload('gone')).status).toBe(200);
  expect((await unload('gone')).status).toBe(404);
});

test('names loaded by call are there after a restart, and answer as before', async () => {
  const before = await complete('lora-3');
  const listed = (await models()).map(({ id }) => id);
  await server.close();
  server = await start();
  expect((await models()).map(({ id }) => id)).toEqual(listed);
  expect(await server.metric('colophon_engine_adapters_registered')).toBe(0);
  expect((await complete('lora-3')).text).toBe(before.text);
  expect((await unload('lora-3')).status).toBe(200);
  await server.close();
  server = await start();
  expect((await models()).map(({ id }) => id)).toEqual(listed.filter((id) => id !== 'lora-3'));
});
