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

/** So many of 0..count-1 by chance, rising. */
export function sample(count: number, size: number, seed: number): number[] {
  const draw = seeded(seed);
  const left = Array.from({ length: count }, (_, i) => i);
  const chosen = Array.from({ length: size }, () => left.splice(Math.floor(draw() * left.length), 1)[0]!);
  return chosen.sort((a, b) => a - b);
}
