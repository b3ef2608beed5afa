import { Counter, Gauge, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { Tally } from './tally.ts';

test('a tally gives each series its own number, and a second scrape counts nothing twice', async () => {
  const registry = new Registry();
  const tally = new Tally<{ kind: string; status: number }>();
  new Counter({
    name: 'seen_total',
    help: 'Seen.',
    labelNames: ['kind', 'status'],
    registers: [registry],
    collect() {
      tally.fill(this);
    },
  });
  tally.add({ kind: 'a', status: 12 });
  tally.add({ kind: 'a1', status: 2 }, 5);
  tally.add({ kind: 'a', status: 12 }, 2);
  for (let scrape = 0; scrape < 2; scrape++) {
    const text = await registry.metrics();
    expect(text).toContain('seen_total{kind="a",status="12"} 3');
    expect(text).toContain('seen_total{kind="a1",status="2"} 5');
  }
});

test('a gauge filled from a tally falls again', async () => {
  const tally = new Tally<{ kind: string }>();
  const gauge = new Gauge({
    name: 'running',
    help: 'Running.',
    labelNames: ['kind'],
    registers: [new Registry()],
    collect() {
      tally.fill(this);
    },
  });
  tally.add({ kind: 'a' }, 2);
  tally.add({ kind: 'a' }, -1);
  expect((await gauge.get()).values).toEqual([{ labels: { kind: 'a' }, value: 1 }]);
});
