/** What a correction of a receipt says: the predicate of its in-toto Statement. */
import { type Static, Type } from 'typebox';
import { AccountAmounts } from './fee.ts';
import { ReceiptShares } from './receipt.ts';

/** Predicate type of the Statement. */
export const correctionType = 'urn:colophon:correction:v1';

const count = Type.Integer({ minimum: 0 });
const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });

/** Whole units in decimal, as text: many times an amount may pass what JSON's numbers hold. In order of the accounts; none is 0. */
export const AccountChanges = Type.Array(
  Type.Object({ account: Type.String(), units: Type.String({ pattern: '^-?[1-9][0-9]*$' }) }),
);

export const Correction = Type.Object({
  /** What is corrected: its id, its entry of the ledger, SHA-256 of its envelope. A receipt has at most one correction. */
  receipt: Type.Object({ id: Type.String(), entry: count, sha256 }),
  /** Unix milliseconds. */
  corrected: count,
  why: Type.Enum(['asked', 'dispute', 'sample']),
  /** Of a sample: it was drawn with the probability 1 / times, and stands for so many; else 1. */
  times: Type.Integer({ minimum: 1 }),
  /** What its choices were settled to again; those that are not here stay as they were. */
  choices: Type.Array(Type.Object({ choice: count, shares: ReceiptShares }), { minItems: 1 }),
  /** What each account would be owed by these shares, at the receipt's own rates; sums to the receipt's fee. */
  owed: AccountAmounts,
  /** `times` what that is more, or less, than the receipt says; sums to 0. */
  changes: AccountChanges,
});
export type Correction = Static<typeof Correction>;
export type AccountChanges = Static<typeof AccountChanges>;
