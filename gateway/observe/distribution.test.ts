import { Histogram, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { Distributions } from './distribution.ts';

const bounds = [0.1, 0.5, 2];
const values = [0.05, 0.1, 0.100001, 0.5, 1, 2, 2.5, 70, 0];

test('a scrape says the same as of a histogram of prom-client', async () => {
  const ours = new Registry();
  const theirs = new Registry();
  const described = { name: 'seconds', help: 'Seconds.' };
  const distributions = new Distributions(ours, { ...described, bounds, label: 'route' });
  const histogram = new Histogram({
    ...described,
    buckets: bounds,
    labelNames: ['route'],
    registers: [theirs],
  });
  for (const [at, value] of values.entries()) {
    const route = at % 3 === 0 ? '/a' : '/"b"';
    distributions.of(route).observe(value);
    histogram.observe({ route }, value);
  }
  expect(await ours.metrics()).toBe(await theirs.metrics());
});

test('without a label it is there before anything was observed', async () => {
  const ours = new Registry();
  const theirs = new Registry();
  const described = { name: 'seconds', help: 'Seconds.' };
  const distributions = new Distributions(ours, { ...described, bounds });
  const histogram = new Histogram({ ...described, buckets: bounds, registers: [theirs] });
  expect(await ours.metrics()).toBe(await theirs.metrics());
  distributions.of('').observe(0.25, 4);
  for (let i = 0; i < 4; i++) histogram.observe(0.25);
  expect(await ours.metrics()).toBe(await theirs.metrics());
});
