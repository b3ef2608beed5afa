/** One sequence's way up: the engine's columns become batches of parts, one wake-up a step. */
import {
  ColophonError,
  type GeneratePart,
  type GenerateRequest,
  type TokenLogprob,
  type TokenMatch,
} from '../../../gateway/contract/index.ts';
import { FinishReason, type StepResult, type TraceMatches } from '../../../native/binding/index.ts';
import { errorOf, toColophonError } from './errors.ts';

/** The engine's side of a generation. */
export interface SequenceControl {
  cancel(): void;
  setMask(position: number, mask: Uint32Array): void;
}

/**
 * What `generate` returns: an iterator over one generation. Parts that the reader has not taken yet wait here, at most
 * one context's worth, so a slow reader holds up nobody.
 */
export class Generation implements AsyncIterableIterator<GeneratePart[]> {
  readonly #request: GenerateRequest;
  readonly #signal: AbortSignal;
  #sequence: SequenceControl | undefined;
  /** Parts that the reader may have. */
  #ready: GeneratePart[] = [];
  /** What came since the last step that was told apart. */
  #pending: GeneratePart[] = [];
  /** What waits for its record, by step; and the last of these records. */
  #held: GeneratePart[][] = [];
  #recorded: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #ended = false;
  #failure: ColophonError | undefined;
  #promptLogprobs: Array<TokenLogprob | null> | undefined;
  #cachedTokens = 0;
  #completionTokens = 0;

  constructor(request: GenerateRequest, signal: AbortSignal) {
    this.#request = request;
    this.#signal = signal;
    if (request.promptLogprobs !== undefined) this.#promptLogprobs = [null];
    if (signal.aborted) this.#abort();
    else signal.addEventListener('abort', this.#abort, { once: true });
  }

  /** The sequence exists now. */
  attach(sequence: SequenceControl): void {
    this.#sequence = sequence;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** No more parts will come, or are wanted. */
  get ended(): boolean {
    return this.#ended;
  }

  async next(): Promise<IteratorResult<GeneratePart[]>> {
    while (true) {
      if (this.#ready.length > 0) {
        const value = this.#ready;
        this.#ready = [];
        return { done: false, value };
      }
      if (this.#failure && this.#held.length === 0) {
        const failure = this.#failure;
        this.#failure = undefined;
        throw failure;
      }
      if (this.#ended && this.#held.length === 0) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        const before = this.#wake;
        this.#wake = () => {
          before?.();
          resolve();
        };
      });
    }
  }

  async return(): Promise<IteratorResult<GeneratePart[]>> {
    this.#abort();
    return { done: true, value: undefined };
  }

  /** Takes entry `i` of a step; true where it was the sequence's last. The caller then records, once per step. */
  take(step: StepResult, i: number): boolean {
    const finish = step.finish[i]!;
    if (!this.#ended) {
      const id = step.token[i]!;
      if (id >= 0) this.#takeToken(step, i, id);
      if (finish !== FinishReason.none) this.#takeFinish(step, i, finish, id);
      else if (id >= 0) this.#constrain(step.position[i]!, id);
    }
    return finish !== FinishReason.none;
  }

  /**
   * Has what `take` brought recorded; undefined where nothing has to be: the caller wakes. Else it calls `release` once that is durable,
   * or `refuse`.
   */
  record(): Promise<void> | undefined {
    const parts = this.#pending;
    this.#pending = [];
    const ids: number[] = [];
    for (const part of parts) if (part.type === 'token') ids.push(part.id);
    if (ids.length > 0 && this.#request.record)
      this.#recorded = this.#request.record(ids, this.#cachedTokens);
    if (this.#recorded) this.#held.push(parts);
    else this.#ready.push(...parts);
    return this.#recorded;
  }

  /** The oldest that was held is recorded. */
  release(): void {
    const parts = this.#held.shift();
    if (!parts) return;
    if (this.#held.length === 0) this.#recorded = undefined;
    this.#ready.push(...parts);
    this.wake();
  }

  /** What is held cannot be recorded, and will not be given. */
  refuse(error: unknown): void {
    if (this.#held.length === 0) return;
    this.#held = [];
    this.#failure = toColophonError(error);
    if (!this.#ended) {
      this.#end();
      this.#sequence?.cancel();
    }
    this.wake();
  }

  /** Lets the reader see what there is. */
  wake(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  fail(error: unknown): void {
    if (this.#ended) return;
    this.#failure = toColophonError(error);
    this.#end();
    this.wake();
  }

  #takeToken(step: StepResult, i: number, id: number): void {
    const asked = step.rank[i]! > 0;
    const position = step.position[i]!;
    if (position < this.#request.prompt.length) {
      if (this.#promptLogprobs) this.#promptLogprobs[position] = asked ? logprobOf(step, i) : null;
      return;
    }
    this.#flushPrompt();
    const part: GeneratePart = { type: 'token', id };
    if (asked) part.logprob = logprobOf(step, i);
    if (step.match && step.match.length[i]! > 0) part.match = matchOf(step.match, i);
    if (step.states && step.states.row[i]! >= 0) part.state = stateOf(step.states, i);
    if (this.#completionTokens === 0) {
      this.#cachedTokens = step.cachedTokens[i]!;
      part.cachedTokens = this.#cachedTokens;
    }
    this.#completionTokens++;
    this.#pending.push(part);
  }

  /** Asks what may follow a token and tells the engine, which goes on without this sequence until then. */
  #constrain(position: number, id: number): void {
    const { constraint, prompt } = this.#request;
    if (!constraint || position < prompt.length) return;
    constraint
      .next(id)
      .then((mask) => {
        if (!this.#ended) this.#sequence?.setMask(position + 1, mask);
      })
      .catch((error) => {
        if (this.#ended) return;
        this.fail(error);
        this.#sequence?.cancel();
      });
  }

  #takeFinish(step: StepResult, i: number, finish: number, id: number): void {
    if (finish === FinishReason.stop || finish === FinishReason.length) {
      this.#flushPrompt();
      const usage = {
        promptTokens: this.#request.prompt.length,
        cachedTokens: this.#cachedTokens,
        completionTokens: this.#completionTokens,
      };
      this.#pending.push({
        type: 'finish',
        ...(finish === FinishReason.stop ? { reason: 'stop', stopTokenId: id } : { reason: 'length' }),
        usage,
      });
      this.#end();
      return;
    }
    this.#failure = failureOf(step, i);
    this.#end();
  }

  /** The prompt's log-probabilities go out in one part, when the last of them is there. */
  #flushPrompt(): void {
    if (!this.#promptLogprobs) return;
    const tokens = Array.from(
      { length: this.#request.prompt.length },
      (_, i) => this.#promptLogprobs?.[i] ?? null,
    );
    this.#pending.push({ type: 'prompt-logprobs', tokens });
    this.#promptLogprobs = undefined;
  }

  #abort = (): void => {
    this.#ready = [];
    this.#pending = [];
    this.#held = [];
    if (this.#ended) return;
    this.#end();
    this.#sequence?.cancel();
    this.wake();
  };

  #end(): void {
    this.#ended = true;
    this.#signal.removeEventListener('abort', this.#abort);
  }
}

/** Why a sequence ended without a result; nobody but a closing engine cancels one whose reader is there. */
export function failureOf(step: StepResult, i: number): ColophonError {
  if (step.finish[i] !== FinishReason.error) {
    return new ColophonError('The engine is closing; the generation was ended.', {
      type: 'service_unavailable_error',
      code: 'shutting_down',
      retryAfterSeconds: 1,
    });
  }
  const error = step.errors?.find((entry) => entry.sequence === step.sequence[i]);
  return errorOf(error?.code ?? 'internal', error?.message ?? 'The engine failed on this sequence.');
}

function matchOf({ length, row, count }: TraceMatches, i: number): TokenMatch {
  return { length: length[i]!, row: row[i]!, count: count[i]! };
}

function stateOf({ row, width, values }: NonNullable<StepResult['states']>, i: number): Float32Array {
  return values.subarray(row[i]! * width, (row[i]! + 1) * width);
}

function logprobOf(step: StepResult, i: number): TokenLogprob {
  const top: TokenLogprob['top'] = [];
  for (let k = step.topOffset[i]!; k < step.topOffset[i + 1]!; k++) {
    top.push({ id: step.topToken[k]!, logprob: step.topLogprob[k]! });
  }
  return { logprob: step.logprob[i]!, rank: step.rank[i]!, top };
}
