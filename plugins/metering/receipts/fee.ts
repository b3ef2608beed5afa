/** Money on a receipt: whole units of one currency (config: a millionth of it, say). */
import { type Static, Type } from 'typebox';

const units = Type.Integer({ minimum: 0, description: 'Whole units of the currency.' });

/** Rates are units for 1000 tokens; `platform` is a fixed part of each response. */
export const Rates = Type.Object({ input: units, output: units, platform: units });

/** Parts in a million that go to the model's owner, the stakers, the contributors; they sum to a million. */
export const Split = Type.Object({ owner: units, stakers: units, contributors: units });

/** tokens_in / 1000 * input + tokens_out / 1000 * output + platform; what is over a whole unit is not asked for. */
export const Fee = Type.Object({
  currency: Type.String(),
  rates: Rates,
  input_tokens: units,
  output_tokens: units,
  platform: units,
  /** total - platform, which is split. */
  net: units,
  total: units,
  /** Of `net`. */
  split: Split,
});

/**
 * By account, in order of its name (of its UTF-16 code units): "contributor:ID", "owner:NAME" (of the owner that the operator
 * names, else of the model), "platform", "pool", "stakers:MODEL". None is 0.
 */
export const AccountAmounts = Type.Array(Type.Object({ account: Type.String(), units }));

export type Rates = Static<typeof Rates>;
export type Split = Static<typeof Split>;
export type Fee = Static<typeof Fee>;
export type AccountAmounts = Static<typeof AccountAmounts>;
