import { expect, test } from 'vitest';
import { policyHash, policyOf, SharePolicy } from './policy.ts';

test('defaults are explained, and changes stand over them', () => {
  for (const field of Object.values(SharePolicy.properties)) {
    const { description, default: value } = field as { description?: string; default?: unknown };
    expect(description).toMatch(/^[A-Z].{40,}\.$/);
    expect(value).toBeDefined();
  }
  expect(policyOf({ cap: 0.5 })).toEqual({ ...policyOf(), cap: 0.5 });
});

test('a policy that cannot be is refused with the field that is wrong', () => {
  expect(() => policyOf({ cap: 0 })).toThrow("The policy of shares is wrong at '/cap': it must be > 0.");
  expect(() => policyOf({ base: Number.NaN })).toThrow("'/base'");
  expect(() => policyOf({ version: 'colophon-shares-0' } as never)).toThrow("'/version'");
  expect(() => policyOf({ weight: 1 } as never)).toThrow(RangeError);
});

test('the hash names every value, and not the order in which they are written', () => {
  const policy = policyOf();
  expect(policyHash(Object.fromEntries(Object.entries(policy).reverse()) as SharePolicy)).toBe(
    policyHash(policy),
  );
  const hashes = Object.entries(policy).map(([name, value]) =>
    policyHash({ ...policy, [name]: typeof value === 'number' ? value / 2 : 'other' }),
  );
  expect(new Set([policyHash(policy), ...hashes]).size).toBe(hashes.length + 1);
});
