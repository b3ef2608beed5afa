/** What is recorded of answers before they leave, so that usage is never less than what anyone received. */
import type { GenerateRequest, ModelCard } from './backend.ts';

/** An answer before any of it was made. */
export interface MeteredAnswer {
  /** Id of the response; no other answer ever has it. */
  response: string;
  tenant: string;
  /** Which of the tenant's keys asked, by a name that is no secret. */
  key: string;
  model: ModelCard;
  /** The model itself, or what it is an adapter on. */
  base: ModelCard;
  /** What generates it: `Backend.name` and what the backend says of its engine. */
  backend: string;
  engine?: EngineIdentity;
  /** One for each choice, or for each input that is embedded; choices of one prompt have the same array. */
  choices: readonly MeteredChoice[];
}

export interface MeteredChoice {
  prompt: readonly number[];
  /** Of a generation; absent: the prompt is embedded, or only looked at. */
  generate?: Pick<GenerateRequest, 'maxTokens' | 'minTokens' | 'ignoreEnd' | 'stopTokenIds' | 'sampling'> & {
    /** The grammar that keeps it: JSON, as whoever constrains answers can read it again. */
    grammar?: string;
  };
}

/** What numbers an engine makes: two that say the same of themselves make the same tokens of the same request. */
export interface EngineIdentity {
  version: string;
  /** "int8" or "float32" */
  precision: string;
}

/** How a choice ended; `cut`: by whoever asked, by the server's end or by a failure. */
export type MeteredFinish = 'stop' | 'length' | 'cut';

/** Keeps the record of one answer. */
export interface AnswerMeter {
  /**
   * Resolves once the record of a choice's next tokens is durable: they must not leave before. Rejects with a ColophonError
   * where they cannot be recorded; they must then not leave at all. `cached`: prompt tokens that came from the prefix cache.
   * Of what makes no tokens, once without any: its prompt is recorded.
   */
  record(choice: number, ids: readonly number[], cached: number): Promise<void>;
  /** So many more tokens of a choice, of those that are recorded, went to the client's socket or where it fetches them. */
  handed(choice: number, tokens: number): void;
  /** No more tokens of a choice come. */
  finish(choice: number, finish: MeteredFinish): void;
  /**
   * Once: nothing more is handed over. `made`: of each choice's recorded tokens, how many are its own; what a step gave after them, beyond a
   * stop string, was thrown away. Choices that did not finish were cut.
   */
  end(made: readonly number[]): void;
}

/** What is registered under the extension point `meterSink`. */
export interface MeterSink {
  /** Before an answer begins. Throws ColophonError where nothing can be recorded now. */
  begin(answer: MeteredAnswer): AnswerMeter;
}
