/** When each token of each sequence appeared, in seconds since the first submission. */
export type Timeline = number[][];

/**
 * Tokens a second while every sequence decodes: from the moment the last of them has its first token until the first of
 * them ends. Prefill is before that window, and no sequence is missing inside it.
 */
export function decodeRate(times: Timeline): number {
  const begin = Math.max(...times.map((sequence) => sequence[0]!));
  const end = Math.min(...times.map((sequence) => sequence.at(-1)!));
  if (!(end > begin)) {
    throw new Error(
      'The first sequence ended before the last one had its first token, so there was no time in which all of them decoded.',
    );
  }
  let tokens = 0;
  for (const sequence of times) {
    for (const time of sequence) if (time > begin && time <= end) tokens++;
  }
  return tokens / (end - begin);
}
