import { seeded } from '../../plugins/attribution/fidelity/random.ts';

export { seeded };

/** Prompts of random token ids above the special ones, so that no two share a beginning that a cache could reuse. */
export function randomPrompts(options: {
  count: number;
  tokens: number;
  vocabulary: number;
  seed: number;
}): number[][] {
  const random = seeded(options.seed);
  const lowest = Math.min(100, options.vocabulary >> 1);
  return Array.from({ length: options.count }, () =>
    Array.from(
      { length: options.tokens },
      () => lowest + Math.floor(random() * (options.vocabulary - lowest)),
    ),
  );
}
