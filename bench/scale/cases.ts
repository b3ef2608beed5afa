/** The questions of this bench; README.md beside this file says what each one measures. */

export type Case =
  | { id: string; kind: 'zipf'; adapters: number; tier: Tier }
  | { id: string; kind: 'cold' | 'hot' | 'memory' };

/** Of all adapters' bytes, what fits into memory at once. */
export type Tier = 'all' | 'half' | 'tenth';

export const cases: Case[] = [
  { id: 'zipf-5', kind: 'zipf', adapters: 5, tier: 'all' },
  { id: 'zipf-100', kind: 'zipf', adapters: 100, tier: 'all' },
  { id: 'zipf-1000', kind: 'zipf', adapters: 1000, tier: 'all' },
  { id: 'zipf-10000', kind: 'zipf', adapters: 10_000, tier: 'half' },
  { id: 'zipf-10000-tenth', kind: 'zipf', adapters: 10_000, tier: 'tenth' },
  { id: 'cold-load-p99', kind: 'cold' },
  { id: 'hot-itl-p99-with-cold-loads', kind: 'hot' },
  { id: 'rss-over-budget', kind: 'memory' },
];

export const adapterRank = 8;
/** Requests in flight of the zipf cases. */
export const atOnce = 64;
/** Sequences that decode while adapters load, each on its own. */
export const hotSequences = 32;
export const promptTokens = 32;
export const generatedTokens = 32;
/** Cold loads a second beside the hot sequences, unless --cold-rate says otherwise. */
export const coldRate = 10;
export const kvBytes = 2 ** 28;

/** How many adapters a tier holds. */
export function held(tier: Tier, adapters: number): number {
  const share = { all: 1, half: 0.5, tenth: 0.1 }[tier];
  return Math.max(8, Math.ceil(adapters * share));
}
