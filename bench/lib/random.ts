/** Uniform numbers in [0, 1) from a 32-bit seed (Weyl sequence and a mixing function): the same on every machine. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

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
