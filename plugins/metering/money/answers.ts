/** What the routes of payouts answer. Every object is closed: what is not named here does not come. */
import { type TProperties, type TSchema, Type } from 'typebox';
import type { Dispute } from './disputes.ts';
import { AccountStatement, Epoch } from './epoch.ts';
import type { EpochSummary, KeptEpoch } from './money.ts';

const closed = <Fields extends TProperties>(fields: Fields) =>
  Type.Object(fields, { additionalProperties: false });
const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()]);
const text = Type.String();
const time = Type.Integer({ description: 'Unix seconds.' });
const entry = orNull(Type.Integer({ description: 'Its entry of the ledger.' }));
const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$', description: "Of the predicate's JSON." });

export const listAnswer = (item: TSchema) =>
  closed({ object: Type.Literal('list'), data: Type.Array(item), has_more: Type.Boolean() });

const { epoch, currency, entries, totals, distribution } = Epoch.properties;
export const epochSummaryAnswer = closed({
  object: Type.Literal('payout.epoch'),
  epoch,
  closed_at: time,
  currency,
  entries,
  totals,
  distribution,
  sha256,
  entry,
});
export const epochAnswer = closed({
  object: Type.Literal('payout.epoch'),
  sha256,
  entry,
  envelope: orNull(
    Type.Object(
      {
        payloadType: text,
        payload: text,
        signatures: Type.Array(closed({ keyid: text, sig: text })),
      },
      { additionalProperties: false, description: 'The signed Statement, whose predicate it is (DSSE).' },
    ),
  ),
  proof: orNull(Type.String({ description: 'c2sp.org/tlog-proof@v1: that the ledger has it.' })),
  predicate: Epoch,
});

export const distributionAnswer = closed({
  format: Type.Literal('standard-v1'),
  leafEncoding: Type.Array(text),
  tree: Type.Array(text),
  values: Type.Array(closed({ value: Type.Array(text), treeIndex: Type.Integer() })),
});

export const proofAnswer = closed({
  format: Type.Literal('colophon-payout-v1'),
  epoch,
  currency,
  account: text,
  paid: Type.String({ description: "The account's part of the amount." }),
  address: text,
  amount: Type.String({ description: 'What the address is paid: of all accounts that have it.' }),
  proof: Type.Array(text),
  root: text,
});

export const accountAnswer = closed({
  object: Type.Literal('payout.account'),
  account: text,
  currency,
  address: orNull(text),
  balance: Type.String({
    description: 'Carried out of the last epoch; below 0 it is taken from what comes.',
  }),
  accruing: Type.Object(
    {
      receipts: Type.Integer(),
      corrections: Type.Integer(),
      units: Type.String({ description: 'Whole units, decimal; below 0 where corrections take more.' }),
    },
    {
      additionalProperties: false,
      description: 'Of the open epoch; what is in dispute is in it until that is closed.',
    },
  ),
  statements: Type.Array(closed({ epoch, ...AccountStatement.properties })),
});

export const addressAnswer = closed({
  object: Type.Literal('payout.address'),
  account: text,
  address: orNull(text),
  since: time,
  by: text,
});

export const disputeAnswer = closed({
  object: Type.Literal('payout.dispute'),
  id: Type.Integer(),
  receipt: text,
  entry: Type.Integer({ description: "The receipt's of the ledger." }),
  reason: text,
  opened_by: text,
  opened_at: time,
  state: Type.Enum(['open', 'rejected', 'upheld']),
  resolution: orNull(text),
  resolved_by: orNull(text),
  resolved_at: orNull(time),
  correction: orNull(
    Type.Integer({ description: "Of its receipt: the correction's entry of the ledger, once there is one." }),
  ),
});

export const seconds = (milliseconds: number) => Math.floor(milliseconds / 1000);

export function epochSummaryJson({ closed, ...same }: EpochSummary) {
  return { object: 'payout.epoch' as const, closed_at: seconds(closed), ...same };
}

export function epochJson({ predicate, envelope, proof, ...same }: KeptEpoch & { proof: string | null }) {
  return {
    object: 'payout.epoch' as const,
    ...same,
    proof,
    envelope: envelope === null ? null : JSON.parse(envelope),
    predicate,
  };
}

export function disputeJson({ idx, opened_at, resolved_at, ...same }: Dispute) {
  return {
    object: 'payout.dispute' as const,
    ...same,
    entry: idx,
    opened_at: seconds(opened_at),
    resolved_at: resolved_at === null ? null : seconds(resolved_at),
  };
}
