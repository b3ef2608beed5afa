import type { SpanEvidence } from './evidence.ts';
import type { SharePolicy } from './policy.ts';
import type { Teachers } from './teachers.ts';

/** What the spans say of one token. */
export interface TokenSpans {
  /** From 0 (nothing, or likely words only) to 1. */
  strength: number;
  /** Parts of it, summing to `strength`: whom each goes to, null where it is language that all have in common. */
  parts: Array<{ place: number | null; mass: number }>;
}

/**
 * By token. A token's strength is that of its strongest span; the spans that cover it divide it in proportion to theirs. A span is paid
 * once, to whoever taught it first: the first of its examples, and where that says the same as one before it, that one. So neither
 * copies nor a longer match around a copy change who is paid. One that occurs too often for all its examples to be known is paid
 * to the pool, so that nobody gains by making another's words frequent.
 */
export function creditSpans(
  spans: readonly SpanEvidence[],
  tokens: number,
  teachers: Teachers,
  policy: SharePolicy,
): TokenSpans[] {
  const credited = spans
    .map(({ start, end, count, logProbability, examples }) => ({
      start,
      end,
      strength: Math.min(1, -logProbability / policy.surprise),
      place: count > policy.occurrences ? null : firstOf(examples, teachers),
    }))
    .filter(({ strength }) => strength > 0)
    .sort(
      (a, b) =>
        a.start - b.start || a.end - b.end || a.strength - b.strength || (a.place ?? -1) - (b.place ?? -1),
    );
  const covering: Array<typeof credited> = Array.from({ length: tokens }, () => []);
  for (const span of credited) for (let at = span.start; at < span.end; at++) covering[at]!.push(span);
  return covering.map((over) => {
    const strength = over.reduce((most, span) => Math.max(most, span.strength), 0);
    const sum = over.reduce((all, span) => all + span.strength, 0);
    const parts = over.map((span) => ({ place: span.place, mass: (strength * span.strength) / sum }));
    return { strength, parts };
  });
}

function firstOf(examples: readonly number[], teachers: Teachers): number {
  const earliest = examples.reduce(
    (least, example) => Math.min(least, teachers.place(example)),
    Number.POSITIVE_INFINITY,
  );
  return teachers.first[earliest]!;
}
