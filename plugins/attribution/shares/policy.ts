/** How evidence becomes shares: all that can be chosen. What each does with an answer is in shares.ts. */
import { hash } from 'node:crypto';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';

const part = (value: number, description: string) =>
  Type.Number({ default: value, minimum: 0, maximum: 1, description });

export const SharePolicy = Type.Object(
  {
    version: Type.Literal('colophon-shares-1', {
      default: 'colophon-shares-1',
      description: 'The rules themselves: another version may make other shares of the same evidence.',
    }),
    base: part(
      0.5,
      "The base model's share of a token where neither the token's nor the adapter's was measured: half, as nothing is known.",
    ),
    spans: part(
      0.5,
      'How much of what was taught goes by spans where there is influence too: half, for a match is not a cause and influence is an estimate.',
    ),
    surprise: Type.Number({
      default: 32,
      exclusiveMinimum: 0,
      description:
        'Nats (minus the log of its unigram probability) from which on a span weighs in full; a more likely one weighs less, in proportion. 32 are four words that are each one in 3,000, or eight that are each one in 55.',
    }),
    occurrences: Type.Integer({
      default: 10,
      minimum: 1,
      maximum: 256,
      description:
        'Occurrences of a span above which it is language that all have in common: what it would pay goes to the pool.',
    }),
    alike: Type.Number({
      default: 0.6,
      exclusiveMinimum: 0,
      maximum: 1,
      description:
        'Similarity from which two examples say the same, as those of one near-duplicate cluster do: what both teach is paid to the first. Less finds more paraphrases, and takes more from those who teach the same in their own words.',
    }),
    deviations: Type.Number({
      default: 1.64,
      minimum: 0,
      maximum: 10,
      description:
        'Standard deviations below its score at which an example is paid (1.64: it is at least that with a probability of 95%); what lies between goes to the pool.',
    }),
    cap: Type.Number({
      default: 0.96,
      exclusiveMinimum: 0,
      maximum: 1,
      description:
        'Most that one contributor gets of what was taught in a response; the rest goes to the pool. Who splits into several is not held by it, and so gains up to 1 / cap: take less only where it is known who is who.',
    }),
    minimum: part(
      0.001,
      'Least part of what was taught in a response for which a contributor is named and paid; less goes to the pool. It hides who gave next to nothing, and who splits into many only loses by it.',
    ),
  },
  { default: {}, additionalProperties: false },
);
export type SharePolicy = Static<typeof SharePolicy>;

/** The defaults with changes over them. Throws RangeError naming the field that cannot be. */
export function policyOf(changes: Partial<SharePolicy> = {}): SharePolicy {
  const policy = Value.Default(SharePolicy, { ...changes });
  const [fault] = Value.Errors(SharePolicy, policy);
  if (fault)
    throw new RangeError(`The policy of shares is wrong at '${fault.instancePath}': it ${fault.message}.`);
  return policy as SharePolicy;
}

/** SHA-256 of a policy's canonical JSON (RFC 8785: it is flat, so sorted keys are all that takes), hex: what a receipt names it by. */
export function policyHash(policy: SharePolicy): string {
  return hash('sha256', JSON.stringify(policy, Object.keys(policy).sort()), 'hex');
}
