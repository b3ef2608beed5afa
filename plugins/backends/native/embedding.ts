/** One pooled sequence's way up: the state of its prompt, or why there is none. */
import type { Embedding, EmbedRequest } from '../../../gateway/contract/index.ts';
import { FinishReason, type StepResult } from '../../../native/binding/index.ts';
import { toColophonError } from './errors.ts';
import { failureOf, type SequenceControl } from './generation.ts';

/** What `embed` waits for. An aborted one rejects with the signal's reason, at once. */
export class Pooling {
  readonly result: Promise<Embedding>;
  readonly #request: EmbedRequest;
  readonly #signal: AbortSignal;
  #sequence: Pick<SequenceControl, 'cancel'> | undefined;
  #settle!: { resolve(embedding: Embedding): void; reject(error: unknown): void };
  #ended = false;

  constructor(request: EmbedRequest, signal: AbortSignal) {
    this.#request = request;
    this.#signal = signal;
    this.result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    if (signal.aborted) this.#abort();
    else signal.addEventListener('abort', this.#abort, { once: true });
  }

  /** The sequence exists now. */
  attach(sequence: SequenceControl): void {
    this.#sequence = sequence;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Takes entry `i` of a step; true where it was the sequence's last. */
  take(step: StepResult, i: number): boolean {
    const finish = step.finish[i]!;
    if (finish === FinishReason.none) return false;
    if (this.#ended) return true;
    const values = step.pooled?.find((state) => state.sequence === step.sequence[i])?.values;
    if (finish !== FinishReason.pooled || !values) this.fail(failureOf(step, i));
    else {
      this.#end();
      const usage = { promptTokens: this.#request.prompt.length, cachedTokens: step.cachedTokens[i]! };
      this.#settle.resolve({ values, usage });
    }
    return true;
  }

  fail(error: unknown): void {
    if (this.#ended) return;
    this.#end();
    this.#settle.reject(toColophonError(error));
  }

  #abort = (): void => {
    if (this.#ended) return;
    this.#end();
    this.#sequence?.cancel();
    this.#settle.reject(this.#signal.reason);
  };

  #end(): void {
    this.#ended = true;
    this.#signal.removeEventListener('abort', this.#abort);
  }
}
