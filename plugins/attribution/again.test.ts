/** What was settled again is told in order, with its lot, once nothing of it is waiting. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Again, sampleOf } from './again.ts';
import { Corpora } from './corpus.ts';
import { Appraiser } from './gradients/appraiser.ts';
import { Records, type SecondLevel } from './records.ts';
import { type Settlement, unattributedShares } from './settle.ts';
import { Settling } from './settling.ts';
import { policyOf } from './shares/policy.ts';
import { cardOf } from './testing/taught.ts';

let home: string;
let records: Records;
let again: Again;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'colophon-again-'));
  open();
});
afterEach(() => {
  records.close();
  rmSync(home, { recursive: true, force: true });
});

function open(): void {
  records = new Records(join(home, 'data'), () => {});
  const settling = new Settling({
    records,
    corpora: new Corpora(),
    policy: policyOf(),
    log: { warn: () => {} },
    appraiser: new Appraiser(1),
    base: async () => undefined,
    sample: { of: () => false, probability: 0 },
  });
  again = new Again(records, settling);
}

const sample: SecondLevel = { status: 'wanted', why: 'sample', probability: 1 / 100 };
const { tokens: _, ...base } = unattributedShares(3, policyOf());
const first: Settlement = { level: 1, ...base };
const second: Settlement = { ...first, level: 2, influence: 'cosine', base: first.base - 5, pool: 5 };
const evidence = { method: 'cosine', base: [1, 1, 1], scores: [] } as const;

/** An answer with choices that are settled, each by lot or not. */
function answered(response: string, lots: Array<SecondLevel | null>): void {
  for (const choice of lots.keys())
    records.add({
      response,
      choice,
      tenant: 'default',
      model: cardOf(home),
      prompt: [1],
      finish: 'stop',
      tokens: Int32Array.of(1, 2, 3),
      spans: [],
      state: undefined,
      reason: undefined,
    });
  for (const { seq, choice } of records.of(response, undefined))
    records.settle(seq, 'settled', null, first, lots[choice]!);
}
const choiceOf = (response: string, choice: number) => records.of(response, undefined)[choice]!;
const done = (response: string, choice = 0) =>
  records.settleAgain(
    choiceOf(response, choice),
    { status: 'done', evidence: { ...evidence, base: [...evidence.base], scores: [] }, first },
    second,
  );
const want = (response: string) =>
  records.want(
    records.of(response, undefined).map(({ seq }) => seq),
    { status: 'wanted', why: 'asked' },
  );

test('a drawn response stands for as many as its lot says, one that was asked about for itself', async () => {
  answered('drawn', [sample]);
  answered('asked', [null]);
  answered('neither', [null]);
  expect(want('asked')).toBe(true);
  expect(want('asked')).toBe(false);
  for (const response of ['drawn', 'asked']) done(response);
  const { level, influence, policy, total, pool } = second;
  const shares = { level, influence, policy, total, base: second.base, pool, contributors: [] };
  expect(await again.of('drawn')).toEqual({ why: 'sample', times: 100, choices: [{ choice: 0, shares }] });
  expect(await again.of('asked')).toEqual({ why: 'asked', times: 1, choices: [{ choice: 0, shares }] });
  expect(await again.of('neither')).toBeUndefined();
  expect(choiceOf('drawn', 0)).toMatchObject({ settlement: second, second: { first } });
});

test('who asks about what waits as drawn takes it out of the lot, also while it is being settled', async () => {
  answered('r', [sample, sample]);
  done('r', 0);
  expect(await again.of('r')).toBeUndefined();
  const under = records.wanted()!;
  expect(want('r')).toBe(true);
  records.settleAgain(under, { status: 'failed', reason: 'Too long.' }, null);
  expect(choiceOf('r', 1).second).toEqual({ status: 'failed', why: 'asked', reason: 'Too long.' });
  expect(await again.of('r')).toMatchObject({ why: 'asked', times: 1, choices: [{ choice: 0 }] });
});

test('it is told in order, in this run and a later one, each time once', async () => {
  for (const response of ['a', 'b', 'c']) answered(response, [sample]);
  for (const response of ['b', 'a']) done(response);
  done('b');
  const told = await again.since(0, 10);
  expect(told.map(({ response }) => response)).toEqual(['b', 'a']);
  records.close();
  open();
  done('c');
  expect(await again.since(0, 1)).toEqual(told.slice(0, 1));
  expect((await again.since(told[1]!.place, 10)).map(({ response }) => response)).toEqual(['c']);
});

test('one in a whole number is drawn, whichever part is asked for', () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-6, max: 1, noNaN: true }), (part) => {
      const { of, probability } = sampleOf(part, (response) => Number(response));
      const times = Math.round(1 / probability);
      expect(Math.abs(times - 1 / part)).toBeLessThanOrEqual(0.5 + 1e-6);
      expect(of(String(1 / times - 1e-12))).toBe(true);
      expect(of(String(1 / times + 1e-12))).toBe(false);
    }),
  );
  expect(sampleOf(0, () => 0).of('r')).toBe(false);
});
