/** The record of one answer with whoever keeps records: its tokens are in it before they leave, and it knows how many left. */
import type { Caller } from '../access/callers.ts';
import type { AnswerMeter, MeteredAnswer, MeteredFinish, MeterSink } from '../contract/index.ts';
import { keyOf } from '../text/grammar/grammar.ts';
import type { Served } from './catalogue.ts';
import type { ChoiceRequest } from './choice.ts';
import type { Services } from './services.ts';

/** Tokens that leave with what is written. */
export interface Taken {
  /** They must not leave before it resolves; where it rejects they never do. Absent: they may. */
  recorded: Promise<void> | undefined;
  /** To be called once they have left. */
  handed(): void;
}

const zero = () => 0;
const isSome = (tokens: number) => tokens > 0;

export class Metered {
  /** What writes the tokens waits for their record itself: they are given to it at once, which wakes nobody twice for a token. */
  deferred = false;
  #unwritten: Promise<void> | undefined;
  readonly #sink: MeterSink;
  readonly #answer: MeteredAnswer;
  /** Of each choice, tokens that were given to what writes them and did not leave yet. */
  #given: number[];
  #meter: AnswerMeter | undefined;

  constructor(sink: MeterSink, answer: MeteredAnswer) {
    this.#sink = sink;
    this.#answer = answer;
    this.#given = answer.choices.map(zero);
  }

  /** Of the response. */
  get id(): string {
    return this.#answer.response;
  }

  /** Before anything is made. Throws ColophonError where nothing can be recorded. */
  begin(): void {
    this.#meter ??= this.#sink.begin(this.#answer);
  }

  /** Resolves when the tokens may leave; undefined where what writes them waits for that. `last`: none of the choice follow. */
  record(choice: number, ids: readonly number[], cached: number, last: boolean): Promise<void> | undefined {
    this.begin();
    const recorded = this.#meter!.record(choice, ids, cached);
    if (!this.deferred || last) return recorded;
    this.#unwritten = recorded;
    return undefined;
  }

  /** The record that what writes tokens waits for; undefined once they have left. */
  get unwritten(): Promise<void> | undefined {
    return this.#unwritten;
  }

  /** Tokens go to what writes them. */
  give(choice: number, tokens: number): void {
    this.#given[choice]! += tokens;
  }

  finish(choice: number, finish: MeteredFinish): void {
    this.#meter?.finish(choice, finish);
  }

  /** What is written now takes the given tokens along. */
  take(): Taken | undefined {
    if (!this.#given.some(isSome)) return undefined;
    const taken = this.#given;
    this.#given = taken.map(zero);
    const recorded = this.#unwritten;
    return {
      recorded,
      handed: () => {
        if (this.#unwritten === recorded) this.#unwritten = undefined;
        for (let choice = 0; choice < taken.length; choice++)
          if (taken[choice]! > 0) this.#meter!.handed(choice, taken[choice]!);
      },
    };
  }

  /** Nothing more leaves; what was given and not taken never did. */
  end(): void {
    this.#meter?.end();
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
