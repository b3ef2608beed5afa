/** A backend without a model: deterministic, as fast as its caller, with what tests want to know and to break. */

import { Type } from 'typebox';
import {
  type Backend,
  ColophonError,
  definePlugin,
  type EmbedRequest,
  type GeneratePart,
  type GenerateRequest,
  type ModelCard,
  type Plugin,
  type TextDefinition,
  type TokenLogprob,
} from '../../contract/index.ts';
import { mockEndToken, mockText, mockTokens, mockVocabulary } from './mock_text.ts';

export interface MockOptions {
  base?: string;
  adapters?: string[];
  /** Longest prompt + completion. */
  context?: number;
  /** What it answers, as text or ids; the end token follows. Undefined: pseudo-random letters. */
  reply?: (request: GenerateRequest) => string | number[] | undefined;
  /** Thrown before token `at` of a generation for which this gives an error. */
  fail?: (request: GenerateRequest, at: number) => Error | undefined;
  /** Tokens that one step gives each sequence. */
  tokensPerStep?: number;
  ready?: () => boolean;
  /** Default true. */
  constrains?: boolean;
  /** Default: mockText. */
  text?: TextDefinition;
  /** Default true. */
  embeds?: boolean;
  /** Whether it has tokens recorded before it gives them; default: that is left to whoever reads them. */
  records?: boolean;
}

/** The mock with what tests look at. */
export interface MockBackend extends Backend {
  /** Generations that run now. */
  readonly running: number;
  /** Every request that was started. */
  readonly requests: GenerateRequest[];
  readonly embedRequests: EmbedRequest[];
  /** Names that load calls pinned. */
  readonly pinned: Set<string>;
  /** Steps stop until resume() is called. */
  pause(): void;
  resume(): void;
}

/** Values of an embedding. */
export const mockWidth = 24;

const letters = mockTokens('abcdefghijklmnopqrstuvwxyz ');

export function createMockBackend(options: MockOptions = {}): MockBackend {
  const base = options.base ?? 'mock/base';
  const context = options.context ?? 4096;
  const adapters = new Map((options.adapters ?? ['mock-adapter']).map((name) => [name, `/adapters/${name}`]));
  const requests: GenerateRequest[] = [];
  const embedRequests: EmbedRequest[] = [];
  const pinned = new Set<string>();
  const seen = new Set<string>();
  const steps = createSteps();
  let running = 0;

  const card = (id: string): ModelCard => ({
    id,
    created: 1_700_000_000,
    ownedBy: 'colophon',
    root: adapters.get(id) ?? 'mock.gguf',
    parent: id === base ? null : base,
    ...(id === base ? {} : { residency: 'disk' as const }),
    contentHash: hash(id).toString(16).padStart(8, '0').repeat(8),
    maxModelLength: context,
  });
  const has = (id: string) => id === base || adapters.has(id);
  const missing = (id: string) =>
    new ColophonError(`The model '${id}' does not exist.`, {
      type: 'not_found_error',
      code: 'model_not_found',
      param: 'model',
    });

  /** Whole pages of 16 tokens that an earlier prompt left behind. */
  const takeCached = (request: GenerateRequest): number => {
    const key = (length: number) =>
      `${request.model}\0${request.cacheSalt ?? ''}\0${request.prompt.slice(0, length).join(',')}`;
    const pages = Math.floor((request.prompt.length - 1) / 16);
    let cached = 0;
    while (request.promptLogprobs === undefined && cached < pages && seen.has(key((cached + 1) * 16)))
      cached++;
    for (let page = 1; page * 16 <= request.prompt.length; page++) seen.add(key(page * 16));
    return cached * 16;
  };

  async function* run(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GeneratePart[]> {
    const scripted = options.reply?.(request);
    const script = typeof scripted === 'string' ? mockTokens(scripted) : scripted;
    const root = hash(`${request.model}:${request.prompt.join(',')}`);
    const seed = request.sampling.temperature === 0 ? 0 : Number(request.sampling.seed & 0xffffffffn);
    const stops = new Set([...request.stopTokenIds, ...(request.ignoreEnd ? [] : mockText.endTokenIds)]);
    const bias = request.sampling.logitBias ?? [];
    const cachedTokens = takeCached(request);
    const recorded = async (parts: GeneratePart[]) => {
      const ids = parts.flatMap((part) => (part.type === 'token' ? [part.id] : []));
      if (options.records) await request.record?.(ids, cachedTokens);
      return parts;
    };
    let made = 0;
    let mask = request.constraint?.first;
    const masked = (id: number) => mask !== undefined && ((mask[id >> 5]! >>> (id & 31)) & 1) === 0;
    const banned = (id: number) =>
      (made < request.minTokens && stops.has(id)) ||
      bias.some(([other, value]) => other === id && value <= -100);
    const next = (): number => {
      const forced = bias.find(([id, value]) => value >= 100 && !masked(id));
      if (forced) return forced[0];
      const id = draw();
      if (mask) return banned(id) || masked(id) ? drawMasked() : id;
      return banned(id) ? (letters.find((letter) => !banned(letter)) ?? id) : id;
    };
    /** One of those that the mask allows; it holds where everything that it allows is banned. */
    const drawMasked = (): number => {
      const allowed = Array.from({ length: mockVocabulary }, (_, id) => id).filter((id) => !masked(id));
      const left = allowed.filter((id) => !banned(id));
      const choices = left.length > 0 ? left : allowed;
      const id = choices[hash(`${root}:${seed}:${made}`) % choices.length];
      if (id === undefined) throw new ColophonError('The mask allows no token.', { type: 'server_error' });
      return id;
    };
    const draw = (): number => {
      if (script) return script[made] ?? (request.ignoreEnd ? mockTokens('.')[0]! : mockEndToken);
      const value = hash(`${root}:${seed}:${made}`);
      if (value % 64 === 0 && !request.ignoreEnd && made >= request.minTokens) return mockEndToken;
      return letters[value % letters.length]!;
    };
    running++;
    try {
      for (;;) {
        await steps.next(signal);
        if (signal.aborted) return;
        const parts: GeneratePart[] = [];
        if (made === 0 && request.promptLogprobs !== undefined) {
          parts.push({
            type: 'prompt-logprobs',
            tokens: promptLogprobs(request.prompt, request.promptLogprobs),
          });
        }
        for (let count = 0; count < (options.tokensPerStep ?? 1); count++) {
          const failure = options.fail?.(request, made);
          if (failure) throw failure;
          const id = next();
          const ended = stops.has(id) && (made >= request.minTokens || mask !== undefined);
          parts.push({
            type: 'token',
            id,
            ...(request.logprobs === undefined ? {} : { logprob: logprobOf(id, made, request.logprobs) }),
            ...(made === 0 ? { cachedTokens } : {}),
          });
          made++;
          if (!ended && made < request.maxTokens) {
            mask = await request.constraint?.next(id);
            continue;
          }
          parts.push({
            type: 'finish',
            reason: ended ? 'stop' : 'length',
            ...(ended ? { stopTokenId: id } : {}),
            usage: { promptTokens: request.prompt.length, cachedTokens, completionTokens: made },
          });
          yield await recorded(parts);
          return;
        }
        yield await recorded(parts);
      }
    } finally {
      running--;
    }
  }

  const check = ({ model, prompt }: Pick<GenerateRequest, 'model' | 'prompt'>) => {
    if (!has(model)) throw missing(model);
    if (prompt.length === 0) throw new ColophonError('The prompt is empty.', { param: 'prompt' });
    const bad = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= mockVocabulary);
    if (bad !== undefined)
      throw new ColophonError(`Token ${bad} is not in the vocabulary.`, { param: 'prompt' });
  };

  /** Counts of the tokens in mockWidth classes, and one value that tells models apart. */
  const embed = async (request: EmbedRequest, signal: AbortSignal) => {
    check(request);
    embedRequests.push(request);
    running++;
    try {
      await steps.next(signal);
      signal.throwIfAborted();
    } finally {
      running--;
    }
    const pooled = request.pool === 'mean' ? request.prompt : request.prompt.slice(-1);
    const values = new Float32Array(mockWidth);
    for (const id of pooled) values[id % (mockWidth - 1)]! += 1 / pooled.length;
    values[mockWidth - 1] = (hash(request.model) % 7) / 7;
    return { values, usage: { promptTokens: request.prompt.length, cachedTokens: 0 } };
  };

  return {
    name: 'mock',
    ...(options.embeds === false ? {} : { embed }),
    constrains: options.constrains ?? true,
    get running() {
      return running;
    },
    requests,
    embedRequests,
    pinned,
    pause: steps.pause,
    resume: steps.resume,
    models: () => [base, ...adapters.keys()].map(card),
    model: async (id) => (has(id) ? card(id) : undefined),
    text: async (id) => {
      if (!has(id)) throw missing(id);
      return options.text ?? mockText;
    },
    generate(request, signal) {
      check(request);
      requests.push(request);
      return run(request, signal);
    },
    adapters: {
      async load(name, path, { replace, pin }) {
        if (adapters.has(name) && !replace) {
          throw new ColophonError(
            `The lora adapter '${name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.`,
            { param: 'lora_name' },
          );
        }
        if (path.includes('missing')) {
          throw new ColophonError(`No adapter found at ${path}.`, {
            type: 'not_found_error',
            param: 'lora_path',
          });
        }
        adapters.set(name, path);
        if (pin) pinned.add(name);
        else if (pin === false) pinned.delete(name);
        return card(name);
      },
      async unload(name) {
        if (!adapters.delete(name)) {
          throw new ColophonError(`The lora adapter '${name}' cannot be found.`, {
            type: 'not_found_error',
            param: 'lora_name',
          });
        }
      },
    },
    health: () =>
      options.ready?.() === false ? { ready: false, detail: 'The mock is told not to be.' } : { ready: true },
    close: async () => {
      steps.resume();
    },
  };
}

/** A plugin around a backend, for a server under test. */
export function mockPlugin(backend: Backend): Plugin {
  return definePlugin({
    name: 'mock',
    contract: 1,
    config: Type.Object({}),
    provides: ['backend'],
    setup(host) {
      host.provide('backend', backend);
      return { close: () => backend.close() };
    },
  });
}

/** All that wait are let go together, as an engine's step does. */
function createSteps() {
  let waiting: Array<() => void> = [];
  let scheduled = false;
  let paused = false;
  const schedule = () => {
    if (scheduled || paused || waiting.length === 0) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      if (paused) return;
      const released = waiting;
      waiting = [];
      for (const release of released) release();
    });
  };
  return {
    next(signal: AbortSignal): Promise<void> {
      return new Promise((resolve) => {
        if (signal.aborted) return resolve();
        const release = () => {
          signal.removeEventListener('abort', release);
          resolve();
        };
        signal.addEventListener('abort', release);
        waiting.push(release);
        schedule();
      });
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
      schedule();
    },
  };
}

function logprobOf(id: number, position: number, count: number): TokenLogprob {
  const logprob = -((hash(`${id}:${position}`) % 1000) + 1) / 1000;
  const top = Array.from({ length: count }, (_, index) => ({
    id: index === 0 ? id : (id + index * 7) % mockVocabulary,
    logprob: logprob - index,
  }));
  return { logprob, rank: 1, top };
}

function promptLogprobs(prompt: number[], count: number): Array<TokenLogprob | null> {
  return prompt.map((id, index) => (index === 0 ? null : logprobOf(id, index, count)));
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  return value;
}
