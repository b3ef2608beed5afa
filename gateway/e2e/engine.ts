/** Engines on the default model for the end-to-end tests, and sequences run on them straight through the binding. */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type EngineOptions,
  FinishReason,
  type NativeEngine,
  native,
  type SamplingOptions,
  type SequenceRequest,
  type StepResult,
} from '../../native/binding/index.ts';
import { readAdapter } from '../../plugins/backends/native/peft.ts';

/** The long forms of these tests: COLOPHON_FULL_TESTS=1. */
export const full = process.env.COLOPHON_FULL_TESTS === '1';

/** Instruction sets that this machine can be held to. */
export const instructionSets = native().machine().supported;

export const fixtures = fileURLToPath(new URL('./fixtures', import.meta.url));

/** The default model's file, which the tests' set-up has fetched. */
export function modelPath(): string {
  const path = process.env.COLOPHON_TEST_MODEL;
  if (path) return path;
  throw new Error(process.env.COLOPHON_TEST_MODEL_FAULT ?? 'COLOPHON_TEST_MODEL names no model.');
}

/** A fixture's folder, or its place below COLOPHON_GOLDEN, which may hold adapters too large for the repository. */
export function goldenPath(name: string): string | undefined {
  const folders = [join(fixtures, 'golden'), process.env.COLOPHON_GOLDEN].filter(
    (folder) => folder !== undefined,
  );
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

export function readJson<Value>(path: string): Value {
  return JSON.parse(readFileSync(path, 'utf8')) as Value;
}

export const greedy: SamplingOptions = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  seed: 0n,
};

export interface Logprob {
  logprob: number;
  rank: number;
  top: Array<[id: number, logprob: number]>;
}

export interface Generated {
  tokens: number[];
  /** One for each token, where asked for. */
  logprobs: Logprob[];
  /** By position in the prompt, from 1 on, where asked for. */
  promptLogprobs: Logprob[];
  cachedTokens: number;
  finish: keyof typeof FinishReason;
}

export type RunRequest = Partial<SequenceRequest> &
  Pick<SequenceRequest, 'prompt'> & {
    /** Constrains it: the mask of the token at `place` of those generated, after the token `before`. */
    masks?: (place: number, before: number) => Uint32Array;
  };

/** A generation under way. */
export interface Run {
  sequence: number;
  result: Promise<Generated>;
  /** Tokens so far. */
  tokens: number[];
}

/** An engine whose results come back by sequence. */
export class TestEngine {
  readonly engine: NativeEngine;
  readonly #open = new Map<number, { take(step: StepResult, i: number): void }>();

  constructor(engine: NativeEngine) {
    this.engine = engine;
    engine.onStep((step) => {
      for (let i = 0; i < step.sequence.length; i++) this.#open.get(step.sequence[i]!)?.take(step, i);
    });
  }

  static async create(options: Partial<EngineOptions> = {}): Promise<TestEngine> {
    return new TestEngine(
      await native().createEngine({
        model: { format: 'gguf', path: modelPath() },
        kvBytes: 512 << 20,
        adapterBytes: 512 << 20,
        ...options,
      }),
    );
  }

  /** Registers a PEFT folder and gives its handle. */
  async adapter(folder: string, name: string = randomUUID()): Promise<number> {
    const { spec } = await readAdapter(folder, this.engine.info().hyperparameters, name, native().hashFile);
    return this.engine.registerAdapter(spec);
  }

  /** Submits; `onToken` is called as tokens arrive. */
  start({ masks, ...request }: RunRequest, onToken?: (tokens: number) => void): Run {
    const generated: Generated = {
      tokens: [],
      logprobs: [],
      promptLogprobs: [],
      cachedTokens: 0,
      finish: 'none',
    };
    const prompt = request.prompt.length;
    let settle: { resolve(value: Generated): void; reject(error: Error): void };
    const result = new Promise<Generated>((resolve, reject) => {
      settle = { resolve, reject };
    });
    const mask = masks?.(0, request.prompt.at(-1)!);
    const sequence = this.engine.submit({
      maxTokens: 16,
      sampling: greedy,
      stopTokenIds: [],
      mask,
      ...request,
    });
    /** At once, in a later turn or some steps late. */
    const tellMask = (position: number, token: number) => {
      const place = position + 1 - prompt;
      const tell = () => {
        if (this.#open.has(sequence)) this.engine.setMask(sequence, position + 1, masks!(place, token));
      };
      const how = (token + place) % 3;
      if (how === 0) tell();
      else if (how === 1) setImmediate(tell);
      else setTimeout(tell, token % 10);
    };
    this.#open.set(sequence, {
      take: (step, i) => {
        const position = step.position[i]!;
        if (step.token[i]! >= 0) {
          const logprob = logprobOf(step, i);
          if (position < prompt) generated.promptLogprobs[position] = logprob!;
          else {
            if (generated.tokens.length === 0) generated.cachedTokens = step.cachedTokens[i]!;
            generated.tokens.push(step.token[i]!);
            if (logprob) generated.logprobs.push(logprob);
            if (masks && step.finish[i] === FinishReason.none) tellMask(position, step.token[i]!);
            onToken?.(generated.tokens.length);
          }
        }
        if (step.finish[i] === FinishReason.none) return;
        this.#open.delete(sequence);
        const error = step.errors?.find((entry) => entry.sequence === sequence);
        if (error) settle.reject(Object.assign(new Error(error.message), { code: error.code }));
        generated.finish = (Object.keys(FinishReason) as Array<keyof typeof FinishReason>).find(
          (name) => FinishReason[name] === step.finish[i],
        )!;
        settle.resolve(generated);
      },
    });
    return { sequence, result, tokens: generated.tokens };
  }

  run(request: RunRequest): Promise<Generated> {
    return this.start(request).result;
  }

  /** Log-probabilities of `ids` after `prompt`: those in the top 20 in one sequence, the others as prompt tokens. */
  async logprobsOf(prompt: number[], ids: number[], adapter?: number): Promise<Map<number, number>> {
    const first = await this.run({ prompt, adapter, maxTokens: 1, logprobs: 20 });
    const found = new Map(first.logprobs[0]!.top);
    const rest = ids.filter((id) => !found.has(id));
    const more = await Promise.all(
      rest.map((id) => this.run({ prompt: [...prompt, id], adapter, maxTokens: 1, promptLogprobs: 0 })),
    );
    more.forEach((run, i) => {
      found.set(rest[i]!, run.promptLogprobs[prompt.length]!.logprob);
    });
    return new Map(ids.map((id) => [id, found.get(id)!]));
  }

  close(): Promise<void> {
    return this.engine.close();
  }
}

function logprobOf(step: StepResult, i: number): Logprob | undefined {
  if (!(step.rank[i]! > 0)) return undefined;
  const top: Logprob['top'] = [];
  for (let k = step.topOffset[i]!; k < step.topOffset[i + 1]!; k++)
    top.push([step.topToken[k]!, step.topLogprob[k]!]);
  return { logprob: step.logprob[i]!, rank: step.rank[i]!, top };
}

/** A hash over tokens and the exact bits of every log-probability: equal only where all of them are. */
export function fingerprint({ tokens, logprobs, promptLogprobs }: Generated): string {
  const all = [...promptLogprobs.filter(Boolean), ...logprobs];
  return createHash('sha256')
    .update(Int32Array.from(tokens))
    .update(Float32Array.from(all.flatMap(({ logprob, top }) => [logprob, ...top.map((entry) => entry[1])])))
    .update(Int32Array.from(all.flatMap(({ rank, top }) => [rank, ...top.map((entry) => entry[0])])))
    .digest('hex');
}

/** Numbers in [0, 1) that are the same in every run. */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
