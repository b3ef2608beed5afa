/** What a correction changes is what its shares come to at the receipt's own rates, less what the receipt says: nothing is made or lost. */
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { expect, test } from 'vitest';
import type { SettledAgain } from '../../../gateway/contract/index.ts';
import { sampleOf } from '../../attribution/again.ts';
import { type FeeSettings, feesConfig, priced } from '../money/fees.ts';
import { Correction } from './correction.ts';
import { correctionFault, correctionOf } from './make_correction.ts';
import type { Receipt, ReceiptShares } from './receipt.ts';

const named = { id: 'r', entry: 3, sha256: 'a'.repeat(64) };
const settingsOf = (given: object) => Value.Default(feesConfig, given) as FeeSettings;

const sharesOf = (level: number, base: number, pool: number, ada: number): ReceiptShares => ({
  level,
  influence: level === 1 ? 'repsim' : 'cosine',
  policy: 'b'.repeat(64),
  total: 3_000_000,
  base,
  pool,
  contributors: [
    { contributor: 'ada', micro: ada, contributions: [{ contribution: 'c', micro: ada }] },
    { contributor: 'bo', micro: 3_000_000 - base - pool - ada, contributions: [] },
  ].filter(({ micro }) => micro > 0),
});
const anyShares = (level: number) =>
  fc
    .tuple(fc.nat(3_000_000), fc.nat(3_000_000), fc.nat(3_000_000))
    .map((cuts) => cuts.sort((a, b) => a - b) as [number, number, number])
    .map(([a, b, c]) => sharesOf(level, a, b - a, c - b));

function receiptOf(choices: Array<ReceiptShares | null>, settings: FeeSettings): Receipt {
  const usage = { prompt_tokens: 2000, cached_tokens: 0, completion_tokens: 3 * choices.length };
  const commitment = { tokens: 3, sha256: 'c'.repeat(64) };
  const made = choices.map((shares) => ({
    ...{ prompt: commitment, cached_tokens: 0, output: commitment, generated_tokens: 3 },
    ...{ finish: 'stop' as const, shares },
  }));
  return {
    ...{ id: 'r', tenant: 't', key: 'k', began: 1, ended: 2 },
    model: { name: 'law', base: { name: 'b', sha256: null }, adapter: null, attribution: {} },
    engine: { backend: 'mock', version: null, precision: null },
    ...{ choices: made, usage },
    ...priced(usage, made, 'law', settings),
  };
}
const settings = fc
  .record({
    input: fc.nat(10 ** 9),
    output: fc.nat(10 ** 9),
    platform: fc.nat(10 ** 6),
    owner: fc.nat(1_000_000),
    alice: fc.boolean(),
  })
  .map(({ input, output, platform, owner, alice }) =>
    settingsOf({
      rates: { input, output, platform },
      split: { owner, stakers: 0, contributors: 1_000_000 - owner },
      ...(alice ? { models: { law: { owner: 'alice' } } } : {}),
    }),
  );
const ownerOf = ({ models }: FeeSettings) => models.law?.owner ?? 'law';
const again = (times: number, ...shares: ReceiptShares[]): SettledAgain => ({
  why: times === 1 ? 'asked' : 'sample',
  times,
  choices: shares.map((one, choice) => ({ choice, shares: one })),
});
const units = (changes: Correction['changes']) =>
  Object.fromEntries(changes.map((one) => [one.account, BigInt(one.units)]));

test('of any shares, rates and lot', () => {
  fc.assert(
    fc.property(
      anyShares(1),
      anyShares(1),
      anyShares(2),
      settings,
      fc.constantFrom(1, 100, 10 ** 6),
      (one, two, deeper, fees, times) => {
        const receipt = receiptOf([one, two], fees);
        const correction = correctionOf(receipt, named, again(times, deeper), 9, ownerOf(fees))!;
        expect(Value.Check(Correction, JSON.parse(JSON.stringify(correction)))).toBe(true);
        expect(correctionFault(receipt, correction)).toBeNull();
        // As if the second level had been the first, and nothing else had changed.
        const second = receiptOf([deeper, two], fees);
        expect(correction.owed).toEqual(second.owed);
        const changes = units(correction.changes);
        expect(Object.values(changes).reduce((all, change) => all + change, 0n)).toBe(0n);
        for (const { account } of [...receipt.owed, ...second.owed]) {
          const of = (owed: Receipt['owed']) => owed.find((it) => it.account === account)?.units ?? 0;
          expect(changes[account] ?? 0n).toBe(BigInt(times) * BigInt(of(second.owed) - of(receipt.owed)));
        }
      },
    ),
  );
});

test('over all lots, each account is paid on average what the second level says, to the unit', () => {
  fc.assert(
    fc.property(
      anyShares(1),
      anyShares(2),
      settings,
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (first, deeper, fees, part) => {
        const times = Math.round(1 / part);
        const receipt = receiptOf([first], fees);
        const paid = new Map<string, bigint>();
        const add = (account: string, change: bigint) =>
          paid.set(account, (paid.get(account) ?? 0n) + change);
        // Lots are numbers from 0 to below 1, each as likely: one in the middle of each equal part.
        for (let lot = 0; lot < times; lot++) {
          const { of, probability } = sampleOf(part, () => (lot + 0.5) / times);
          for (const one of receipt.owed) add(one.account, BigInt(one.units));
          if (!of('r')) continue;
          const drawn = again(Math.round(1 / probability), deeper);
          const made = correctionOf(receipt, named, { ...drawn, why: 'sample' }, 9, ownerOf(fees))!;
          for (const [account, change] of Object.entries(units(made.changes))) add(account, change);
        }
        const expected = new Map(
          receiptOf([deeper], fees).owed.map((one) => [one.account, BigInt(one.units) * BigInt(times)]),
        );
        for (const account of new Set([...paid.keys(), ...expected.keys()]))
          expect(paid.get(account) ?? 0n).toBe(expected.get(account) ?? 0n);
      },
    ),
    { numRuns: 50 },
  );
});

const fees = settingsOf({
  rates: { input: 0, output: 1_000_000, platform: 0 },
  split: { owner: 0, stakers: 0, contributors: 1_000_000 },
  models: { law: { owner: 'alice' } },
});

test('names the owner that the receipt had no reason to name', () => {
  const receipt = receiptOf([sharesOf(1, 0, 0, 3_000_000)], fees);
  expect(receipt.owed).toEqual([{ account: 'contributor:ada', units: 3000 }]);
  const correction = correctionOf(
    receipt,
    named,
    again(1, sharesOf(2, 1_000_000, 0, 2_000_000)),
    9,
    'alice',
  )!;
  expect(units(correction.changes)).toEqual({ 'contributor:ada': -1000n, 'owner:alice': 1000n });
  expect(correctionFault(receipt, correction)).toBeNull();
});

test('is none where the receipt has no shares, or of something else', () => {
  const deeper = sharesOf(2, 0, 0, 1);
  expect(correctionOf(receiptOf([null], fees), named, again(1, deeper), 9, 'alice')).toBeUndefined();
  const shorter = { ...deeper, total: 2_000_000 };
  const receipt = receiptOf([sharesOf(1, 0, 0, 1)], fees);
  expect(correctionOf(receipt, named, again(1, shorter), 9, 'alice')).toBeUndefined();
});

test('whichever number is changed, it is found', () => {
  const receipt = receiptOf([sharesOf(1, 1_000_000, 500_000, 1_000_000), null], fees);
  const made = correctionOf(receipt, named, again(4, sharesOf(2, 0, 500_000, 2_000_000)), 9, 'alice')!;
  const fault = (change: (correction: Correction) => void) => {
    const changed = structuredClone(made);
    change(changed);
    return correctionFault(receipt, changed);
  };
  expect(fault(() => {})).toBeNull();
  const changes: Array<[change: Parameters<typeof fault>[0], why: string]> = [
    [(one) => Object.assign(one, { why: 'asked' }), 'It was not drawn, and counts 4 times.'],
    [(one) => one.times++, 'It changes ['],
    [({ owed }) => owed[0]!.units++, "At the receipt's rates its shares come to ["],
    [({ changes: [first] }) => Object.assign(first!, { units: '1' }), 'Its changes sum to '],
    [({ choices: [first] }) => first!.shares.base++, 'Its shares of choice 0 sum to 3000001, the receipt'],
    [({ choices: [first] }) => Object.assign(first!, { choice: 1 }), 'It has shares of choice 1, of which'],
    [({ choices }) => choices.push(choices[0]!), 'It has shares of choice 0 twice.'],
    [
      ({ choices: [first] }) => {
        first!.shares.base += 7000;
        first!.shares.pool -= 7000;
      },
      "At the receipt's rates its shares come to [",
    ],
    [
      (one) => {
        for (const change of one.changes) change.units = String(2n * BigInt(change.units));
      },
      'It changes [',
    ],
  ];
  for (const [change, why] of changes) expect(fault(change)).toContain(why);
});
