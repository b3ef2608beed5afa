import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { AdapterMetrics } from './adapter_metrics.ts';
import { FakeEngine } from './testing/fake_engine.ts';

async function setUp(most: number, adapters: string[]) {
  const engine = new FakeEngine();
  const metrics = new AdapterMetrics(engine, most, () => 0);
  const registry = new Registry();
  metrics.register(registry);
  const handles: Record<string, number> = {};
  for (const name of adapters)
    handles[name] = await engine.registerAdapter({ name, tensorsPath: '', contentHash: '', modules: [] });
  const request = (name: string, times = 1) => {
    for (let i = 0; i < times; i++) metrics.request(name, handles[name]!);
  };
  const loaded = (name: string, change: { loads?: number; evictions?: number; loadSeconds?: number }) => {
    const { state } = engine.adapters.get(handles[name]!)!;
    state.residency = change.evictions ? 'disk' : 'ram';
    state.loads += change.loads ?? 0;
    state.evictions += change.evictions ?? 0;
    state.loadSeconds += change.loadSeconds ?? 0;
  };
  /** Values by adapter. */
  const read = async (name: string): Promise<Record<string, number>> => {
    const lines = (await registry.metrics()).split('\n');
    const found = lines.filter((line) => line.startsWith(`colophon_adapter_${name}{`));
    return Object.fromEntries(
      found.map((line) => {
        const [, adapter, tier, value] = /adapter="(.*?)"(?:,tier="(.*)")?} (.*)/.exec(line)!;
        return [tier ? `${adapter} ${tier}` : adapter, Number(value)];
      }),
    );
  };
  return { engine, metrics, handles, request, loaded, read };
}

test('sequences are counted by adapter, and beyond the seats together', async () => {
  const { metrics, request, read } = await setUp(2, ['a', 'b', 'c', 'other']);
  request('a', 5);
  request('b', 4);
  for (const name of ['c', 'other']) request(name);
  metrics.begun('a', 10, 0.5);
  metrics.begun('c', 7, 0.25);
  for (const name of ['a', 'a', 'b', 'c', 'other']) metrics.generated(name);
  expect(await read('requests_total')).toEqual({ a: 5, b: 4, other: 2 });
  expect(await read('prompt_tokens_total')).toEqual({ a: 10, b: 0, other: 7 });
  expect(await read('generated_tokens_total')).toEqual({ a: 2, b: 1, other: 2 });
  expect(await read('queue_seconds_total')).toEqual({ a: 0.5, b: 0, other: 0.25 });
});

test('loads and residency are the engine’s, and their sum is its total', async () => {
  const { engine, request, loaded, read, handles } = await setUp(1, ['a', 'b']);
  loaded('a', { loads: 2, loadSeconds: 1 }); // before it has a seat
  request('a');
  request('b');
  loaded('a', { loads: 1, loadSeconds: 0.5 });
  loaded('b', { loads: 4, loadSeconds: 2 });
  expect(await read('cold_loads_total')).toEqual({ a: 1, other: 6 });
  expect(await read('load_seconds_total')).toEqual({ a: 0.5, other: 3 });
  expect(await read('residency')).toEqual({ 'a ram': 1, 'a disk': 0 });
  loaded('a', { evictions: 1 });
  expect(await read('evictions_total')).toEqual({ a: 1, other: 0 });
  expect(await read('residency')).toEqual({ 'a ram': 0, 'a disk': 1 });
  engine.unregisterAdapter(handles.a!);
  expect(await read('residency')).toEqual({ 'a ram': 0, 'a disk': 0 });
  expect(await read('cold_loads_total')).toEqual({ a: 1, other: 6 });
  // Registered anew under its name.
  handles.a = await engine.registerAdapter({ name: 'a', tensorsPath: '', contentHash: '', modules: [] });
  request('a');
  loaded('a', { loads: 1 });
  expect(await read('cold_loads_total')).toEqual({ a: 2, other: 6 });
});

test('no counter goes back when a seat changes hands', async () => {
  const { metrics, request, loaded, read } = await setUp(1, ['a', 'b']);
  const before: Record<string, number> = {};
  const look = async () => {
    for (const name of ['requests_total', 'generated_tokens_total', 'cold_loads_total']) {
      for (const [adapter, value] of Object.entries(await read(name))) {
        expect(value).toBeGreaterThanOrEqual(before[`${name} ${adapter}`] ?? 0);
        before[`${name} ${adapter}`] = value;
      }
    }
  };
  request('a', 2);
  loaded('a', { loads: 3 });
  metrics.generated('a');
  await look();
  request('b', 5); // takes the seat at its fifth
  loaded('b', { loads: 2 });
  await look();
  expect(await read('requests_total')).toEqual({ b: 1, other: 4 });
  expect(await read('cold_loads_total')).toEqual({ b: 2, other: 0 });
  // What a still does goes to the others.
  metrics.generated('a');
  loaded('a', { loads: 1 });
  await look();
  expect(await read('generated_tokens_total')).toEqual({ b: 0, other: 1 });
  expect(await read('cold_loads_total')).toEqual({ b: 2, other: 1 });
});
