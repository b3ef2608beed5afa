/** The record of one answer with whoever keeps records: its tokens are in it before they leave, and it knows how many left. */
import type { Caller } from '../access/callers.ts';
import type { AnswerMeter, MeteredAnswer, MeteredFinish, MeterSink } from '../contract/index.ts';
import { keyOf } from '../text/grammar/grammar.ts';
import type { Served } from './catalogue.ts';
import { Cancelled, type ChoiceRequest } from './choice.ts';
import type { Services } from './services.ts';

export class Metered {
  readonly #sink: MeterSink;
  readonly #answer: MeteredAnswer;
  /** Of each choice, tokens that were given to what writes them and did not leave yet. */
  readonly #given: number[];
  /** Of each choice, tokens that are its own, whether they left or not. */
  readonly #made: number[];
  #meter: AnswerMeter | undefined;

  constructor(sink: MeterSink, answer: MeteredAnswer) {
    this.#sink = sink;
    this.#answer = answer;
    this.#given = answer.choices.map(() => 0);
    this.#made = answer.choices.map(() => 0);
  }

  /** Of the response. */
  get id(): string {
    return this.#answer.response;
  }

  /** Before anything is made. Throws ColophonError where nothing can be recorded. */
  begin(): void {
    this.#meter ??= this.#sink.begin(this.#answer);
  }

  /** Resolves when the tokens may leave. After the end none may. */
  record(choice: number, ids: readonly number[], cached: number): Promise<void> {
    return this.#meter?.record(choice, ids, cached) ?? Promise.reject(new Cancelled());
  }

  /** A choice takes tokens as its own. */
  make(choice: number, tokens: number): void {
    this.#made[choice]! += tokens;
  }

  /** Recorded tokens go to what writes them. */
  give(choice: number, tokens: number): void {
    this.#given[choice]! += tokens;
  }

  finish(choice: number, finish: MeteredFinish): void {
    this.#meter?.finish(choice, finish);
  }

  /** What is written now takes the given tokens along; to be called once it has left. */
  take(): (() => void) | undefined {
    if (this.#given.every((tokens) => tokens === 0)) return undefined;
    const taken = [...this.#given];
    this.#given.fill(0);
    return () => {
      for (const [choice, tokens] of taken.entries()) if (tokens > 0) this.#meter!.handed(choice, tokens);
    };
  }

  /** Nothing more leaves; what was given and not taken never did. */
  end(): void {
    this.#meter?.end(this.#made);
    this.#meter = undefined;
  }
}

/** Has the choices of an answer recorded; undefined where nobody keeps records. */
export function meterChoices(
  services: Services,
  response: string,
  caller: Caller,
  served: Served,
  choices: readonly ChoiceRequest[],
): Metered | undefined {
  const answer = metered(
    services,
    response,
    caller,
    served,
    choices.map(({ generate, promptOnly, structure }) => {
      const { prompt, maxTokens, minTokens, ignoreEnd, stopTokenIds, sampling } = generate;
      return promptOnly
        ? { prompt }
        : {
            prompt,
            generate: {
              maxTokens,
              minTokens,
              ignoreEnd,
              stopTokenIds,
              sampling,
              ...(structure ? { grammar: keyOf(structure.grammar) } : {}),
            },
          };
    }),
  );
  if (answer) for (const [at, choice] of choices.entries()) choice.metered = { answer, at };
  return answer;
}

/** The same of prompts that are only read. */
export function meterPrompts(
  services: Services,
  response: string,
  caller: Caller,
  served: Served,
  prompts: ReadonlyArray<readonly number[]>,
): Metered | undefined {
  return metered(
    services,
    response,
    caller,
    served,
    prompts.map((prompt) => ({ prompt })),
  );
}

function metered(
  { host }: Services,
  response: string,
  { tenant, key }: Caller,
  { card, base, backend }: Served,
  choices: MeteredAnswer['choices'],
): Metered | undefined {
  const [sink] = host.all('meterSink');
  return (
    sink &&
    new Metered(sink, {
      response,
      tenant,
      key,
      model: card,
      base,
      backend: backend.name,
      ...(backend.engine ? { engine: backend.engine } : {}),
      choices,
    })
  );
}
