/** Promise 1 and 2: whatever else runs, however the work is cut, a sequence has the bits of its solo run. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeAdapters } from './adapters.ts';
import {
  fingerprint,
  full,
  type Generated,
  greedy,
  type Run,
  type RunRequest,
  randomSource,
  TestEngine,
} from './engine.ts';
import { textIds } from './golden.ts';

const ADAPTERS = 48;
const SEQUENCES = 64;
let parent: string;
let names: string[];
let maskWords: number;
/** What each of the 64 gives alone: one thread, no prefix cache, no speculation, prompts in one piece. */
let solo: Generated[];

beforeAll(async () => {
  parent = mkdtempSync(join(tmpdir(), 'colophon-'));
  names = await makeAdapters(parent, ADAPTERS);
  const { engine, handles } = await start({
    threads: 1,
    stepTokens: 512,
    prefixCache: false,
    speculate: false,
  });
  maskWords = Math.ceil(engine.engine.info().hyperparameters.vocabulary / 32);
  solo = [];
  for (let i = 0; i < SEQUENCES; i++) solo.push(await engine.run(request(i, handles)));
  await engine.close();
});

afterAll(() => rmSync(parent, { recursive: true, force: true }));

async function start(options: Parameters<typeof TestEngine.create>[0]) {
  const engine = await TestEngine.create(options);
  const handles: number[] = [];
  for (const name of names) handles.push(await engine.adapter(join(parent, name), name));
  return { engine, handles };
}

/**
 * Sequence `i`: every fourth on the base, the others each on an adapter; prompts of 1 to 150 tokens that share
 * beginnings; greedy and sampled, with and without penalties and log-probabilities of the prompt. Every fifth prompt repeats
 * itself, so that there is something to speculate on. Every sixth has masks, which come when they come.
 */
function request(i: number, handles: number[]): RunRequest {
  const length = [1, 17, 32, 33, 64, 7, 100, full ? 400 : 150][i % 8]!;
  const repeated = Array.from({ length: 40 + i }, (_, k) => textIds[k % 11]!);
  return {
    prompt:
      i % 5 === 4
        ? repeated
        : textIds.slice(0, length).concat(i % 3 === 0 ? [] : textIds.slice(200, 200 + (i % 5))),
    adapter: i % 4 === 0 ? undefined : handles[i % ADAPTERS],
    maxTokens: 3 + (i % (full ? 24 : 8)),
    logprobs: i % 6,
    ...(i % 9 === 0 ? { promptLogprobs: 2 } : {}),
    ...(i % 6 === 1 ? { masks } : {}),
    sampling:
      i % 2 === 0
        ? greedy
        : {
            ...greedy,
            temperature: 0.8,
            topP: 0.95,
            topK: i % 3 === 0 ? 40 : 0,
            repetitionPenalty: 1.1,
            presencePenalty: 0.2,
            seed: BigInt(i) << 33n,
          },
  };
}

/** About an eighth of the vocabulary; another eighth after each token. */
function masks(place: number, before: number): Uint32Array {
  const random = randomSource(before * 64 + place);
  return Uint32Array.from({ length: maskWords }, () => random() * 2 ** 32 * (random() < 0.25 ? 1 : 0));
}

/** Puts an adapter anew in the place of the old one, all of them under one name; what waits for the old one or runs on it goes on. */
async function replaceAdapter(engine: TestEngine, handles: number[], at: number): Promise<void> {
  const old = handles[at]!;
  handles[at] = await engine.adapter(join(parent, names[at]!), 'replaced');
  engine.engine.unregisterAdapter(old);
}

/** Runs sequences at once; each must have the bits of its solo run. */
async function runTogether(
  engine: TestEngine,
  handles: number[],
  indices: number[] = [...solo.keys()],
): Promise<Generated[]> {
  const all = await Promise.all(indices.map((i) => engine.run(request(i, handles))));
  expect(all.map(fingerprint)).toEqual(indices.map((i) => fingerprint(solo[i]!)));
  return all;
}

test('the sequences cover the base and 48 adapters, and differ', () => {
  const used = new Set(Array.from({ length: SEQUENCES }, (_, i) => request(i, [...names.keys()]).adapter));
  expect(used.has(undefined)).toBe(true);
  expect(used.size).toBeGreaterThan(30);
  expect(new Set(solo.map(fingerprint)).size).toBeGreaterThan(SEQUENCES / 2);
  // Masks decide: what the constrained ones gave is what they allow.
  for (let i = 1; i < SEQUENCES; i += 6) {
    const { prompt } = request(i, [...names.keys()]);
    solo[i]!.tokens.forEach((token, place, tokens) => {
      const mask = masks(place, tokens[place - 1] ?? prompt.at(-1)!);
      expect((mask[token >> 5]! >>> (token & 31)) & 1).toBe(1);
    });
    expect(solo[i]!.logprobs.length === 0 || solo[i]!.logprobs.some(({ rank }) => rank > 1)).toBe(true);
  }
});

const combinations = full
  ? [1, 2].flatMap((threads) => [16, 64, 512].map((stepTokens) => ({ threads, stepTokens })))
  : [
      { threads: 2, stepTokens: 16 },
      { threads: 1, stepTokens: 64 },
      { threads: 2, stepTokens: 512 },
    ];

test.each(combinations)('$threads threads, chunks of $stepTokens', async (options) => {
  const { engine, handles } = await start(options);
  try {
    // The second round meets the pages of the first.
    let hits = 0;
    for (let round = 0; round < 2; round++) {
      const all = await runTogether(engine, handles);
      hits = all.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0);
    }
    expect(hits).toBeGreaterThan(0);
    expect(engine.engine.stats()).toMatchObject({ pagesUsed: 0, running: 0, waiting: 0 });
  } finally {
    await engine.close();
  }
});

test('a tiny cache forces sequences back into the queue, drafts are verified, tenants and classes take places, adapters are replaced, random ones are cut, and all others keep their bits', async () => {
  const { engine, handles } = await start({
    threads: 2,
    stepTokens: 48,
    maxSequences: 12,
    kvBytes: 11 << 20,
    adapterBytes: 2 << 20,
  });
  const expected = solo.map(fingerprint);
  const mix = fc.array(
    fc.record({
      i: fc.nat(SEQUENCES - 1),
      cutAfter: fc.option(fc.nat(6), { freq: 3 }),
      late: fc.boolean(),
      replace: fc.boolean(),
      tenant: fc.constantFrom('a', 'b', 'c'),
      priority: fc.integer({ min: -1, max: 1 }),
    }),
    { minLength: 1, maxLength: 24 },
  );
  try {
    await fc.assert(
      fc.asyncProperty(mix, async (items) => {
        const runs: Array<Run & { i: number; cut: boolean }> = [];
        for (const { i, cutAfter, late, replace, ...order } of items) {
          if (late) await runs.at(-1)?.result;
          if (replace) await replaceAdapter(engine, handles, i % ADAPTERS);
          const run = engine.start({ ...request(i, handles), ...order }, (tokens) => {
            if (cutAfter !== null && tokens >= cutAfter) engine.engine.cancel(run.sequence);
          });
          if (cutAfter === 0) engine.engine.cancel(run.sequence);
          runs.push({ ...run, i, cut: cutAfter !== null });
        }
        for (const { result, i, cut } of runs) {
          const generated = await result;
          if (generated.finish !== 'cancelled') expect(fingerprint(generated)).toBe(expected[i]);
          else {
            expect(cut).toBe(true);
            expect(generated.tokens).toEqual(solo[i]!.tokens.slice(0, generated.tokens.length));
          }
        }
        expect(engine.engine.stats().pagesUsed).toBe(0);
      }),
      { numRuns: full ? 60 : 6, endOnFailure: true },
    );
    // Mixes may be too small for it: all at once need more adapters than there is room for.
    await runTogether(engine, handles);
    // Drafts are made while few run: pairs of those whose prompts repeat themselves.
    for (let i = 4; i < SEQUENCES; i += 10) await runTogether(engine, handles, [i, (i + 10) % SEQUENCES]);
    const { preemptions, adapterEvictions, draftedTokens, acceptedTokens } = engine.engine.stats();
    expect(adapterEvictions).toBeGreaterThan(0);
    expect(draftedTokens).toBeGreaterThan(0);
    expect(acceptedTokens).toBeGreaterThan(0);
    if (full) expect(preemptions).toBeGreaterThan(0);
  } finally {
    await engine.close();
  }
}, 1_800_000);

test('preemption alone: more sequences than pages, and each has its solo bits', async () => {
  const { engine, handles } = await start({
    threads: 2,
    kvBytes: 12 << 20,
    maxSequences: 16,
    prefixCache: false,
  });
  try {
    const indices = Array.from({ length: 16 }, (_, k) => k * 4 + 3);
    const long = (i: number) => ({
      ...request(i, handles),
      maxTokens: 48,
      adapter: undefined,
      promptLogprobs: undefined,
    });
    const all = await Promise.all(indices.map((i) => engine.run(long(i))));
    expect(engine.engine.stats().preemptions).toBeGreaterThan(0);
    for (const [k, i] of indices.entries()) {
      if (k % 4 === 0) expect(fingerprint(await engine.run(long(i)))).toBe(fingerprint(all[k]!));
    }
  } finally {
    await engine.close();
  }
});
