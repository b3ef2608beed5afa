import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../../gateway/config/index.ts';
import { AccountAmounts, Fee } from '../receipts/fee.ts';
import type { ReceiptShares } from '../receipts/receipt.ts';
import { checkedFees, type FeeSettings, feesConfig, priced } from './fees.ts';

const settingsOf = (given: object = {}) => Value.Default(feesConfig, given) as FeeSettings;
const usage = (prompt_tokens: number, completion_tokens: number) => ({ prompt_tokens, completion_tokens });
const shares = (base: number, pool: number, contributors: Record<string, number>): ReceiptShares => ({
  level: 1,
  influence: null,
  policy: 'a'.repeat(64),
  total: base + pool + Object.values(contributors).reduce((all, one) => all + one, 0),
  base,
  pool,
  contributors: Object.entries(contributors).map(([contributor, micro]) => ({
    contributor,
    micro,
    contributions: [{ contribution: 'c', micro }],
  })),
});
const choice = (generated_tokens: number, of: ReceiptShares | null = null) => ({
  generated_tokens,
  shares: of,
});
const sum = (owed: AccountAmounts) => owed.reduce((all, { units }) => all + BigInt(units), 0n);
const amounts = (owed: AccountAmounts) =>
  Object.fromEntries(owed.map(({ account, units }) => [account, units]));

test('nothing costs anything until the operator says so', () => {
  const { fee, owed } = priced(usage(5000, 700), [choice(700)], 'm', settingsOf());
  expect(fee).toMatchObject({ currency: 'unit', net: 0, platform: 0, total: 0 });
  expect(owed).toEqual([]);
});

test("OpenLedger's formula, rounded down once, split, and the contributors' part by shares", () => {
  const settings = settingsOf({
    currency: 'microUSD',
    rates: { input: 500, output: 1500, platform: 7 },
    split: { owner: 200_000, stakers: 100_000, contributors: 700_000 },
    models: { law: { owner: 'alice' } },
  });
  // 333 * 0.5 + 101 * 1.5 = 318: halves of a unit add up before they are rounded.
  const answer = [
    choice(100, shares(50_000_000, 10_000_000, { bo: 10_000_000, ada: 30_000_000 })),
    choice(1),
  ];
  const { fee, owed } = priced(usage(333, 101), answer, 'law', settings);
  expect(fee).toMatchObject({ input_tokens: 333, output_tokens: 101, net: 318, platform: 7, total: 325 });
  // 63.6, 31.8 and 222.6: the stakers' remainder is the greatest, the owner's the earlier of the others. Of 222 the base has
  // 51 parts of 101 (one of the choice without shares), the pool 10, ada 30, bo 10: 112.1, 21.98, 65.9, 21.98.
  expect(owed).toEqual([
    { account: 'contributor:ada', units: 66 },
    { account: 'contributor:bo', units: 22 },
    { account: 'owner:alice', units: 64 + 112 },
    { account: 'platform', units: 7 },
    { account: 'pool', units: 22 },
    { account: 'stakers:law', units: 32 },
  ]);
  expect(priced(usage(1, 1), [choice(1)], 'law', settings).fee.net).toBe(2);
  expect(priced(usage(1, 0), [], 'law', settings).fee.net).toBe(0);
});

test('a model has rates, a split and an owner of its own, and no inherited name is one', () => {
  const settings = settingsOf({
    rates: { output: 1000 },
    models: { dear: { rates: { output: 9000 }, split: { owner: 1_000_000, contributors: 0 } } },
  });
  const taught = [choice(10, shares(0, 0, { ada: 10_000_000 }))];
  expect(amounts(priced(usage(0, 10), taught, 'dear', settings).owed)).toEqual({ 'owner:dear': 90 });
  // What a model does not say is as for all.
  expect(priced(usage(1000, 0), [], 'dear', settings).fee.net).toBe(0);
  expect(amounts(priced(usage(0, 10), taught, 'constructor', settings).owed)).toEqual({
    'contributor:ada': 7,
    'owner:constructor': 3,
  });
});

test('as colophon.yaml has them, with what is left out as it is by default', () => {
  const folder = mkdtempSync(join(tmpdir(), 'colophon-fees-'));
  try {
    const file = join(folder, 'colophon.yaml');
    writeFileSync(
      file,
      'plugins:\n  metering:\n    fees:\n      rates: {input: 7}\n      models:\n        law: {owner: alice, rates: {output: 9}}\n',
    );
    const { fees } = loadConfig({ file, env: { COLOPHON_HOME: folder } }).plugin(
      'metering',
      Type.Object({ fees: feesConfig }),
    );
    expect(priced(usage(1000, 1000), [choice(0)], 'law', checkedFees(fees))).toMatchObject({
      fee: { rates: { input: 7, output: 9, platform: 0 }, split: { owner: 300_000, contributors: 700_000 } },
      owed: [{ account: 'owner:alice', units: 16 }],
    });
    writeFileSync(file, 'plugins:\n  metering:\n    fees: {split: {owner: 1.5}}\n');
    expect(() =>
      loadConfig({ file, env: { COLOPHON_HOME: folder } }).plugin(
        'metering',
        Type.Object({ fees: feesConfig }),
      ),
    ).toThrow(/owner/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a split that does not sum to a million is named', () => {
  expect(checkedFees(settingsOf())).toEqual(settingsOf());
  expect(() => checkedFees(settingsOf({ split: { stakers: 5 } }))).toThrow(
    'The parts of fees.split sum to 1000005. Let owner (300000), stakers (5) and contributors (700000) sum to 1000000.',
  );
  expect(() => checkedFees(settingsOf({ models: { m: { split: { owner: 0 } } } }))).toThrow(
    'The parts of fees.models.m.split sum to 700000.',
  );
});

describe('of any numbers', () => {
  const tokens = fc.integer({ min: 0, max: 2 ** 31 });
  const anyRates = fc.record({
    input: fc.integer({ min: 0, max: 10 ** 9 }),
    output: fc.integer({ min: 0, max: 10 ** 9 }),
    platform: fc.integer({ min: 0, max: 10 ** 15 }),
  });
  const anySplit = fc
    .tuple(fc.integer({ min: 0, max: 1_000_000 }), fc.integer({ min: 0, max: 1_000_000 }))
    .map(([one, other]) => [Math.min(one, other), Math.max(one, other)] as const)
    .map(([low, high]) => ({ owner: low, stakers: high - low, contributors: 1_000_000 - high }));
  const micro = fc.oneof(fc.constant(0), fc.maxSafeNat());
  const anyShares = fc
    .record({
      base: micro,
      pool: micro,
      of: fc.dictionary(fc.string({ minLength: 1 }), micro, { maxKeys: 6 }),
    })
    .map(({ base, pool, of }) => shares(base, pool, of));
  const anyChoices = fc.array(
    fc.record({ generated_tokens: fc.integer({ min: 0, max: 2 ** 31 }), shares: fc.option(anyShares) }),
    { maxLength: 4 },
  );
  const anySettings = fc
    .record({ rates: anyRates, split: anySplit })
    .map((given) => checkedFees(settingsOf(given)));

  test('what is owed sums to the fee, to the unit, and so do its parts', () => {
    fc.assert(
      fc.property(tokens, tokens, anyChoices, anySettings, (input, output, choices, settings) => {
        const { fee, owed } = priced(usage(input, output), choices, 'm', settings);
        expect(Value.Check(Fee, fee) && Value.Check(AccountAmounts, owed)).toBe(true);
        const { rates } = settings;
        const exact = BigInt(input) * BigInt(rates.input) + BigInt(output) * BigInt(rates.output);
        expect(BigInt(fee.net) * 1000n <= exact && exact < (BigInt(fee.net) + 1n) * 1000n).toBe(true);
        expect(BigInt(fee.total)).toBe(BigInt(fee.net) + BigInt(fee.platform));
        expect(Number.isSafeInteger(fee.total)).toBe(true);
        expect(sum(owed)).toBe(BigInt(fee.total));
        expect(owed.every(({ units }) => Number.isSafeInteger(units) && units > 0)).toBe(true);
        const names = owed.map(({ account }) => account);
        expect(names).toEqual([...new Set(names)].sort());
        const stakers = owed.find(({ account }) => account === 'stakers:m')?.units ?? 0;
        const ideal = (BigInt(fee.net) * BigInt(settings.split.stakers)) / 1_000_000n;
        expect(BigInt(stakers) - ideal === 0n || BigInt(stakers) - ideal === 1n).toBe(true);
      }),
    );
  });

  test('more tokens never cost less', () => {
    fc.assert(
      fc.property(tokens, tokens, tokens, tokens, anySettings, (a, b, c, d, settings) => {
        const [low, high] = [usage(Math.min(a, b), Math.min(c, d)), usage(Math.max(a, b), Math.max(c, d))];
        const cost = (of: typeof low) => priced(of, [], 'm', settings).fee.total;
        expect(cost(low)).toBeLessThanOrEqual(cost(high));
      }),
    );
  });

  test('an answer of which nobody is known pays no contributor and no pool', () => {
    fc.assert(
      fc.property(tokens, tokens, fc.array(tokens, { maxLength: 4 }), anySettings, (a, b, made, settings) => {
        const unknown = made.map((one) => choice(one));
        const { owed } = priced(usage(a, b), unknown, 'm', settings);
        for (const { account } of owed) expect(['owner:m', 'platform', 'stakers:m']).toContain(account);
      }),
    );
  });

  test('who is credited with more of an answer is paid no less of it, and who with nothing nothing', () => {
    fc.assert(
      fc.property(tokens, anyShares, anySettings, (output, of, settings) => {
        const paid = amounts(priced(usage(0, output), [choice(output, of)], 'm', settings).owed);
        const byCredit = [...of.contributors].sort((one, other) => one.micro - other.micro);
        const units = byCredit.map(({ contributor }) => paid[`contributor:${contributor}`] ?? 0);
        // Of equal ones the earlier by name may have a unit more.
        for (const [at, one] of units.slice(1).entries()) expect(one).toBeGreaterThanOrEqual(units[at]! - 1);
        for (const { contributor, micro } of of.contributors)
          if (micro === 0) expect(Object.keys(paid)).not.toContain(`contributor:${contributor}`);
      }),
    );
  });

  test('what would pass 2^53 - 1 units is refused and not rounded', () => {
    const dear = settingsOf({ rates: { output: 10 ** 9 } });
    expect(() => priced(usage(0, 2 ** 53 - 1), [], 'm', dear)).toThrow(
      '0 tokens in and 9007199254740991 out at 0 and 1000000000 units for 1000 cost more than 2^53 - 1 units.',
    );
  });
});
