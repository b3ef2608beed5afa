/** What a recorded answer is settled to: from its evidence to shares. */
import type { Corpus, Origins } from './corpus.ts';
import type { GradientEvidence } from './gradients/worker.ts';
import type { AnswerRecord } from './records.ts';
import type { InfluenceEvidence, SimilarPair, SpanEvidence, Teacher } from './shares/evidence.ts';
import type { SharePolicy } from './shares/policy.ts';
import { type AnswerShares, sharesOf } from './shares/shares.ts';
import { examplesOf, rarest } from './spans.ts';

/** Shares with how they were made; those of single tokens are made anew from the evidence when they are asked for. */
export interface Settlement extends Omit<AnswerShares, 'tokens'> {
  /** 1: by what generating gives for nothing; 2: by gradients and the base's own probabilities. */
  level: 1 | 2;
}

/** The base alone: nobody is named. */
export function unattributedShares(tokens: number, policy: SharePolicy): AnswerShares {
  return sharesOf({ tokens: Array.from({ length: tokens }, () => ({})), corpus: new Map() }, policy);
}

/** All that the shares of an answer are made of. */
export interface Settled {
  answer: Pick<AnswerRecord, 'spans'> & { evidence: NonNullable<AnswerRecord['evidence']> };
  corpus: Corpus;
  origins: Origins;
  policy: SharePolicy;
}

/**
 * By spans and, where there is an index of them that is to be used, the state of the answer. `before`: what an answer was settled
 * by, where its shares are made anew; its adapter's fidelity may have been measured since.
 */
export async function firstShares(
  settled: Settled,
  before?: Pick<Settlement, 'influence'>,
): Promise<AnswerShares> {
  const { state } = settled.answer.evidence;
  const influence = state && (await settled.corpus.influence());
  const isUsed = (before ? before.influence : influence?.methods.first) != null;
  return shares(settled, isUsed ? await influence?.byState(state!, settled.policy.deviations) : undefined);
}

/** By spans, gradients, and how much of each token the base alone would have said. */
export function secondShares(
  settled: Settled,
  { method, base, scores }: GradientEvidence,
): Promise<AnswerShares> {
  return shares(settled, { method, scores }, base);
}

/** The same evidence and policy give the same shares, whenever and wherever. */
async function shares(
  { answer, corpus, origins, policy }: Settled,
  influence: InfluenceEvidence | undefined,
  bases: readonly number[] = [],
): Promise<AnswerShares> {
  const {
    evidence: { ids },
    spans,
  } = answer;
  const found: SpanEvidence[] = rarest(corpus.index, ids, spans, 1).map(
    ({ start, end, row, count, logProbability }) => ({
      start,
      end,
      count,
      logProbability,
      examples: examplesOf(corpus.index, { row, count }, policy.occurrences),
    }),
  );
  const named = [
    ...found.flatMap(({ examples }) => examples),
    ...(influence?.scores ?? []).map(({ example }) => example),
  ];
  const similar = await similarPairs(named, corpus, origins, policy);
  const teachers = new Map<number, Teacher>();
  for (const [example, origin] of await origins.of([...named, ...similar.flatMap(({ a, b }) => [a, b])]))
    teachers.set(example, { ...origin, order: origin.given });
  const tokens = Array.from(ids, (_, i) => (bases[i] === undefined ? {} : { base: bases[i] }));
  return sharesOf(
    {
      tokens,
      spans: found,
      similar,
      corpus: teachers,
      ...(influence ? { influence } : {}),
      ...(origins.baseShare === undefined ? {} : { adapterBase: origins.baseShare }),
    },
    policy,
  );
}

/** Less alike than this is by chance. */
const leastAlike = 0.05;

/** How alike named examples are, and which others say the same as one of them, by the words that they teach: what a paraphrase keeps. */
async function similarPairs(
  named: readonly number[],
  { index }: Corpus,
  { unlearned }: Origins,
  { alike }: SharePolicy,
): Promise<SimilarPair[]> {
  const pairs: SimilarPair[] = [];
  const asked = new Set(named);
  for (const a of asked) {
    const { example, cosine } = await index.alike(a, leastAlike, unlearned);
    for (const [i, b] of example.entries()) {
      const similarity = cosine[i]!;
      // Of two that are named the pair is told once.
      if (asked.has(b) ? a < b : similarity >= alike) pairs.push({ a, b, similarity });
    }
  }
  return pairs;
}
