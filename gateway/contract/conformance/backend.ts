/**
 * What every backend must do, as vitest cases. A backend's own tests call `describeBackend` with a way to make one.
 *
 *     describeBackend('my backend', { create: () => new MyBackend(), base: 'my-base', prompt: [1, 2, 3] });
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type {
  Backend,
  EmbedRequest,
  GeneratePart,
  GenerateRequest,
  TokenConstraint,
  TokenLogprob,
} from '../backend.ts';
import { ColophonError } from '../errors.ts';

export interface BackendUnderTest {
  /** Called once; the kit closes what it gives. */
  create(): Backend | Promise<Backend>;
  /** Id of a base model. */
  base: string;
  /** Ids of adapters on it, where the backend has some. */
  adapters?: string[];
  /** Token ids that the model can continue for at least 64 tokens when the end is ignored; 33 or more. */
  prompt: number[];
  /** Generations that hold resources now, where the backend can tell. */
  running?(): number;
  /** An adapter that can be loaded by call, where the backend can. */
  loadable?: { name: string; path: string };
  /** How long an aborted generation may take to end. Default 5000. */
  abortWithinMs?: number;
  /** Whether the same prompt is found in a prefix cache the second time. */
  prefixCache?: boolean;
  /** Whether it obeys constraints. */
  constrains?: boolean;
  /** Whether it makes embeddings. */
  embeds?: boolean;
}

interface Generated {
  ids: number[];
  logprobs: Array<TokenLogprob | undefined>;
  prompt: Array<TokenLogprob | null> | undefined;
  finish: Extract<GeneratePart, { type: 'finish' }>;
}

/** Registers the cases. */
export function describeBackend(name: string, under: BackendUnderTest): void {
  describe(`${name} keeps the backend contract`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await under.create();
    });
    afterAll(() => backend?.close());

    const request = (changes: Partial<GenerateRequest> = {}): GenerateRequest => ({
      model: under.base,
      prompt: under.prompt,
      maxTokens: 16,
      minTokens: 0,
      ignoreEnd: true,
      stopTokenIds: [],
      ...changes,
      sampling: {
        temperature: 0,
        topP: 1,
        topK: 0,
        minP: 0,
        repetitionPenalty: 1,
        presencePenalty: 0,
        frequencyPenalty: 0,
        seed: 1n,
        ...changes.sampling,
      },
    });
    const sampled = (seed: bigint): GenerateRequest['sampling'] => ({
      ...request().sampling,
      temperature: 1,
      seed,
    });
    const generate = (changes: Partial<GenerateRequest> = {}) => collect(backend, request(changes));
    const freed = async () => {
      const limit = performance.now() + (under.abortWithinMs ?? 5000);
      while (under.running && under.running() > 0 && performance.now() < limit) {
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      expect(under.running?.() ?? 0).toBe(0);
    };

    describe('models', () => {
      test('the list holds the base and its adapters, each a full card', async () => {
        const cards = await backend.models();
        const base = cards.find((card) => card.id === under.base);
        expect(base).toBeDefined();
        expect(base!.parent).toBeNull();
        expect(base!.maxModelLength).toBeGreaterThan(under.prompt.length);
        expect(base!.created).toBeGreaterThan(0);
        expect(base!.created).toBeLessThan(1e11); // seconds, not milliseconds
        for (const id of under.adapters ?? []) {
          const card = cards.find((candidate) => candidate.id === id);
          expect(card?.parent).toBe(under.base);
          expect(['disk', 'loading', 'ram', 'failed']).toContain(card!.residency);
        }
        expect(new Set(cards.map((card) => card.id)).size).toBe(cards.length);
      });

      test('a model is found by its name, and only by it', async () => {
        for (const id of [under.base, ...(under.adapters ?? [])])
          expect((await backend.model(id))?.id).toBe(id);
        for (const id of [
          'no-such-model',
          '',
          '..',
          '../..',
          '/etc/passwd',
          `${under.base}/..`,
          'a\0b',
          'x'.repeat(5000),
        ]) {
          expect(await backend.model(id), JSON.stringify(id.slice(0, 50))).toBeUndefined();
        }
      });

      test('the text definition is complete, and adapters share their base’s', async () => {
        const text = await backend.text(under.base);
        expect(text.tokenizer).toBeTypeOf('object');
        expect(text.vocabularySize).toBeGreaterThan(Math.max(...under.prompt));
        expect(text.endTokenIds.length).toBeGreaterThan(0);
        for (const id of text.endTokenIds) expect(id).toBeLessThan(text.vocabularySize);
        for (const id of under.adapters ?? []) {
          expect((await backend.text(id)).endTokenIds).toEqual(text.endTokenIds);
        }
      });

      test('it is ready', () => {
        expect(backend.health().ready).toBe(true);
      });
    });

    describe('generation', () => {
      test('yields tokens, then exactly one finish, and counts them', async () => {
        const { ids, finish } = await generate({ maxTokens: 12 });
        expect(ids.length).toBe(12);
        expect(finish.reason).toBe('length');
        expect(finish.stopTokenId).toBeUndefined();
        expect(finish.usage.promptTokens).toBe(under.prompt.length);
        expect(finish.usage.completionTokens).toBe(12);
        expect(finish.usage.cachedTokens).toBeGreaterThanOrEqual(0);
        expect(finish.usage.cachedTokens).toBeLessThan(under.prompt.length);
      });

      test('one token is as much as is asked for', async () => {
        const { ids, finish } = await generate({ maxTokens: 1 });
        expect(ids.length).toBe(1);
        expect(finish.usage.completionTokens).toBe(1);
      });

      test('greedy is the same every time', async () => {
        expect((await generate()).ids).toEqual((await generate()).ids);
      });

      test('a seed decides, at any temperature', async () => {
        const draws = await Promise.all(
          [1n, 2n, 3n, 4n, 1n].map((seed) => generate({ sampling: sampled(seed), maxTokens: 24 })),
        );
        expect(draws[4]!.ids).toEqual(draws[0]!.ids);
        expect(new Set(draws.map((draw) => draw.ids.join())).size).toBeGreaterThan(1);
      });

      test('seeds have 64 bits', async () => {
        const largest = await generate({ sampling: sampled(2n ** 64n - 1n), maxTokens: 4 });
        expect(largest.ids.length).toBe(4);
      });

      test('side by side each gets what it gets alone', async () => {
        const models = [under.base, ...(under.adapters ?? [])];
        const requests = Array.from({ length: 12 }, (_, index) => ({
          model: models[index % models.length]!,
          prompt: under.prompt.slice(0, under.prompt.length - (index % 5)),
          maxTokens: 4 + index,
          sampling: index % 2 ? sampled(BigInt(index)) : request().sampling,
        }));
        const alone: number[][] = [];
        for (const one of requests) alone.push((await generate(one)).ids);
        const together = await Promise.all(requests.map((one) => generate(one)));
        expect(together.map(({ ids }) => ids)).toEqual(alone);
      });

      test('an explicit stop token ends it, and is emitted', async () => {
        const free = (await generate({ maxTokens: 16 })).ids;
        const stop = free[5]!;
        const { ids, finish } = await generate({ maxTokens: 16, stopTokenIds: [stop] });
        expect(ids).toEqual(free.slice(0, free.indexOf(stop) + 1));
        expect(finish).toMatchObject({ reason: 'stop', stopTokenId: stop });
        expect(finish.usage.completionTokens).toBe(ids.length);
      });

      test('before minTokens nothing ends it', async () => {
        const free = (await generate({ maxTokens: 16 })).ids;
        const { ids } = await generate({ maxTokens: 16, minTokens: 16, stopTokenIds: [free[2]!] });
        expect(ids.length).toBe(16);
        expect(ids.slice(0, 15)).not.toContain(free[2]);
      });

      test('a bias of 100 forces a token, one of -100 forbids it', async () => {
        const token = (await generate({ maxTokens: 1 })).ids[0]!;
        const other = under.prompt.find((id) => id !== token)!;
        const biased = (bias: Array<[number, number]>) =>
          generate({ maxTokens: 1, sampling: { ...request().sampling, logitBias: bias } });
        expect((await biased([[other, 100]])).ids).toEqual([other]);
        expect((await biased([[token, -100]])).ids).not.toEqual([token]);
      });
    });

    describe('log-probabilities', () => {
      test('are not there unless asked for', async () => {
        const { logprobs, prompt } = await generate();
        expect(logprobs.every((entry) => entry === undefined)).toBe(true);
        expect(prompt).toBeUndefined();
      });

      test('of generated tokens: own, rank and as many top ones as asked', async () => {
        for (const count of [0, 1, 20]) {
          const { ids, logprobs } = await generate({ logprobs: count, maxTokens: 6 });
          expect(logprobs.length).toBe(ids.length);
          for (const [index, entry] of logprobs.entries()) checkLogprob(entry!, ids[index]!, count);
        }
      });

      test('of greedy tokens are the highest', async () => {
        const { ids, logprobs } = await generate({ logprobs: 2, maxTokens: 6 });
        logprobs.forEach((entry, index) => {
          expect(entry!.rank).toBe(1);
          expect(entry!.top[0]!.id).toBe(ids[index]);
        });
      });

      test('do not change what is generated', async () => {
        expect((await generate({ logprobs: 5 })).ids).toEqual((await generate()).ids);
      });

      test('of the prompt: one entry a token, null first', async () => {
        const { prompt } = await generate({ promptLogprobs: 3, maxTokens: 2 });
        expect(prompt?.length).toBe(under.prompt.length);
        expect(prompt![0]).toBeNull();
        for (const [index, entry] of prompt!.slice(1).entries())
          checkLogprob(entry!, under.prompt[index + 1]!, 3);
      });
    });

    describe('constraints', () => {
      const size = async () => (await backend.text(under.base)).vocabularySize;
      /** Two tokens of the prompt, others at each place. */
      const pair = (place: number) => [place, place + 7].map((at) => under.prompt[at % under.prompt.length]!);

      test('it says whether it obeys them', () => {
        expect(backend.constrains ?? false).toBe(under.constrains ?? false);
      });

      test.runIf(under.constrains)(
        'every token is one that its mask allows, whenever that comes',
        async () => {
          const vocabulary = await size();
          for (const sampling of [request().sampling, sampled(3n), { ...sampled(4n), topK: 1 }]) {
            const runs: number[][] = [];
            for (const late of [false, true]) {
              const constraint = new Places(vocabulary, pair, late);
              const { ids, finish } = await generate({ constraint, sampling });
              ids.forEach((id, place) => {
                expect(pair(place), `place ${place}`).toContain(id);
              });
              expect(finish.reason).toBe('length');
              expect(constraint.told).toEqual(ids.slice(0, -1));
              runs.push(ids);
            }
            expect(runs[1]).toEqual(runs[0]);
          }
        },
      );

      test.runIf(under.constrains)('side by side with others each gets what it gets alone', async () => {
        const vocabulary = await size();
        const requests = Array.from({ length: 8 }, (_, index) => () => ({
          maxTokens: 6 + index,
          sampling: sampled(BigInt(index)),
          ...(index % 2 ? { constraint: new Places(vocabulary, pair, index > 4) } : {}),
        }));
        const alone: number[][] = [];
        for (const one of requests) alone.push((await generate(one())).ids);
        const together = await Promise.all(requests.map((one) => generate(one())));
        expect(together.map(({ ids }) => ids)).toEqual(alone);
      });

      test.runIf(under.constrains)(
        'a mask stands above a bias, and log-probabilities are the model’s',
        async () => {
          const [token, other] = under.prompt as [number, number];
          const constraint = new Places(await size(), () => [token], false);
          const biased = (...bias: Array<[number, number]>) => ({ ...request().sampling, logitBias: bias });
          const masked = await generate({
            constraint,
            maxTokens: 4,
            logprobs: 3,
            sampling: biased([other, 100]),
          });
          const forced = await generate({ maxTokens: 4, logprobs: 3, sampling: biased([token, 100]) });
          expect(masked.ids).toEqual([token, token, token, token]);
          expect(masked.logprobs).toEqual(forced.logprobs);
        },
      );

      test.runIf(under.constrains)(
        'it ends where the end is all that a mask allows, whatever minTokens',
        async () => {
          const end = (await backend.text(under.base)).endTokenIds[0]!;
          const constraint = new Places(await size(), (place) => (place < 3 ? pair(place) : [end]), false);
          const { ids, finish } = await generate({ constraint, ignoreEnd: false, minTokens: 8 });
          expect(ids.length).toBe(4);
          expect(finish).toMatchObject({ reason: 'stop', stopTokenId: end });
          expect(constraint.told.length).toBe(3);
        },
      );

      test.runIf(under.constrains)('one that fails ends its generation alone', async () => {
        const constraint = new Places(await size(), pair, false, 2);
        const [failed, other] = await Promise.allSettled([generate({ constraint }), generate()]);
        expect(failed).toMatchObject({ status: 'rejected', reason: { message: 'No more.', status: 500 } });
        expect(other.status).toBe('fulfilled');
      });
    });

    describe('embeddings', () => {
      const embed = (changes: Partial<EmbedRequest> = {}, signal = new AbortController().signal) =>
        backend.embed!({ model: under.base, prompt: under.prompt, pool: 'mean', ...changes }, signal);

      test('are there where it says so', () => {
        expect(backend.embed !== undefined).toBe(under.embeds ?? false);
      });

      test.runIf(under.embeds)('are one width of finite numbers, of any prompt and pool', async () => {
        const prompts = [under.prompt, under.prompt.slice(0, 1), under.prompt.toReversed()];
        for (const pool of ['mean', 'last'] as const) {
          for (const prompt of prompts) {
            const { values, usage } = await embed({ prompt, pool });
            expect(values.length).toBe((await embed()).values.length);
            expect(values.every(Number.isFinite)).toBe(true);
            expect(usage.promptTokens).toBe(prompt.length);
            expect(usage.cachedTokens).toBeLessThan(prompt.length);
          }
        }
        expect((await embed({ pool: 'last' })).values).not.toEqual((await embed()).values);
      });

      test.runIf(under.embeds)('are the same to the bit side by side with others', async () => {
        const requests = under.prompt.map((_, index) => ({
          prompt: under.prompt.slice(0, index + 1),
          pool: index % 3 === 0 ? ('last' as const) : ('mean' as const),
          model: [under.base, ...(under.adapters ?? [])][index % ((under.adapters?.length ?? 0) + 1)]!,
        }));
        const alone: Float32Array[] = [];
        for (const one of requests) alone.push((await embed(one)).values);
        const beside = generate({ maxTokens: 16 });
        const together = await Promise.all(requests.map((one) => embed(one)));
        expect(together.map(({ values }) => values)).toEqual(alone);
        await beside;
      });

      test.runIf(under.embeds)('of an unknown model or an empty prompt are refused', async () => {
        await expect(embed({ model: 'no-such-model' })).rejects.toMatchObject({ status: 404 });
        await expect(embed({ prompt: [] })).rejects.toBeInstanceOf(ColophonError);
      });

      test.runIf(under.embeds)('that are aborted reject and hold nothing', async () => {
        const before = new AbortController();
        before.abort();
        await expect(embed({}, before.signal)).rejects.toBeDefined();
        const during = new AbortController();
        const prompts = Array.from({ length: 8 }, () => embed({}, during.signal));
        during.abort();
        const ended = await Promise.allSettled(prompts);
        expect(ended.map(({ status }) => status)).toEqual(prompts.map(() => 'rejected'));
        await freed();
      });
    });

    describe('the prefix cache', () => {
      test.runIf(under.prefixCache)('serves a prompt the second time, and salts keep apart', async () => {
        const cacheSalt = `salt-${Date.now()}`;
        const first = await generate({ cacheSalt });
        const second = await generate({ cacheSalt });
        expect(first.finish.usage.cachedTokens).toBe(0);
        expect(second.finish.usage.cachedTokens).toBeGreaterThan(0);
        expect(second.ids).toEqual(first.ids);
        expect((await generate({ cacheSalt: `${cacheSalt}-other` })).finish.usage.cachedTokens).toBe(0);
      });
    });

    describe('where it has tokens recorded itself', () => {
      test('all are, in order, and none is given before', async () => {
        const recorded: number[] = [];
        const given: number[] = [];
        let asked = 0;
        const record = async (ids: readonly number[]) => {
          asked += ids.length;
          await new Promise((resolve) => setTimeout(resolve, 2));
          recorded.push(...ids);
        };
        for await (const parts of backend.generate(request({ record }), new AbortController().signal)) {
          for (const part of parts) if (part.type === 'token') given.push(part.id);
          if (asked > 0) expect(given.length).toBeLessThanOrEqual(recorded.length);
        }
        expect(given.length).toBe(16);
        expect([[], given]).toContainEqual(recorded);
      });

      test('what could not be recorded ends it, and is not given', async () => {
        const full = new ColophonError('The disk is full.', { type: 'service_unavailable_error' });
        let asked = 0;
        let durable = 0;
        const record = async (ids: readonly number[]) => {
          asked++;
          await new Promise((resolve) => setTimeout(resolve, 2));
          if (durable > 3) throw full;
          durable += ids.length;
        };
        let given = 0;
        const read = async () => {
          for await (const parts of backend.generate(request({ record }), new AbortController().signal))
            given += parts.filter(({ type }) => type === 'token').length;
        };
        const error = await read().catch((thrown: unknown) => thrown);
        if (asked > 0) expect([error, given]).toEqual([full, durable]);
        await freed();
      });
    });

    describe('ending early', () => {
      const long = { maxTokens: 4096 - under.prompt.length };
      const longest = async () => {
        const { maxModelLength } = (await backend.model(under.base))!;
        return { maxTokens: Math.min(long.maxTokens, maxModelLength - under.prompt.length) };
      };

      test('an abort ends the iteration, without another finish', async () => {
        const controller = new AbortController();
        let tokens = 0;
        let finished = false;
        const read = (async () => {
          for await (const parts of backend.generate(request(await longest()), controller.signal)) {
            tokens += parts.filter((part) => part.type === 'token').length;
            finished ||= parts.some((part) => part.type === 'finish');
            if (tokens >= 2) controller.abort();
          }
        })().catch(() => undefined); // it may end or throw
        await within(read, under.abortWithinMs ?? 5000);
        expect(finished).toBe(false);
        await freed();
      });

      test('leaving the loop ends the generation', async () => {
        for await (const parts of backend.generate(request(await longest()), new AbortController().signal)) {
          if (parts.some((part) => part.type === 'token')) break;
        }
        await freed();
      });

      test('a signal that has fired already starts nothing', async () => {
        const parts: GeneratePart[] = [];
        const read = (async () => {
          for await (const batch of backend.generate(request(await longest()), AbortSignal.abort()))
            parts.push(...batch);
        })().catch(() => undefined);
        await within(read, under.abortWithinMs ?? 5000);
        expect(parts.some((part) => part.type === 'finish')).toBe(false);
        await freed();
      });

      test('others go on undisturbed', async () => {
        const alone = (await generate({ maxTokens: 32 })).ids;
        const controller = new AbortController();
        const doomed = (async () => {
          for await (const _ of backend.generate(request(await longest()), controller.signal))
            controller.abort();
        })().catch(() => undefined);
        const [together] = await Promise.all([generate({ maxTokens: 32 }), doomed]);
        expect(together.ids).toEqual(alone);
        await freed();
      });
    });

    describe('what cannot be done is refused with a ColophonError', () => {
      test.each<[string, Partial<GenerateRequest>, number]>([
        ['an unknown model', { model: 'no-such-model' }, 404],
        ['an empty prompt', { prompt: [] }, 400],
        ['an id past the vocabulary', { prompt: [2 ** 31 - 1] }, 400],
        ['a negative id', { prompt: [-1] }, 400],
      ])('%s', async (_name, changes, status) => {
        const error = await generate(changes).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        expect(error).toBeInstanceOf(ColophonError);
        expect((error as ColophonError).status).toBe(status);
        expect((await generate({ maxTokens: 1 })).ids.length).toBe(1); // and it still serves
      });
    });

    describe('adapters by call', () => {
      test.runIf(under.loadable)('load, serve, are refused twice, replaced, unloaded', async () => {
        const { name, path } = under.loadable!;
        const adapters = backend.adapters!;
        const card = await adapters.load(name, path, { replace: false });
        expect(card).toMatchObject({ id: name, parent: under.base });
        expect((await generate({ model: name, maxTokens: 2 })).ids.length).toBe(2);
        await expect(adapters.load(name, path, { replace: false })).rejects.toBeInstanceOf(ColophonError);
        await adapters.load(name, path, { replace: true });
        await adapters.unload(name);
        expect(await backend.model(name)).toBeUndefined();
        await expect(adapters.unload(name)).rejects.toMatchObject({ status: 404 });
      });

      test.runIf(under.loadable)('a folder that is not there is refused and nothing is served', async () => {
        const load = backend.adapters!.load('conformance-missing', '/missing/adapter', { replace: false });
        await expect(load).rejects.toBeInstanceOf(ColophonError);
        expect(await backend.model('conformance-missing')).toBeUndefined();
      });
    });
  });
}

/** A constraint that allows other tokens at each place. */
class Places implements TokenConstraint {
  readonly first: Uint32Array;
  /** What it was told. */
  readonly told: number[] = [];
  readonly #mask: (place: number) => Uint32Array;
  readonly #late: boolean;
  readonly #failAt: number | undefined;

  constructor(vocabulary: number, allowed: (place: number) => number[], late: boolean, failAt?: number) {
    this.#mask = (place) => {
      const mask = new Uint32Array(Math.ceil(vocabulary / 32));
      for (const id of allowed(place)) mask[id >> 5]! |= 1 << (id & 31);
      return mask;
    };
    this.first = this.#mask(0);
    this.#late = late;
    this.#failAt = failAt;
  }

  async next(id: number): Promise<Uint32Array> {
    this.told.push(id);
    const place = this.told.length;
    if (this.#late) await new Promise((resolve) => setTimeout(resolve, 1 + (place % 3)));
    if (place === this.#failAt) throw new ColophonError('No more.', { type: 'server_error' });
    return this.#mask(place);
  }
}

/** Everything that a generation gives, with the order of its parts checked. */
async function collect(backend: Backend, request: GenerateRequest): Promise<Generated> {
  const ids: number[] = [];
  const logprobs: Array<TokenLogprob | undefined> = [];
  let prompt: Array<TokenLogprob | null> | undefined;
  let finish: Generated['finish'] | undefined;
  for await (const parts of backend.generate(request, new AbortController().signal)) {
    expect(parts.length).toBeGreaterThan(0);
    for (const part of parts) {
      expect(finish, 'a part after the finish').toBeUndefined();
      if (part.type === 'finish') {
        finish = part;
      } else if (part.type === 'prompt-logprobs') {
        expect(ids.length, 'prompt log-probabilities after a token').toBe(0);
        prompt = part.tokens;
      } else {
        ids.push(part.id);
        logprobs.push(part.logprob);
      }
    }
  }
  if (!finish) throw new Error('The generation ended without a finish.');
  return { ids, logprobs, prompt, finish };
}

function checkLogprob(entry: TokenLogprob, id: number, count: number): void {
  expect(entry.logprob).toBeLessThanOrEqual(0);
  expect(entry.rank).toBeGreaterThanOrEqual(1);
  expect(entry.top.length).toBe(count);
  expect(new Set(entry.top.map((top) => top.id)).size).toBe(count);
  for (let index = 1; index < count; index++) {
    expect(entry.top[index]!.logprob).toBeLessThanOrEqual(entry.top[index - 1]!.logprob);
  }
  const listed = entry.top.find((top) => top.id === id);
  if (listed) expect(listed.logprob).toBe(entry.logprob);
  if (entry.rank <= count) expect(entry.top[entry.rank - 1]!.logprob).toBe(entry.logprob);
}

async function within(work: Promise<unknown>, milliseconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`It took longer than ${milliseconds} ms to end.`)),
      milliseconds,
    );
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
