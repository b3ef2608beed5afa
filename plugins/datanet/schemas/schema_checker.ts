/**
 * A Datanet's schema over the examples of a contribution, in a thread: an expression or a reference in it can keep a processor for as
 * long as one likes, and the server's own thread may not wait.
 */
import { Piscina } from 'piscina';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { threadFile } from '../../../gateway/contract/thread_file.ts';
import type { Content } from '../model.ts';
import { compileSchema, type DatanetSchema, type Fault } from './json_schema.ts';

/** Examples that a thread is given at once. */
const batch = 100;
/** Milliseconds for them: some thousand times what they take with a schema that anyone means. */
const patience = 60_000;

export class SchemaChecker {
  readonly #thread: Piscina<Content[], Array<Fault | null>>;
  readonly #patience: number;

  /** Throws as compileSchema does. */
  constructor(schema: DatanetSchema, milliseconds = patience) {
    compileSchema(schema);
    this.#patience = milliseconds;
    this.#thread = new Piscina({
      filename: threadFile(import.meta.url, 'schema_thread'),
      workerData: schema,
      minThreads: 1,
      maxThreads: 1,
      resourceLimits: { maxOldGenerationSizeMb: 512 },
    });
  }

  /** Of each example why it does not meet the schema. Rejects with ColophonError where it takes too long, and once `signal` is aborted. */
  async check(contents: Content[], signal: AbortSignal): Promise<Array<Fault | null>> {
    const faults: Array<Fault | null> = [];
    for (let at = 0; at < contents.length; at += batch) {
      const late = AbortSignal.timeout(this.#patience);
      const some = contents.slice(at, at + batch);
      try {
        faults.push(...(await this.#thread.run(some, { signal: AbortSignal.any([signal, late]) })));
      } catch (error) {
        signal.throwIfAborted();
        throw late.aborted ? tooSlow(this.#patience) : error;
      }
    }
    return faults;
  }

  /** Whatever it is at. */
  async end(): Promise<void> {
    await this.#thread.destroy();
  }
}

function tooSlow(milliseconds: number): ColophonError {
  return new ColophonError(
    `The Datanet's schema takes more than ${milliseconds / 1000} s for ${batch} rows of the file. Ask its owner for a simpler one.`,
    { param: 'schema', code: 'invalid_value' },
  );
}
