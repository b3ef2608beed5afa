/** From a receipt, and what its response was settled to again, to its correction. */
import { isDeepStrictEqual } from 'node:util';
import type { SettledAgain } from '../../../gateway/contract/index.ts';
import { priced } from '../money/fees.ts';
import type { AccountChanges, Correction } from './correction.ts';
import { correctionType } from './correction.ts';
import type { AccountAmounts } from './fee.ts';
import { sharesOf, statementAbout } from './make_receipt.ts';
import type { Receipt } from './receipt.ts';

/**
 * Undefined where it does not change a choice that the receipt has shares of. `owner`: whose the model is, where the receipt owes no
 * owner anything and so names none.
 */
export function correctionOf(
  receipt: Receipt,
  named: Correction['receipt'],
  again: SettledAgain,
  corrected: number,
  owner: string,
): Correction | undefined {
  const choices = again.choices
    .filter(({ choice, shares }) => receipt.choices[choice]?.shares?.total === shares.total)
    .map(({ choice, shares }) => ({ choice, shares: sharesOf(shares) }));
  if (choices.length === 0) return undefined;
  const { why, times } = again;
  const owed = owedAgain(receipt, choices, ownerIn(receipt.owed) ?? owner);
  return {
    receipt: named,
    corrected,
    why,
    times,
    choices,
    owed,
    changes: changesOf(receipt.owed, owed, times),
  };
}

/** What is wrong in a correction's numbers, as a sentence, beside the receipt that it corrects; null where they follow from it. */
export function correctionFault(
  receipt: Receipt,
  { why, times, choices, owed, changes }: Correction,
): string | null {
  if (why !== 'sample' && times !== 1) return `It was not drawn, and counts ${times} times.`;
  const seen = new Set<number>();
  for (const { choice, shares } of choices) {
    if (seen.has(choice)) return `It has shares of choice ${choice} twice.`;
    seen.add(choice);
    const first = receipt.choices[choice]?.shares;
    if (!first) return `It has shares of choice ${choice}, of which the receipt has none.`;
    const { base, pool, contributors, total } = shares;
    const sum = contributors.reduce((all, { micro }) => all + micro, base + pool);
    if (sum !== total || total !== first.total)
      return `Its shares of choice ${choice} sum to ${sum}, the receipt's to ${first.total}.`;
  }
  const sum = changes.reduce((all, { units }) => all + BigInt(units), 0n);
  if (sum !== 0n) return `Its changes sum to ${sum}, and not to 0.`;
  const again = owedAgain(receipt, choices, ownerIn(receipt.owed) ?? ownerIn(owed) ?? receipt.model.name);
  if (!isDeepStrictEqual(owed, again))
    return `At the receipt's rates its shares come to ${JSON.stringify(again)}, and it says ${JSON.stringify(owed)}.`;
  const differences = changesOf(receipt.owed, owed, times);
  if (!isDeepStrictEqual(changes, differences))
    return `It changes ${JSON.stringify(changes)}; what is owed changes by ${JSON.stringify(differences)}.`;
  return null;
}

/** The bytes that are signed: an in-toto Statement v1 about the receipt that is corrected. */
export function correctionStatement(correction: Correction): Buffer {
  const { id, sha256 } = correction.receipt;
  return statementAbout([{ name: `receipts/${id}`, digest: { sha256 } }], correctionType, correction);
}

/** By the rates, the split and the owner that the receipt has. */
function owedAgain(
  { usage, choices, model, fee }: Receipt,
  again: Correction['choices'],
  owner: string,
): AccountAmounts {
  const corrected = new Map(again.map(({ choice, shares }) => [choice, shares]));
  const { currency, rates, split } = fee;
  return priced(
    usage,
    choices.map(({ generated_tokens, shares }, at) => ({
      generated_tokens,
      shares: corrected.get(at) ?? shares,
    })),
    model.name,
    { currency, rates, split, models: { [model.name]: { owner } } },
  ).owed;
}

/** The owner whom a receipt names. */
export const ownerIn = (owed: AccountAmounts): string | undefined =>
  owed.map(({ account }) => /^owner:(.*)$/s.exec(account)?.[1]).find((name) => name !== undefined);

function changesOf(before: AccountAmounts, after: AccountAmounts, times: number): AccountChanges {
  const units = new Map<string, bigint>();
  const add = (amounts: AccountAmounts, sign: bigint) => {
    for (const one of amounts)
      units.set(one.account, (units.get(one.account) ?? 0n) + sign * BigInt(times) * BigInt(one.units));
  };
  add(before, -1n);
  add(after, 1n);
  return [...units]
    .filter(([, change]) => change !== 0n)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([account, change]) => ({ account, units: String(change) }));
}
