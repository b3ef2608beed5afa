/** A record of the journal says what was given to be recorded. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeGroup, encodeGroup } from './protocol.ts';
import { runsOf, TokenRuns } from './token_runs.ts';

const count = (max: number) => fc.nat(max);
const words = fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { maxLength: 400 });
const number = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const text = fc.string({ unit: 'grapheme', maxLength: 20 });

const begun = fc.record({
  number,
  about: fc.record({
    response: text,
    tenant: text,
    key: text,
    model: text,
    base: fc.record({ name: text, sha256: fc.option(text) }),
    adapter: fc.option(fc.record({ name: text, sha256: text, folder: text })),
    engine: fc.record({ backend: text, version: fc.option(text), precision: fc.option(text) }),
    choices: fc.array(fc.record({ prompt: count(3) }), { maxLength: 3 }),
  }),
  prompts: fc.array(
    words.map((ids) => Int32Array.from(ids)),
    { maxLength: 3 },
  ),
  grammars: fc.array(text, { maxLength: 2 }),
  began: count(2 ** 31),
});
const ended = fc.record({
  number,
  ended: count(2 ** 31),
  choices: fc.array(
    fc.record({ made: count(9), handed: count(9), finish: fc.constantFrom('stop', 'length', 'cut') }),
    {
      maxLength: 3,
    },
  ),
});
const run = fc.record({ number, choice: count(100), cached: count(2 ** 20), ids: words });

test('whatever begins, comes and ends is read as it was written', () => {
  fc.assert(
    fc.property(
      count(2 ** 31),
      fc.array(begun, { maxLength: 4 }),
      fc.array(run, { maxLength: 80 }),
      fc.array(ended, { maxLength: 4 }),
      fc.nat(3),
      (at, allBegun, runs, allEnded, shift) => {
        const tokens = new TokenRuns();
        for (const { number, choice, cached, ids } of runs) tokens.add(number, choice, cached, ids);
        const record = encodeGroup({ at, begun: allBegun, tokens: tokens.words, ended: allEnded });
        // As it lies in the file of many.
        const group = decodeGroup(Buffer.concat([Buffer.alloc(shift), record]).subarray(shift));
        expect({ ...group, tokens: undefined }).toEqual({
          ...{ at, begun: allBegun, ended: allEnded },
          tokens: undefined,
        });
        expect([...runsOf(group.tokens)].map((one) => ({ ...one, ids: [...one.ids] }))).toEqual(runs);
      },
    ),
    { numRuns: 200 },
  );
});
