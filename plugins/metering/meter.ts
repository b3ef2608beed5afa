/** The meter sink: what the gateway says of an answer, in the store's terms. */
import type { AnswerMeter, MeteredAnswer, MeteredChoice, MeterSink } from '../../gateway/contract/index.ts';
import type { AnswerAbout, AskedChoice, EndedAnswer } from './store/protocol.ts';
import type { Store } from './store/store.ts';

/** `ended`: an answer's end is durable. */
export function createMeterSink(store: Store, ended: () => void): MeterSink {
  return { begin: (answer) => new StoreMeter(store, answer, ended) };
}

class StoreMeter implements AnswerMeter {
  readonly #store: Store;
  readonly #number: number;
  readonly #answer: MeteredAnswer;
  readonly #began = Date.now();
  readonly #ended: () => void;
  readonly #choices: EndedAnswer['choices'];
  #begun = false;
  #over = false;
  #failure: { error: unknown } | undefined;

  constructor(store: Store, answer: MeteredAnswer, ended: () => void) {
    this.#store = store;
    this.#number = store.number();
    this.#answer = answer;
    this.#ended = ended;
    this.#choices = answer.choices.map(() => ({ made: 0, handed: 0, finish: 'cut' }));
  }

  record(choice: number, ids: readonly number[], cached: number): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure.error);
    if (!this.#begun)
      this.#store.begin({ number: this.#number, began: this.#began, ...aboutOf(this.#answer) });
    const written = this.#store.tokens(this.#number, choice, cached, ids);
    if (!this.#begun) {
      this.#begun = true;
      written.catch((error) => {
        this.#failure = { error };
      });
    }
    // A choice alone comes to its end where its tokens cannot be recorded: it waits for the group's own promise, at no further cost.
    return this.#choices.length === 1 ? written : this.#noneFailed(written);
  }

  /** What began the answer may have been in a group that failed, and these tokens in a later one. */
  async #noneFailed(written: Promise<void>): Promise<void> {
    try {
      await written;
    } catch (error) {
      this.#failure ??= { error };
    }
    if (this.#failure) throw this.#failure.error;
  }

  handed(choice: number, tokens: number): void {
    this.#choices[choice]!.handed += tokens;
  }

  finish(choice: number, finish: EndedAnswer['choices'][number]['finish']): void {
    this.#choices[choice]!.finish = finish;
  }

  end(made: readonly number[]): void {
    if (this.#over) return;
    this.#over = true;
    if (!this.#begun) return;
    for (const [at, choice] of this.#choices.entries()) choice.made = made[at]!;
    this.#store
      .end({ number: this.#number, ended: Date.now(), choices: this.#choices })
      .then(this.#ended, () => {});
  }
}

function aboutOf({ response, tenant, key, model, base, backend, engine, choices }: MeteredAnswer): {
  about: AnswerAbout;
  prompts: Int32Array[];
  grammars: string[];
} {
  const prompts = [...new Set(choices.map(({ prompt }) => prompt))];
  const grammars = [...new Set(choices.flatMap(({ generate }) => generate?.grammar ?? []))];
  const hashOf = ({ contentHash }: { contentHash?: string }) => contentHash ?? null;
  return {
    prompts: prompts.map((ids) => Int32Array.from(ids)),
    grammars,
    about: {
      response,
      tenant,
      key,
      model: model.id,
      base: { name: base.id, sha256: hashOf(base) },
      adapter: model.parent === null ? null : { name: model.id, sha256: hashOf(model), folder: model.root },
      engine: { backend, version: engine?.version ?? null, precision: engine?.precision ?? null },
      choices: choices.map(({ prompt, generate }) => ({
        prompt: prompts.indexOf(prompt),
        ...(generate?.grammar === undefined ? {} : { grammar: grammars.indexOf(generate.grammar) }),
        ...(generate ? { request: requestOf(generate) } : {}),
      })),
    },
  };
}

function requestOf({
  maxTokens,
  minTokens,
  ignoreEnd,
  stopTokenIds,
  sampling,
}: NonNullable<MeteredChoice['generate']>): AskedChoice {
  return {
    max_tokens: maxTokens,
    min_tokens: minTokens,
    ignore_end: ignoreEnd,
    stop_token_ids: stopTokenIds,
    sampling: {
      temperature: sampling.temperature,
      top_p: sampling.topP,
      top_k: sampling.topK,
      min_p: sampling.minP,
      repetition_penalty: sampling.repetitionPenalty,
      presence_penalty: sampling.presencePenalty,
      frequency_penalty: sampling.frequencyPenalty,
      ...(sampling.logitBias?.length ? { logit_bias: sampling.logitBias } : {}),
      seed: sampling.seed.toString(),
    },
  };
}
