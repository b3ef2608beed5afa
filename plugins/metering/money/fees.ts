/** What an answer costs, and whom that is owed to: a pure function of its receipt's numbers and the operator's settings. */
import { type Static, Type } from 'typebox';
import { apportion } from '../../../gateway/contract/index.ts';
import type { AccountAmounts, Fee, Split } from '../receipts/fee.ts';
import type { Receipt, ReceiptChoice } from '../receipts/receipt.ts';
import { accounts } from './accounts.ts';

const million = 1_000_000;
/** So that a fee of 2^31 tokens each way stays below 2^53 units. */
const mostRate = 10 ** 9;
const mostPlatform = 10 ** 15;

const whole = (maximum: number, description: string, fallback?: number) =>
  Type.Integer({
    ...(fallback === undefined ? {} : { default: fallback }),
    minimum: 0,
    maximum,
    description,
  });

const rates = (fallback?: number) => ({
  input: whole(mostRate, 'Units for 1000 tokens of a prompt.', fallback),
  output: whole(mostRate, 'Units for 1000 tokens of an answer.', fallback),
  platform: whole(
    mostPlatform,
    "Units of each response that are the platform's, beside what is split.",
    fallback,
  ),
});
const split = (owner?: number, stakers?: number, contributors?: number) => ({
  owner: whole(million, "The model's owner.", owner),
  stakers: whole(million, 'Those who stake on the model: nothing, until there are some.', stakers),
  contributors: whole(
    million,
    "Contributors, by their shares of the answer. Most of it, as the base model's share of an answer goes to the owner out of this too.",
    contributors,
  ),
});
const closed = { additionalProperties: false };

export const feesConfig = Type.Object(
  {
    currency: Type.String({
      default: 'unit',
      pattern: '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$',
      description:
        'Name of the unit of money, of which all amounts are whole numbers: "microUSD", or the smallest unit of a token.',
    }),
    rates: Type.Object(rates(0), {
      ...closed,
      default: {},
      description: 'What a response costs: nothing, by default.',
    }),
    split: Type.Object(split(300_000, 0, 700_000), {
      ...closed,
      default: {},
      description: "Of what is not the platform's, parts in a million; they sum to a million.",
    }),
    models: Type.Record(
      Type.String(),
      Type.Object(
        {
          rates: Type.Optional(Type.Partial(Type.Object(rates()), closed)),
          split: Type.Optional(Type.Partial(Type.Object(split()), closed)),
          owner: Type.Optional(
            Type.String({
              minLength: 1,
              maxLength: 200,
              description: 'Whose it is: the account is "owner:NAME". Default: the name of the model.',
            }),
          ),
        },
        closed,
      ),
      { default: {}, description: 'By the name of a model, what differs from the above.' },
    ),
  },
  { ...closed, default: {}, description: 'What responses cost, and who earns by them.' },
);
export type FeeSettings = Static<typeof feesConfig>;

/** The settings, checked for what a schema cannot say. Throws RangeError naming a split that does not sum to a million. */
export function checkedFees(settings: FeeSettings): FeeSettings {
  const splits: Array<[string, Split]> = [['split', settings.split]];
  for (const [name, model] of Object.entries(settings.models))
    splits.push([`models.${name}.split`, { ...settings.split, ...model.split }]);
  for (const [where, { owner, stakers, contributors }] of splits) {
    if (owner + stakers + contributors === million) continue;
    throw new RangeError(
      `The parts of fees.${where} sum to ${owner + stakers + contributors}. Let owner (${owner}), stakers (${stakers}) and contributors (${contributors}) sum to ${million}.`,
    );
  }
  return settings;
}

/**
 * OpenLedger's fee, T_in / 1000 * R_in + T_out / 1000 * R_out + platform, in whole units: what is over one stays with the payer,
 * once for the receipt. What is not the platform's is split between owner, stakers and contributors, and the contributors' part
 * by shares, each by largest remainder: the base's share is the owner's, the pool's its own account's. A choice of which no
 * contributor is known is all the base's. Throws RangeError where the fee would pass 2^53 - 1, which no configured rate reaches
 * below 2^31 tokens.
 */
export function priced(
  usage: Pick<Receipt['usage'], 'prompt_tokens' | 'completion_tokens'>,
  choices: ReadonlyArray<Pick<ReceiptChoice, 'generated_tokens' | 'shares'>>,
  model: string,
  settings: FeeSettings,
): { fee: Fee; owed: AccountAmounts } {
  const own = Object.hasOwn(settings.models, model) ? settings.models[model]! : {};
  const { input, output, platform } = { ...settings.rates, ...own.rates };
  const { owner, stakers, contributors } = { ...settings.split, ...own.split };
  const { prompt_tokens, completion_tokens } = usage;
  const exact = (BigInt(prompt_tokens) * BigInt(input) + BigInt(completion_tokens) * BigInt(output)) / 1000n;
  if (exact + BigInt(platform) > Number.MAX_SAFE_INTEGER)
    throw new RangeError(
      `${prompt_tokens} tokens in and ${completion_tokens} out at ${input} and ${output} units for 1000 cost more than 2^53 - 1 units. Take a larger unit.`,
    );
  const net = Number(exact);
  const [toOwner, toStakers, toTaught] = apportion(net, [owner, stakers, contributors].map(BigInt));
  const taught = taughtBy(choices);
  const parts = apportion(toTaught!, [...taught.values()]);
  const ownerAccount = accounts.owner(own.owner ?? model);
  const owed = new Map<string, number>([
    [accounts.platform, platform],
    [ownerAccount, toOwner!],
    [accounts.stakers(model), toStakers!],
  ]);
  for (const [at, teacher] of [...taught.keys()].entries()) {
    const account = teacher === base ? ownerAccount : teacher;
    owed.set(account, (owed.get(account) ?? 0) + parts[at]!);
  }
  return {
    fee: {
      currency: settings.currency,
      rates: { input, output, platform },
      input_tokens: prompt_tokens,
      output_tokens: completion_tokens,
      platform,
      net,
      total: net + platform,
      split: { owner, stakers, contributors },
    },
    owed: [...owed]
      .filter(([, units]) => units > 0)
      .sort(byName)
      .map(([account, units]) => ({ account, units })),
  };
}

/** The base's place among those who taught; no account is called so. */
const base = '';

const byName = ([one]: [string, unknown], [other]: [string, unknown]) => (one < other ? -1 : 1);

/** Millionths of a token of all choices by account: the base, the pool, then contributors by name. Never all 0. */
function taughtBy(choices: Parameters<typeof priced>[1]): Map<string, bigint> {
  let bases = 0n;
  let pool = 0n;
  const named = new Map<string, bigint>();
  for (const { generated_tokens, shares } of choices) {
    bases += shares ? BigInt(shares.base) : BigInt(generated_tokens) * BigInt(million);
    pool += BigInt(shares?.pool ?? 0);
    for (const { contributor, micro } of shares?.contributors ?? []) {
      const account = accounts.contributor(contributor);
      named.set(account, (named.get(account) ?? 0n) + BigInt(micro));
    }
  }
  const sorted = [...named].sort(byName);
  // What is paid for an answer without a token is nobody's but the owner's.
  if (bases === 0n && pool === 0n && sorted.every(([, micro]) => micro === 0n)) bases = 1n;
  return new Map([[base, bases], [accounts.pool, pool], ...sorted]);
}
