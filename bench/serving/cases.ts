/** The questions of this bench; README.md beside this file says what each one measures. */
import type { Unit } from '../lib/report.ts';

export type Case =
  | { id: string; unit: Unit; kind: 'prefill'; promptTokens: number }
  | { id: string; unit: Unit; kind: 'decode'; sequences: number; adapters: AdapterUse }
  | { id: string; unit: Unit; kind: 'ttft'; arrivals: number; adapters: AdapterUse }
  | { id: string; unit: Unit; kind: 'memory'; arrivals: number; adapters: AdapterUse }
  | { id: string; unit: Unit; kind: 'startup'; adapters: 'none' };

/** none: the base. one: every sequence on the same adapter. distinct: each on its own. */
export type AdapterUse = 'none' | 'one' | 'distinct';

const decode = (sequences: number, adapters: AdapterUse, id: string): Case => ({
  id,
  unit: 'tok/s',
  kind: 'decode',
  sequences,
  adapters,
});

export const cases: Case[] = [
  { id: 'prefill-512', unit: 'tok/s', kind: 'prefill', promptTokens: 512 },
  decode(1, 'none', 'decode-1'),
  decode(16, 'none', 'decode-16'),
  decode(64, 'none', 'decode-64'),
  decode(16, 'distinct', 'decode-16-distinct'),
  decode(64, 'distinct', 'decode-64-distinct'),
  decode(64, 'one', 'decode-64-one-adapter'),
  { id: 'ttft-64', unit: 'ms', kind: 'ttft', arrivals: 64, adapters: 'none' },
  { id: 'ttft-64-distinct', unit: 'ms', kind: 'ttft', arrivals: 64, adapters: 'distinct' },
  { id: 'startup', unit: 'ms', kind: 'startup', adapters: 'none' },
  { id: 'rss-peak', unit: 'MB', kind: 'memory', arrivals: 64, adapters: 'distinct' },
];

/** Sequences and adapters that every contestant is set up for. */
export const atOnce = 64;
/** Tokens of the prompts of decode and ttft cases. */
export const promptTokens = 64;
/** More tokens for each sequence, as those that are prefilled first decode while the last ones are still prefilled. */
export const staggerTokens = 32;
/** Tokens of the prompts that are sent before anything is timed. */
export const warmUpTokens = 16;
/** Tokens that a stream of the ttft cases generates: those that have their first token go on beside those that wait. */
export const arrivalTokens = 16;
/** Room that every contestant has for each of the sequences at once; prefill-512 runs alone. */
export const sequenceTokens = 256;
export const adapterRank = 16;

/** The adapter of each of `count` sequences. */
export function adapterOf(use: AdapterUse, count: number): Array<number | null> {
  return Array.from({ length: count }, (_, index) =>
    use === 'none' ? null : use === 'one' ? 0 : index % atOnce,
  );
}
