/** A backend that costs next to nothing: what is measured over it is the gateway. */
import { Type } from 'typebox';
import {
  type Backend,
  ColophonError,
  definePlugin,
  type GeneratePart,
  type GenerateRequest,
  type ModelCard,
  type Plugin,
} from '../../gateway/contract/index.ts';
import { mockText, mockTokens } from '../../gateway/host/testing/mock_text.ts';

/** A token a step to every stream, as an engine gives them. */
export const streamed = 'streamed';
/** All tokens at once. */
export const whole = 'whole';
/** Never a token: only its client's leaving ends it. */
export const held = 'held';

const names = [streamed, whole, held];
const letters = mockTokens('the quick brown fox jumps over the lazy dog ');
/** Parts are prepared: nothing is made for a token. */
const prepared = letters.map((id): GeneratePart[] => [{ type: 'token', id }]);

/** `aborted` is told when a generation learned that its client has left. */
export function freePlugin(aborted: () => void): Plugin {
  return definePlugin({
    name: 'free',
    contract: 1,
    config: Type.Object({}),
    provides: ['backend'],
    setup(host) {
      host.provide('backend', freeBackend(aborted));
      return {};
    },
  });
}

function freeBackend(aborted: () => void): Backend {
  const cards = new Map(
    names.map((id): [string, ModelCard] => [
      id,
      {
        id,
        created: 1_700_000_000,
        ownedBy: 'colophon',
        root: 'free',
        parent: null,
        maxModelLength: 2 ** 20,
      },
    ]),
  );
  const steps = new Steps();
  return {
    name: 'free',
    models: () => [...cards.values()],
    model: async (id) => cards.get(id),
    text: async () => mockText,
    generate(request, signal) {
      if (!cards.has(request.model)) throw new ColophonError('There is no such model.', { param: 'model' });
      // A client can have left while its request was read.
      if (signal.aborted) aborted();
      else if (request.model !== whole) signal.addEventListener('abort', aborted, { once: true });
      return new Generation(request, signal, steps);
    },
    health: () => ({ ready: true }),
    close: async () => {},
  };
}

const wholes = new Map<number, GeneratePart[]>();

function wholeParts(count: number): GeneratePart[] {
  const parts =
    wholes.get(count) ?? Array.from({ length: count }, (_, at) => prepared[at % prepared.length]![0]!);
  wholes.set(count, parts);
  return parts;
}

type Step = IteratorResult<GeneratePart[], undefined>;

class Generation implements AsyncIterableIterator<GeneratePart[], undefined> {
  readonly #request: GenerateRequest;
  readonly #signal: AbortSignal;
  readonly #steps: Steps;
  #made = 0;
  #give: ((step: Step) => void) | undefined;

  constructor(request: GenerateRequest, signal: AbortSignal, steps: Steps) {
    this.#request = request;
    this.#signal = signal;
    this.#steps = steps;
    if (request.model === whole) return;
    signal.addEventListener('abort', () => this.#give?.({ done: true, value: undefined }), { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Step> {
    const { maxTokens, model } = this.#request;
    if (this.#signal.aborted || this.#made === maxTokens)
      return Promise.resolve({ done: true, value: undefined });
    if (model === whole) {
      this.#made = maxTokens;
      return Promise.resolve({ done: false, value: [...wholeParts(maxTokens), this.#finish()] });
    }
    return new Promise((give) => {
      this.#give = give;
      if (model === streamed) this.#steps.wait(this);
    });
  }

  return(): Promise<Step> {
    this.#made = this.#request.maxTokens;
    return Promise.resolve({ done: true, value: undefined });
  }

  step(): void {
    const parts = prepared[this.#made++ % prepared.length]!;
    const last = this.#made === this.#request.maxTokens;
    this.#give!({ done: false, value: last ? [...parts, this.#finish()] : parts });
  }

  #finish(): GeneratePart {
    const promptTokens = this.#request.prompt.length;
    return {
      type: 'finish',
      reason: 'length',
      usage: { promptTokens, cachedTokens: 0, completionTokens: this.#made },
    };
  }
}

/** Lets all that wait go together, once a turn of the event loop. */
class Steps {
  #waiting: Generation[] = [];

  wait(generation: Generation): void {
    if (this.#waiting.push(generation) > 1) return;
    setImmediate(() => {
      const all = this.#waiting;
      this.#waiting = [];
      for (const one of all) one.step();
    });
  }
}
