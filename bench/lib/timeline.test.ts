import { expect, it } from 'vitest';
import { decodeRate } from './timeline.ts';

it('counts tokens only while every sequence decodes', () => {
  // The second starts at 3 and the first ends at 5: two seconds with three tokens of the first and two of the second.
  expect(
    decodeRate([
      [1, 2, 3, 3.5, 4, 5],
      [3, 4, 5, 6],
    ]),
  ).toBe(5 / 2);
});

it('refuses a load in which sequences never decoded together', () => {
  expect(() =>
    decodeRate([
      [1, 2],
      [3, 4],
    ]),
  ).toThrow('no time in which all of them decoded');
});
