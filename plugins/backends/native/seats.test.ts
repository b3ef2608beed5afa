import { expect, test } from 'vitest';
import { Seats } from './seats.ts';

function setUp(most: number) {
  let now = 0;
  const seats = new Seats<string>(most, () => now);
  const use = (name: string, times = 1) => {
    let seat: string | undefined;
    for (let i = 0; i < times; i++) seat = seats.use(name, () => `seat of ${name}`);
    return seat;
  };
  const pass = (minutes: number) => {
    now += minutes * 60_000;
  };
  return { seats, use, pass, names: () => [...seats].map(([name]) => name) };
}

test('a long tail takes no seat from those in use', () => {
  const { use, names, seats } = setUp(2);
  use('a', 20);
  use('b', 3);
  for (let i = 0; i < 1000; i++) expect(use(`tail ${i}`)).toBeUndefined();
  expect(names()).toEqual(['a', 'b']);
  expect(seats.get('a')).toBe('seat of a');
  expect(seats.get('tail 1')).toBeUndefined();
});

test('who is used twice as much takes the seat of the least used, which may come back', () => {
  const { use, names } = setUp(2);
  use('a', 20);
  use('b', 3);
  expect(use('c', 6)).toBeUndefined();
  expect(use('c')).toBe('seat of c');
  expect(names()).toEqual(['a', 'c']);
  expect(use('b', 11)).toBeUndefined();
  expect(use('b')).toBe('seat of b');
});

test('use is forgotten in time', () => {
  const { use, names, pass } = setUp(1);
  use('a', 1000);
  pass(60);
  expect(use('b', 1)).toBe('seat of b');
  expect(names()).toEqual(['b']);
});

test('no seats are possible', () => {
  const { use, names } = setUp(0);
  expect(use('a', 100)).toBeUndefined();
  expect(names()).toEqual([]);
});
