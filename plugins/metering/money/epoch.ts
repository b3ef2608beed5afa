/**
 * What a closed epoch says: the predicate of its in-toto Statement. Amounts are whole units in decimal, as text: sums may pass what
 * JSON's numbers hold. Signed where they may be below 0.
 */
import { type Static, Type } from 'typebox';
import { distributionOf, type Payee } from './distribution.ts';

/** Predicate type of the Statement. */
export const epochType = 'urn:colophon:epoch:v1';

const closed = { additionalProperties: false };
const count = Type.Integer({ minimum: 0 });
const text = Type.String();
const units = Type.String({ pattern: '^(0|[1-9][0-9]*)$', description: 'Whole units, decimal.' });
const signed = (description = 'Whole units, decimal; may be below 0.') =>
  Type.String({ pattern: '^(0|-?[1-9][0-9]*)$', description });

export const AccountStatement = Type.Object(
  {
    account: text,
    receipts: Type.Integer({ minimum: 0, description: "That it earned by: of this epoch's entries." }),
    carried_in: signed(),
    earned: units,
    /** Both where there is a correction. */
    corrections: Type.Optional(
      Type.Integer({ minimum: 1, description: "Of this epoch's entries that change what it is owed." }),
    ),
    corrected: Type.Optional(signed('What they change, whichever epoch the receipts are of; absent: 0.')),
    adjusted: signed('By disputes over receipts of earlier epochs, and over what was corrected in them.'),
    paid: units,
    carried_out: signed(
      'carried_in + earned + corrected + adjusted - paid; below 0 it is taken from what comes.',
    ),
    address: Type.Union([text, Type.Null()], { description: 'Where it is paid, or would be.' }),
  },
  closed,
);

export const disputeStates = ['open', 'rejected', 'upheld'] as const;

/** A dispute that was opened or resolved since the epoch before, and what that changed. */
export const DisputeEffect = Type.Object(
  {
    dispute: count,
    receipt: text,
    state: Type.Enum([...disputeStates]),
    /** Where the amounts are: not counted in `earned`, in `adjusted`, or nothing changed. */
    in: Type.Enum(['earned', 'adjusted', 'nothing']),
    amounts: Type.Array(Type.Object({ account: text, units: signed() }, closed)),
  },
  closed,
);

/** A correction that a dispute over its receipt keeps from counting, or lets count again. */
export const CorrectionEffect = Type.Object(
  {
    /** Id of the receipt, and the correction's entry of the ledger. */
    receipt: text,
    entry: count,
    /** Where the amounts are: not counted in `corrected`, as it came in this epoch; or in `adjusted`. */
    in: Type.Enum(['corrected', 'adjusted']),
    amounts: Type.Array(Type.Object({ account: text, units: signed() }, closed)),
  },
  closed,
);

const totals = Type.Object(
  {
    receipts: count,
    /** Absent: none. What they change sums to 0. */
    corrections: Type.Optional(Type.Integer({ minimum: 1 })),
    owed: units,
    earned: units,
    adjusted: signed(),
    carried_in: signed(),
    paid: units,
    carried_out: signed(),
    /** Of receipts in dispute, before and after; `withheld`: of those whose dispute was upheld. */
    held_in: units,
    held_out: units,
    withheld_in: units,
    withheld_out: units,
  },
  closed,
);

export const Epoch = Type.Object(
  {
    epoch: Type.Integer({ minimum: 1 }),
    /** Unix milliseconds. */
    closed: count,
    currency: text,
    /** Entries of the ledger whose receipts and corrections are in it: the first, and the first that is not. */
    entries: Type.Object({ from: count, to: count }, closed),
    /** SHA-256 of the JSON of the predicate before, hex. */
    previous: Type.Union([Type.String({ pattern: '^[0-9a-f]{64}$' }), Type.Null()]),
    /** What an account needs to be paid. */
    threshold: units,
    totals,
    distribution: Type.Union([
      Type.Object({ root: Type.String({ pattern: '^0x[0-9a-f]{64}$' }), addresses: count }, closed),
      Type.Null(),
    ]),
    /** By account, in order of its name (of its UTF-16 code units): all that earned, were adjusted or carry something. */
    statements: Type.Array(AccountStatement),
    disputes: Type.Array(DisputeEffect),
    corrections: Type.Optional(Type.Array(CorrectionEffect)),
  },
  closed,
);

export type AccountStatement = Static<typeof AccountStatement>;
export type DisputeEffect = Static<typeof DisputeEffect>;
export type CorrectionEffect = Static<typeof CorrectionEffect>;
export type EpochTotals = Static<typeof totals>;
export type Epoch = Static<typeof Epoch>;

/** What a closed epoch says; `json` is what its hash is of. */
export interface ClosedEpoch {
  epoch: Epoch;
  json: string;
  sha256: string;
}

/** The in-toto Statement about the predicate itself, in the very bytes that its digest is of. */
export function epochStatement({ epoch, json, sha256 }: ClosedEpoch): Buffer {
  const subject = JSON.stringify([{ name: `epochs/${epoch.epoch}`, digest: { sha256 } }]);
  return Buffer.from(
    `{"_type":"https://in-toto.io/Statement/v1","subject":${subject},"predicateType":"${epochType}","predicate":${json}}`,
  );
}

/**
 * What is wrong in an epoch's numbers, as a sentence; null where all add up and its root is that of what it pays. Asks nobody. How
 * many receipts there were, and what each is worth, only the receipts themselves can tell.
 */
export function epochFault(epoch: Epoch): string | null {
  const { threshold, totals, distribution, statements, disputes, corrections = [] } = epoch;
  const changes = new Map<string, bigint>();
  for (const { in: column, amounts } of [...disputes, ...corrections])
    for (const { account, units } of column === 'adjusted' ? amounts : [])
      changes.set(account, (changes.get(account) ?? 0n) + BigInt(units));
  const sums = { carried_in: 0n, earned: 0n, adjusted: 0n, paid: 0n, carried_out: 0n };
  let allCorrected = 0n;
  let before = '';
  for (const { account, address, ...amounts } of statements) {
    if (account <= before) return `The account '${account}' stands behind '${before}'.`;
    before = account;
    const [carriedIn, earned, adjusted] = [amounts.carried_in, amounts.earned, amounts.adjusted].map(BigInt);
    const [paid, carriedOut] = [BigInt(amounts.paid), BigInt(amounts.carried_out)];
    if (adjusted !== (changes.get(account) ?? 0n))
      return `The disputes adjust '${account}' by ${changes.get(account) ?? 0n}, and its statement says ${adjusted}.`;
    const corrected = BigInt(amounts.corrected ?? 0);
    allCorrected += corrected;
    const due = carriedIn! + earned! + corrected + adjusted!;
    if (due !== paid + carriedOut) return `What '${account}' is paid and carries is not what it has.`;
    const isDue = address !== null && due >= BigInt(threshold);
    if (paid !== (isDue ? due : 0n)) return `'${account}' is paid ${paid} and not ${isDue ? due : 0n}.`;
    for (const name of ['carried_in', 'earned', 'adjusted', 'paid', 'carried_out'] as const)
      sums[name] += BigInt(amounts[name]);
  }
  for (const name of ['carried_in', 'earned', 'adjusted', 'paid', 'carried_out'] as const) {
    if (sums[name] !== BigInt(totals[name]))
      return `The statements' ${name} sums to ${sums[name]}, and the total says ${totals[name]}.`;
  }
  if (allCorrected !== 0n) return `What corrections change sums to ${allCorrected}, and not to 0.`;
  const was = BigInt(totals.owed) + BigInt(totals.held_in) + BigInt(totals.withheld_in);
  const is = sums.earned + sums.adjusted + BigInt(totals.held_out) + BigInt(totals.withheld_out);
  if (was !== is) return `${was} units were owed or held, and ${is} are earned, held or withheld.`;
  const tree = distributionOf(payeesOf(statements));
  if (tree?.root !== distribution?.root || tree?.length !== distribution?.addresses)
    return `What is paid has the root ${tree?.root ?? 'of nothing'}, and not ${distribution?.root ?? 'none'}.`;
  return null;
}

/** Why an epoch does not go on from the one before, as a sentence; null where it does. `sha256`: of the JSON of the one before. */
export function succession(before: Epoch, sha256: string, epoch: Epoch): string | null {
  if (epoch.epoch !== before.epoch + 1 || epoch.previous !== sha256)
    return `Epoch ${epoch.epoch} names another one before it than this epoch ${before.epoch}.`;
  if (epoch.entries.from !== before.entries.to)
    return `It begins at entry ${epoch.entries.from}, and the one before ends before ${before.entries.to}.`;
  if (epoch.currency !== before.currency)
    return `It is in ${epoch.currency}, and the one before in ${before.currency}.`;
  for (const what of ['held', 'withheld'] as const) {
    const [was, is] = [before.totals[`${what}_out`], epoch.totals[`${what}_in`]];
    if (was !== is) return `It begins with ${is} ${what}, and the one before ends with ${was}.`;
  }
  const carried = new Map(before.statements.map(({ account, carried_out }) => [account, carried_out]));
  for (const { account, carried_in } of epoch.statements) {
    const was = carried.get(account) ?? '0';
    carried.delete(account);
    if (was !== carried_in)
      return `'${account}' carries ${carried_in} in, and carried ${was} out of the one before.`;
  }
  for (const [account, was] of carried)
    if (was !== '0') return `'${account}' carried ${was} out of the one before, and is not named.`;
  return null;
}

/** What each address is paid, in order of the addresses: an account's share of it is in its statement. */
export function payeesOf(statements: readonly AccountStatement[]): Payee[] {
  const byAddress = new Map<string, bigint>();
  for (const { address, paid } of statements)
    if (paid !== '0') byAddress.set(address!, (byAddress.get(address!) ?? 0n) + BigInt(paid));
  return [...byAddress]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([address, units]) => ({ address, amount: String(units) }));
}
