/** The contract's Backend over the native engine. */
import {
  type Backend,
  type BaseWeights,
  ColophonError,
  type Embedding,
  type EmbedRequest,
  type EngineIdentity,
  type GeneratePart,
  type GenerateRequest,
  type ModelCard,
  type TextDefinition,
} from '../../../gateway/contract/index.ts';
import {
  type EngineInfo,
  FinishReason,
  type NativeEngine,
  native,
  type PoolRequest,
  type SequenceRequest,
  type StepResult,
} from '../../../native/binding/index.ts';
import type { AdapterMetrics } from './adapter_metrics.ts';
import { AdapterRegistry, type RegistryOptions } from './adapter_registry.ts';
import { Pooling } from './embedding.ts';
import { modelNotFound, toColophonError } from './errors.ts';
import { Generation } from './generation.ts';

export interface NativeBackendOptions extends Omit<RegistryOptions, 'reserved'> {
  /** The base's id. */
  model: string;
  /** Where the base came from: its path or source. */
  root: string;
  /** Unix seconds. */
  created: number;
  text: TextDefinition;
  /** Of the base, for those who train on it. */
  weights?: BaseWeights;
  /** Sequences that run or wait at most; past them requests are refused with 429. */
  maxQueued: number;
  /** Receives sentences of the engine for whoever runs the server. */
  warn?: (sentence: string) => void;
  /** Counts what each adapter is used for. */
  adapterMetrics: AdapterMetrics;
}

type Receiver = Generation | Pooling;

/** A sequence that the engine has. */
interface Running {
  receiver: Receiver;
  /** Its adapter's name; undefined on the base. */
  adapter: string | undefined;
  promptTokens: number;
  begun: boolean;
}

export class NativeBackend implements Backend {
  readonly name = 'native';
  readonly engine: EngineIdentity;
  readonly constrains = true;
  readonly adapters: NonNullable<Backend['adapters']>;
  readonly #options: NativeBackendOptions;
  readonly #engine: NativeEngine;
  readonly #info: EngineInfo;
  readonly #registry: AdapterRegistry;
  readonly #running = new Map<number, Running>();
  /** Requests between generate() and submit(). */
  #arriving = 0;
  #closed = false;

  constructor(options: NativeBackendOptions) {
    this.#options = options;
    this.#engine = options.engine;
    this.#info = options.engine.info();
    this.engine = { version: native().machine().version, precision: this.#info.precision };
    this.#registry = new AdapterRegistry({ ...options, reserved: options.model });
    this.#engine.onStep((step) => this.#onStep(step));
    this.adapters = {
      load: (name, path, { replace, pin }) => this.#load(name, path, replace, pin),
      unload: (name) => this.#unload(name),
    };
  }

  async models(): Promise<ModelCard[]> {
    const adapters = await this.#registry.list();
    return [this.#baseCard(), ...adapters.map((adapter) => this.#adapterCard(adapter))];
  }

  async model(id: string): Promise<ModelCard | undefined> {
    if (id === this.#options.model) return this.#baseCard();
    const adapter = await this.#registry.resolve(id).catch(rethrow);
    if (!adapter) return undefined;
    const { residency } = this.#engine.adapterState(adapter.handle);
    return this.#adapterCard({ ...adapter, residency });
  }

  async text(id: string): Promise<TextDefinition> {
    if (!(await this.model(id))) throw modelNotFound(id, this.#options.model);
    return this.#options.text;
  }

  async weights(id: string): Promise<BaseWeights | undefined> {
    return id === this.#options.model ? this.#options.weights : undefined;
  }

  generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<GeneratePart[]> {
    const generation = new Generation(request, signal);
    // One more than the prompt: the token that follows it.
    this.#begin(request, generation, request.prompt.length + 1, () => ({
      maxTokens: request.maxTokens,
      minTokens: request.minTokens,
      sampling: request.sampling,
      stopTokenIds: [...(request.ignoreEnd ? [] : this.#options.text.endTokenIds), ...request.stopTokenIds],
      logprobs: request.logprobs,
      promptLogprobs: request.promptLogprobs,
      mask: request.constraint?.first,
      answerStates: request.answerStates,
    }));
    return generation;
  }

  embed(request: EmbedRequest, signal: AbortSignal): Promise<Embedding> {
    const pooling = new Pooling(request, signal);
    this.#begin(request, pooling, request.prompt.length, () => ({ pool: request.pool }));
    return pooling.result;
  }

  health(): { ready: boolean; detail?: string } {
    return this.#closed ? { ready: false, detail: 'The native engine is closed.' } : { ready: true };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#engine.close();
    for (const { receiver } of this.#running.values()) receiver.fail(closing());
    this.#running.clear();
  }

  /** The adapter's handle; undefined for the base. */
  async #handle(model: string): Promise<number | undefined> {
    if (this.#closed) throw closing();
    const queued = this.#running.size + this.#arriving;
    if (queued > this.#options.maxQueued) {
      throw new ColophonError(
        `The engine's queue is full (${this.#options.maxQueued} requests); try again shortly.`,
        {
          type: 'rate_limit_error',
          code: 'queue_full',
          retryAfterSeconds: 1,
        },
      );
    }
    if (model === this.#options.model) return undefined;
    const adapter = await this.#registry.resolve(model);
    if (!adapter) throw modelNotFound(model, this.#options.model);
    return adapter.handle;
  }

  /** Brings a request to the engine; what goes wrong on the way is its receiver's. */
  #begin(request: Asked, receiver: Receiver, tokens: number, wanted: () => Wanted): void {
    if (receiver.ended) return;
    this.#arriving++;
    this.#submit(request, receiver, tokens, wanted)
      .catch((error) => receiver.fail(error))
      .finally(() => {
        this.#arriving--;
      });
  }

  /** Hands the request to the engine, unless its reader has left meanwhile. */
  async #submit(request: Asked, receiver: Receiver, tokens: number, wanted: () => Wanted): Promise<void> {
    const { maxContext } = this.#info;
    if (tokens > maxContext) {
      throw new ColophonError(
        `This model's maximum context length is ${maxContext} tokens, but the prompt has ${request.prompt.length}. ` +
          'Shorten the prompt.',
        { code: 'context_length_exceeded', param: 'prompt' },
      );
    }
    for (let tries = 0; ; tries++) {
      const adapter = await this.#handle(request.model);
      if (receiver.ended) return;
      try {
        if (adapter !== undefined && tries === 0)
          this.#options.adapterMetrics.request(request.model, adapter);
        const sequence = this.#engine.submit({
          prompt: request.prompt,
          adapter,
          cacheSalt: request.cacheSalt,
          tenant: request.tenant,
          priority: request.priority,
          ...wanted(),
        });
        this.#running.set(sequence, {
          receiver,
          adapter: adapter === undefined ? undefined : request.model,
          promptTokens: request.prompt.length,
          begun: false,
        });
        receiver.attach({
          cancel: () => this.#engine.cancel(sequence),
          setMask: (position, mask) => this.#engine.setMask(sequence, position, mask),
        });
        return;
      } catch (error) {
        // The adapter was reloaded between finding its handle and using it: its name has a new one.
        if (adapter === undefined || tries > 0 || (error as { code?: string }).code !== 'not_found')
          throw error;
      }
    }
  }

  #onStep(step: StepResult): void {
    for (const sentence of step.warnings ?? []) this.#options.warn?.(sentence);
    const touched = new Set<Generation>();
    for (let i = 0; i < step.sequence.length; i++) {
      const sequence = step.sequence[i]!;
      const running = this.#running.get(sequence);
      if (!running) continue;
      this.#count(running, step, i);
      const { receiver } = running;
      if (receiver.take(step, i)) this.#running.delete(sequence);
      if (receiver instanceof Generation) touched.add(receiver);
    }
    tellApart(touched);
  }

  /** Brings the adapter of that name into memory and keeps it there. Throws a sentence where it cannot. */
  async pin(name: string): Promise<void> {
    if (!(await this.#registry.pin(name).catch(rethrow))) throw modelNotFound(name);
  }

  /** Adds entry `i` of a step to its adapter's figures. */
  #count(running: Running, step: StepResult, i: number): void {
    const { adapter, promptTokens, begun } = running;
    if (adapter === undefined) return;
    const { adapterMetrics } = this.#options;
    if (step.finish[i] === FinishReason.pooled)
      adapterMetrics.begun(adapter, promptTokens, step.queueSeconds[i]!);
    if (step.token[i]! < 0 || step.position[i]! < promptTokens) return;
    if (!begun) adapterMetrics.begun(adapter, promptTokens, step.queueSeconds[i]!);
    running.begun = true;
    adapterMetrics.generated(adapter);
  }

  async #load(name: string, path: string, replace: boolean, pin?: boolean): Promise<ModelCard> {
    const adapter = await this.#registry.load(name, path, replace, pin).catch(rethrow);
    return this.#adapterCard({ ...adapter, residency: 'ram' });
  }

  async #unload(name: string): Promise<void> {
    if (await this.#registry.unload(name)) return;
    throw new ColophonError(`The lora adapter '${name.slice(0, 200)}' cannot be found.`, {
      type: 'not_found_error',
      code: 'adapter_not_found',
      param: 'lora_name',
    });
  }

  #baseCard(): ModelCard {
    const { maxContext, baseHash } = this.#info;
    return {
      id: this.#options.model,
      created: this.#options.created,
      ownedBy: 'colophon',
      root: this.#options.root,
      parent: null,
      contentHash: baseHash,
      maxModelLength: maxContext,
    };
  }

  #adapterCard(
    adapter: Pick<ModelCard, 'residency' | 'contentHash'> & { name: string; path: string; modified: number },
  ): ModelCard {
    return {
      id: adapter.name,
      created: adapter.modified,
      ownedBy: 'colophon',
      root: adapter.path,
      parent: this.#options.model,
      residency: adapter.residency,
      contentHash: adapter.contentHash,
      maxModelLength: this.#info.maxContext,
    };
  }
}

/** Each reader has what a step brought once that is recorded; those of one record are woken together. */
function tellApart(generations: Iterable<Generation>): void {
  const waiting = new Map<Promise<void>, Generation[]>();
  for (const generation of generations) {
    const recorded = generation.record();
    const others = recorded && waiting.get(recorded);
    if (!recorded) generation.wake();
    else if (others) others.push(generation);
    else waiting.set(recorded, [generation]);
  }
  for (const [recorded, generations] of waiting)
    recorded.then(
      () => {
        for (const generation of generations) generation.release();
      },
      (error) => {
        for (const generation of generations) generation.refuse(error);
      },
    );
}

/** What all requests have, and what each kind asks the engine for. */
type Asked = GenerateRequest | EmbedRequest;
type Wanted =
  | Omit<SequenceRequest, 'prompt' | 'adapter' | 'cacheSalt' | 'tenant' | 'priority'>
  | Pick<PoolRequest, 'pool'>;

function closing(): ColophonError {
  return new ColophonError('The engine is closing; try again shortly.', {
    type: 'service_unavailable_error',
    code: 'shutting_down',
    retryAfterSeconds: 1,
  });
}

function rethrow(error: unknown): never {
  throw toColophonError(error);
}
