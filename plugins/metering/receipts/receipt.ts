/** What a receipt says: the predicate of its in-toto Statement. Whole numbers, hashes and names, no text of anyone. */
import { type Static, Type } from 'typebox';
import { AccountAmounts, Fee } from './fee.ts';

/** Predicate type of the Statement. */
export const receiptType = 'urn:colophon:receipt:v1';

const count = Type.Integer({ minimum: 0 });
const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });
const text = Type.String();

/** Token ids as a salted commitment (opening.ts): whoever has them and the salt can check it, and nobody can guess them from it. */
const Committed = Type.Object({ tokens: count, sha256 });

/** Millionths of a token: base, pool and contributors sum to `total`. */
export const ReceiptShares = Type.Object({
  level: Type.Integer({ description: '1: by what generating gives for nothing.' }),
  influence: Type.Union([text, Type.Null()]),
  policy: sha256,
  total: count,
  base: count,
  pool: count,
  contributors: Type.Array(
    Type.Object({
      contributor: text,
      micro: count,
      contributions: Type.Array(Type.Object({ contribution: text, micro: count })),
    }),
  ),
});

export const ReceiptChoice = Type.Object({
  prompt: Committed,
  cached_tokens: count,
  /** What was handed to the client; what was made of it and did not go out is in `generated_tokens`. */
  output: Committed,
  generated_tokens: count,
  finish: Type.Enum(['stop', 'length', 'cut']),
  /** Of a generation. */
  request: Type.Optional(
    Type.Object({
      max_tokens: count,
      min_tokens: count,
      ignore_end: Type.Boolean(),
      stop_token_ids: Type.Array(Type.Integer()),
      /** What it was kept to, as a salted commitment. */
      grammar: Type.Optional(Type.Object({ sha256 })),
      sampling: Type.Object({
        temperature: Type.Number(),
        top_p: Type.Number(),
        top_k: Type.Number(),
        min_p: Type.Number(),
        repetition_penalty: Type.Number(),
        presence_penalty: Type.Number(),
        frequency_penalty: Type.Number(),
        logit_bias: Type.Optional(Type.Array(Type.Tuple([Type.Integer(), Type.Number()]))),
        seed: Type.String({ description: 'Of 64 bits, decimal.' }),
      }),
    }),
  ),
  shares: Type.Union([ReceiptShares, Type.Null()]),
  /** Why nobody is named. */
  unattributed: Type.Optional(text),
});

export const Receipt = Type.Object({
  /** Of the response. */
  id: text,
  tenant: text,
  key: text,
  /** Unix milliseconds. */
  began: count,
  ended: count,
  model: Type.Object({
    name: text,
    base: Type.Object({ name: text, sha256: Type.Union([sha256, Type.Null()]) }),
    adapter: Type.Union([
      Type.Object({ name: text, sha256: Type.Union([sha256, Type.Null()]) }),
      Type.Null(),
    ]),
    /** SHA-256 of each file of the adapter's that says who taught it. */
    attribution: Type.Record(text, sha256),
  }),
  engine: Type.Object({
    backend: text,
    version: Type.Union([text, Type.Null()]),
    precision: Type.Union([text, Type.Null()]),
  }),
  choices: Type.Array(ReceiptChoice),
  /** Sums over the choices; choices of one prompt count it once. */
  usage: Type.Object({ prompt_tokens: count, cached_tokens: count, completion_tokens: count }),
  fee: Fee,
  /** What each account is owed for it; sums to the fee's total. */
  owed: AccountAmounts,
});
export type Receipt = Static<typeof Receipt>;
export type ReceiptChoice = Static<typeof ReceiptChoice>;
export type ReceiptShares = Static<typeof ReceiptShares>;
