/** What a recorded answer is settled to: from its evidence to shares. */
import type { Corpus, Origins } from './corpus.ts';
import type { AnswerRecord } from './records.ts';
import type { AnswerEvidence, SpanEvidence, Teacher } from './shares/evidence.ts';
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

/** The same evidence and policy give the same shares, whenever and wherever. */
export async function shares(
  { evidence, spans }: Pick<AnswerRecord, 'spans'> & { evidence: NonNullable<AnswerRecord['evidence']> },
  corpus: Corpus,
  origins: Origins,
  policy: SharePolicy,
): Promise<AnswerShares> {
  const { ids } = evidence;
  const found: SpanEvidence[] = rarest(corpus.index, ids, spans, 1).map(
    ({ start, end, row, count, logProbability }) => ({
      start,
      end,
      count,
      logProbability,
      examples: examplesOf(corpus.index, { row, count }, policy.occurrences),
    }),
  );
  const named = found.flatMap(({ examples }) => examples);
  const teachers = new Map<number, Teacher>();
  for (const [example, origin] of await origins.of(named))
    teachers.set(example, { ...origin, order: origin.given });
  const answer: AnswerEvidence = {
    tokens: Array.from(ids, () => ({})),
    spans: found,
    corpus: teachers,
    ...(origins.baseShare === undefined ? {} : { adapterBase: origins.baseShare }),
  };
  return sharesOf(answer, policy);
}
