/** A NativeEngine without a model: steps are taken by hand, so that tests decide what arrives when. */
import type { TokenMatch } from '../../../../gateway/contract/index.ts';
import {
  type AdapterSpec,
  type AdapterState,
  type EngineInfo,
  type EngineStats,
  FinishReason,
  type NativeEngine,
  type PoolRequest,
  type SequenceRequest,
  type StepResult,
} from '../../../../native/binding/index.ts';
import { smol } from './shapes.ts';

/** One entry of a step; what is absent is as the engine gives it where nothing was asked for. */
export interface Entry {
  sequence: number;
  token?: number;
  position?: number;
  finish?: number;
  cachedTokens?: number;
  queueSeconds?: number;
  logprob?: { value: number; rank: number; top: Array<[number, number]> };
  match?: TokenMatch;
  state?: number[];
}

interface FakeAdapter {
  spec: AdapterSpec;
  state: AdapterState;
  removed: boolean;
}

export class FakeEngine implements NativeEngine {
  readonly submitted = new Map<number, SequenceRequest & Partial<PoolRequest>>();
  readonly cancelled: number[] = [];
  readonly masks: Array<{ sequence: number; position: number; mask: Uint32Array }> = [];
  readonly adapters = new Map<number, FakeAdapter>();
  /** What the next registration or load fails with. */
  failure: Error | undefined;
  closed = false;
  #listener: (result: StepResult) => void = () => {};
  #next = 1;

  info(): EngineInfo {
    return {
      isa: 'reference',
      precision: 'int8',
      threads: 1,
      baseHash: 'b'.repeat(64),
      hyperparameters: smol,
      maxContext: 64,
      weightBytes: 0,
      kvBytes: 0,
      kvPages: 8,
      pageTokens: 16,
      adapterBytes: 0,
    };
  }

  stats(): EngineStats {
    const zero = { waiting: 0, waitingForAdapter: 0, pagesTotal: 8, pagesUsed: 2, pagesCached: 0, steps: 5 };
    const counts = {
      promptTokens: 0,
      cachedTokens: 0,
      generatedTokens: 0,
      preemptions: 0,
      draftedTokens: 0,
      acceptedTokens: 0,
      adapterBytesUsed: 0,
      adapterBytesPinned: 0,
      adapterPackedLoads: 0,
      adapterPackedSaves: 0,
      adapterPackedDamaged: 0,
      adapterPackedUnsaved: 0,
    };
    const adapters = {
      adaptersRegistered: this.live().length,
      adaptersResident: 0,
      adapterLoads: this.#sum('loads'),
      adapterLoadSeconds: this.#sum('loadSeconds'),
      adapterEvictions: this.#sum('evictions'),
    };
    return { ...zero, ...counts, ...adapters, running: this.submitted.size, stepSeconds: 0 };
  }

  async registerAdapter(spec: AdapterSpec): Promise<number> {
    this.#throwFailure();
    const handle = this.#next++;
    const state: AdapterState = {
      residency: 'disk',
      bytes: 1,
      uses: 0,
      loads: 0,
      evictions: 0,
      loadSeconds: 0,
      pinned: false,
    };
    this.adapters.set(handle, { spec, state, removed: false });
    return handle;
  }

  unregisterAdapter(handle: number): void {
    this.adapters.get(handle)!.removed = true;
  }

  async loadAdapter(handle: number): Promise<void> {
    this.#throwFailure();
    this.adapters.get(handle)!.state.residency = 'ram';
  }

  pinAdapter(handle: number): void {
    this.#throwFailure();
    this.adapters.get(handle)!.state.pinned = true;
  }

  unpinAdapter(handle: number): void {
    this.adapters.get(handle)!.state.pinned = false;
  }

  adapterState(handle: number): AdapterState {
    const known = this.adapters.get(handle);
    if (!known || known.removed) throw Object.assign(new Error('Unknown adapter.'), { code: 'not_found' });
    return known.state;
  }

  #sum(figure: 'loads' | 'loadSeconds' | 'evictions'): number {
    return [...this.adapters.values()].reduce((sum, { state }) => sum + state[figure], 0);
  }

  /** Handles that take sequences. */
  live(): number[] {
    return [...this.adapters].filter(([, { removed }]) => !removed).map(([handle]) => handle);
  }

  submit(request: SequenceRequest | PoolRequest): number {
    if (request.adapter !== undefined && this.adapters.get(request.adapter)?.removed !== false) {
      throw Object.assign(new Error('There is no such adapter.'), { code: 'not_found' });
    }
    const sequence = this.#next++;
    this.submitted.set(sequence, request as SequenceRequest);
    return sequence;
  }

  cancel(sequence: number): void {
    this.cancelled.push(sequence);
  }

  setMask(sequence: number, position: number, mask: Uint32Array): void {
    this.masks.push({ sequence, position, mask });
  }

  onStep(listener: (result: StepResult) => void): void {
    this.#listener = listener;
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  /** Delivers one step. */
  step(
    entries: Entry[],
    errors?: StepResult['errors'],
    warnings?: string[],
    pooled?: StepResult['pooled'],
  ): void {
    const tops = entries.map((entry) => entry.logprob?.top ?? []);
    const column = (of: keyof TokenMatch) => Uint32Array.from(entries, ({ match }) => match?.[of] ?? 0);
    const states = entries.flatMap(({ state }) => (state ? [state] : []));
    let row = 0;
    const topOffset = [0];
    for (const top of tops) topOffset.push(topOffset.at(-1)! + top.length);
    this.#listener({
      sequence: Uint32Array.from(entries, (entry) => entry.sequence),
      token: Int32Array.from(entries, (entry) => entry.token ?? -1),
      position: Int32Array.from(entries, (entry) => entry.position ?? 1000),
      finish: Uint8Array.from(entries, (entry) => entry.finish ?? FinishReason.none),
      logprob: Float32Array.from(entries, (entry) => entry.logprob?.value ?? Number.NaN),
      rank: Int32Array.from(entries, (entry) => entry.logprob?.rank ?? 0),
      cachedTokens: Int32Array.from(entries, (entry) => entry.cachedTokens ?? 0),
      queueSeconds: Float32Array.from(entries, (entry) => entry.queueSeconds ?? 0),
      topOffset: Uint32Array.from(topOffset),
      topToken: Int32Array.from(tops.flat(), ([id]) => id),
      topLogprob: Float32Array.from(tops.flat(), ([, logprob]) => logprob),
      ...(entries.some(({ match }) => match)
        ? { match: { length: column('length'), row: column('row'), count: column('count') } }
        : {}),
      ...(states[0]
        ? {
            states: {
              row: Int32Array.from(entries, ({ state }) => (state ? row++ : -1)),
              width: states[0].length,
              values: Float32Array.from(states.flat()),
            },
          }
        : {}),
      errors,
      warnings,
      pooled,
    });
  }

  #throwFailure(): void {
    const failure = this.failure;
    this.failure = undefined;
    if (failure) throw failure;
  }
}
