/**
 * Evidence to shares, as a pure function: the same evidence and policy give the same shares to the unit, in whatever order its parts
 * are named. Floating-point numbers are added, multiplied, divided and rooted in one order, by the order in which
 * examples were given: so every machine that keeps IEEE 754 makes the same of them.
 *
 * What decides how much is paid never looks at who is paid: spans, scores and similarities are of examples, and
 * contributors come in last, by addition. The cap and the minimum alone look at them.
 */
import { apportion } from '../../../gateway/contract/index.ts';
import { type AnswerEvidence, checkEvidence } from './evidence.ts';
import { creditInfluence, type InfluenceCredit } from './influence_credit.ts';
import { policyHash, type SharePolicy } from './policy.ts';
import { creditSpans } from './span_credit.ts';
import { compare, Teachers } from './teachers.ts';

/** Units of a token. A response has as many times this as it has tokens. */
export const microsOfToken = 1_000_000;

/** Why a part of what was taught has nobody to go to. */
export const poolReasons = [
  /** No evidence says who taught it. */
  'unknown',
  /** Spans with more occurrences than the policy pays. */
  'common',
  /** Between a score and its lower bound. */
  'uncertain',
  /** Above a contributor's cap. */
  'capped',
  /** Of contributors below the minimum. */
  'small',
] as const;
export type PoolReason = (typeof poolReasons)[number];

/** Where the base's share of a token is from: measured for it, for its adapter, or assumed; or nothing names anyone, and all is the base's. */
export type BaseReason = 'token' | 'adapter' | 'policy' | 'no_evidence' | 'nothing_found';

export interface ContributorShare {
  contributor: string;
  micro: number;
  /** Both by id, each with what it is paid of `micro`: both sum to it. `example` is the example's hash. */
  contributions: Array<{ contribution: string; micro: number }>;
  examples: Array<{ example: string; number: number; micro: number }>;
}

export interface TokenShares {
  base: number;
  pool: number;
  /** Those who get anything, by id. */
  contributors: Array<{ contributor: string; micro: number }>;
}

export interface AnswerShares {
  /** policyHash() of the policy. */
  policy: string;
  /** What they rest on: whether spans were looked for, and the influence's method, null where there is none. */
  spans: boolean;
  influence: string | null;
  /** All units: microsOfToken a token. base, pool and contributors sum to it. */
  total: number;
  base: number;
  pool: number;
  /** `pool` by its reasons, which sum to it. */
  poolBy: Record<PoolReason, number>;
  /** By id. */
  contributors: ContributorShare[];
  /** One for each token, each of microsOfToken; they sum to the answer's. */
  tokens: TokenShares[];
  /** Of all tokens, each once, in the order of BaseReason. */
  baseFrom: BaseReason[];
}

/** Throws RangeError where the evidence says what cannot be (checkEvidence). */
export function sharesOf(evidence: AnswerEvidence, policy: SharePolicy): AnswerShares {
  checkEvidence(evidence);
  const teachers = new Teachers(evidence, policy.alike);
  const taught = new TaughtMass(evidence, teachers, policy);
  const bases = evidence.tokens.map(({ base }) => base ?? evidence.adapterBase ?? policy.base);
  const known = evidence.tokens.some((_, token) => taught.names(token));
  if (!known) bases.fill(1);

  const masses = new Float64Array(teachers.contributors.length);
  const byExample = new Float64Array(teachers.examples.length);
  for (const [token, base] of bases.entries()) {
    taught.each(token, (place, mass) => {
      masses[teachers.contributor[place]!]! += (1 - base) * mass;
      byExample[place]! += (1 - base) * mass;
    });
  }
  const limits = limitsOf(
    masses,
    bases.reduce((all, base) => all + (1 - base), 0),
    policy,
  );

  const micros = new Float64Array(1 + poolReasons.length + masses.length);
  const tokens = bases.map((base, token) => {
    const weights = new Float64Array(micros.length);
    weights[0] = base;
    const pool = (reason: PoolReason, mass: number) => {
      weights[1 + poolReasons.indexOf(reason)]! += (1 - base) * mass;
    };
    for (const [reason, mass] of Object.entries(taught.pool(token))) pool(reason as PoolReason, mass);
    taught.each(token, (place, mass) => {
      const contributor = teachers.contributor[place]!;
      const { paid, reason } = limits[contributor]!;
      weights[1 + poolReasons.length + contributor]! += (1 - base) * mass * paid;
      pool(reason, mass * (1 - paid));
    });
    const parts = apportion(microsOfToken, weights);
    for (const [party, part] of parts.entries()) micros[party]! += part;
    return tokenShares(parts, teachers);
  });

  const poolBy = Object.fromEntries(poolReasons.map((reason, at) => [reason, micros[1 + at]!])) as Record<
    PoolReason,
    number
  >;
  return {
    policy: policyHash(policy),
    spans: evidence.spans !== undefined,
    influence: evidence.influence?.method ?? null,
    total: microsOfToken * bases.length,
    base: micros[0]!,
    pool: poolReasons.reduce((all, reason) => all + poolBy[reason], 0),
    poolBy,
    contributors: contributorShares(micros.subarray(1 + poolReasons.length), byExample, teachers),
    tokens,
    baseFrom: baseReasons(evidence, known),
  };
}

/** What was taught of each token, 1 in all: whose it is, and what is nobody's. Spans first, and influence over the rest. */
class TaughtMass {
  readonly #spans: ReturnType<typeof creditSpans>;
  readonly #spansPart: number;
  readonly #response: InfluenceCredit | undefined;
  readonly #tokens: Array<InfluenceCredit | undefined>;

  constructor({ tokens, spans, influence }: AnswerEvidence, teachers: Teachers, policy: SharePolicy) {
    this.#spans = creditSpans(spans ?? [], tokens.length, teachers, policy);
    this.#response = influence && creditInfluence(influence.scores, teachers, policy);
    this.#tokens = (influence?.tokens ?? []).map((scores) =>
      scores ? creditInfluence(scores, teachers, policy) : undefined,
    );
    this.#spansPart = this.#response || this.#tokens.some(Boolean) ? policy.spans : 1;
  }

  names(token: number): boolean {
    let any = false;
    this.each(token, (_, mass) => {
      if (mass > 0) any = true;
    });
    return any;
  }

  each(token: number, take: (place: number, mass: number) => void): void {
    const { strength, parts } = this.#spans[token]!;
    for (const { place, mass } of parts) if (place !== null) take(place, this.#spansPart * mass);
    const rest = 1 - this.#spansPart * strength;
    for (const { place, mass } of this.#influence(token)?.parts ?? []) take(place, rest * mass);
  }

  pool(token: number): Partial<Record<PoolReason, number>> {
    const { strength, parts } = this.#spans[token]!;
    const common = parts.reduce((all, { place, mass }) => (place === null ? all + mass : all), 0);
    const rest = 1 - this.#spansPart * strength;
    const influence = this.#influence(token);
    return {
      common: this.#spansPart * common,
      ...(influence ? { uncertain: rest * influence.uncertain } : { unknown: rest }),
    };
  }

  #influence(token: number): InfluenceCredit | undefined {
    return this.#tokens[token] ?? this.#response;
  }
}

/** By contributor, how much of its mass it is paid, and where the rest goes. */
function limitsOf(masses: Float64Array, taught: number, { cap, minimum }: SharePolicy) {
  return Array.from(masses, (mass): { paid: number; reason: PoolReason } => {
    if (mass < minimum * taught) return { paid: 0, reason: 'small' };
    return { paid: mass > cap * taught ? (cap * taught) / mass : 1, reason: 'capped' };
  });
}

function tokenShares(parts: number[], teachers: Teachers): TokenShares {
  const pool = parts.slice(1, 1 + poolReasons.length).reduce((all, one) => all + one, 0);
  const contributors = teachers.contributors
    .map((contributor, at) => ({ contributor, micro: parts[1 + poolReasons.length + at]! }))
    .filter(({ micro }) => micro > 0);
  return { base: parts[0]!, pool, contributors };
}

function contributorShares(
  micros: Float64Array,
  masses: Float64Array,
  teachers: Teachers,
): ContributorShare[] {
  const places: number[][] = teachers.contributors.map(() => []);
  for (const [place, mass] of masses.entries())
    if (mass > 0) places[teachers.contributor[place]!]!.push(place);
  return teachers.contributors.flatMap((contributor, at) => {
    const micro = micros[at]!;
    if (micro === 0) return [];
    const parts = apportion(
      micro,
      places[at]!.map((place) => masses[place]!),
    );
    const contributions = new Map<string, number>();
    const examples = places[at]!.flatMap((place, i) => {
      const [part, { example, contribution }] = [parts[i]!, teachers.origins[place]!];
      if (part === 0) return [];
      contributions.set(contribution, (contributions.get(contribution) ?? 0) + part);
      return [{ example, number: teachers.examples[place]!, micro: part }];
    });
    return [
      {
        contributor,
        micro,
        contributions: [...contributions]
          .map(([contribution, part]) => ({ contribution, micro: part }))
          .sort((a, b) => compare(a.contribution, b.contribution)),
        examples: examples.sort((a, b) => compare(a.example, b.example) || a.number - b.number),
      },
    ];
  });
}

function baseReasons(
  { tokens, adapterBase, spans, influence }: AnswerEvidence,
  known: boolean,
): BaseReason[] {
  if (tokens.length === 0) return [];
  if (!known) return [spans || influence ? 'nothing_found' : 'no_evidence'];
  const measured = tokens.filter(({ base }) => base !== undefined).length;
  const other = adapterBase === undefined ? 'policy' : 'adapter';
  return [
    ...(measured > 0 ? (['token'] as const) : []),
    ...(measured < tokens.length ? ([other] as const) : []),
  ];
}
