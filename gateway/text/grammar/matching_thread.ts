/** The owner's side of one thread of grammars: what goes on in one turn of the event loop is one message. */
import { Worker } from 'node:worker_threads';
import { ColophonError, type TokenConstraint } from '../../contract/index.ts';
import { threadFile } from '../../contract/thread_file.ts';
import type { Grammar, GrammarVocabulary } from './grammar.ts';
import type { MatchOrder, Order, Report } from './grammar_thread.ts';

/** A constraint of one answer; `close` when that has ended, whatever ended it. */
export interface Constraint extends TokenConstraint {
  close(): void;
}

export type Compiled =
  | { grammar: number; milliseconds: number; bytes: number }
  | { sentence: string; fatal: boolean };

interface Waiting<Value> {
  resolve(value: Value): void;
  reject(error: Error): void;
}

export class MatchingThread {
  readonly #worker: Worker;
  readonly #compiling = new Map<number, Waiting<Compiled>>();
  readonly #matching = new Map<number, Waiting<Uint32Array>>();
  readonly #open = new Set<number>();
  readonly #onIdle: () => void;
  #order: MatchOrder | undefined;
  #next = 1;
  #retired = false;
  #failure: Error | undefined;

  /** `onIdle` is called when the last open constraint is closed. */
  constructor(vocabulary: GrammarVocabulary, onIdle: () => void) {
    this.#onIdle = onIdle;
    this.#worker = new Worker(threadFile(import.meta.url, 'grammar_thread'), {
      workerData: vocabulary,
      execArgv: [],
    });
    this.#worker.unref();
    this.#worker.on('message', (report: Report) => this.#take(report));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('The thread of grammars has ended.')));
  }

  get dead(): boolean {
    return this.#failure !== undefined;
  }

  /** Answers that are constrained here. */
  get open(): number {
    return this.#open.size;
  }

  compile(source: Grammar): Promise<Compiled> {
    const grammar = this.#next++;
    return this.#ask(this.#compiling, grammar, () => this.#send({ kind: 'compile', grammar, source }));
  }

  /** Constraints that are open go on. */
  drop(grammar: number): void {
    this.#pending().drop.push(grammar);
  }

  /** One more answer follows the grammar, from this call on whatever is dropped. */
  async constrain(grammar: number): Promise<Constraint> {
    const number = this.#next++;
    this.#open.add(number);
    const close = () => {
      if (!this.#open.delete(number)) return;
      this.#pending().close.push(number);
      if (this.#open.size > 0) return;
      if (this.#retired) void this.end();
      this.#onIdle();
    };
    try {
      const first = await this.#ask(this.#matching, number, () =>
        this.#pending().open.push([number, grammar]),
      );
      const next = (id: number) =>
        this.#ask(this.#matching, number, () => this.#pending().accept.push([number, id]));
      return { first, next, close };
    } catch (error) {
      close();
      throw error;
    }
  }

  /** Ends as soon as no constraint is open. */
  retire(): void {
    this.#retired = true;
    if (this.#open.size === 0) void this.end();
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #ask<Value>(waiting: Map<number, Waiting<Value>>, number: number, ask: () => void): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      waiting.set(number, { resolve, reject });
      ask();
    });
  }

  /** What is sent when this turn ends. */
  #pending(): MatchOrder {
    if (this.#order) return this.#order;
    const order: MatchOrder = { kind: 'match', close: [], open: [], accept: [], drop: [] };
    this.#order = order;
    queueMicrotask(() => {
      this.#order = undefined;
      if (!this.dead) this.#send(order);
    });
    return order;
  }

  #send(order: Order): void {
    this.#worker.postMessage(order);
  }

  #take(report: Report): void {
    if (report.kind !== 'masks') {
      const waiting = this.#compiling.get(report.grammar);
      this.#compiling.delete(report.grammar);
      waiting?.resolve(report);
      return;
    }
    const words = report.masks.length / report.matchers.length;
    report.matchers.forEach((number, index) => {
      this.#answered(number)?.resolve(report.masks.subarray(index * words, (index + 1) * words));
    });
    for (const number of report.failed) {
      this.#answered(number)?.reject(broken('A token came that the grammar of the answer does not allow.'));
    }
  }

  #answered(number: number): Waiting<Uint32Array> | undefined {
    const waiting = this.#matching.get(number);
    this.#matching.delete(number);
    return waiting;
  }

  #fail(cause: Error): void {
    this.#failure ??= broken(`What keeps answers to their grammars has failed: ${cause.message}`, cause);
    for (const waiting of [...this.#compiling.values(), ...this.#matching.values()])
      waiting.reject(this.#failure);
    this.#compiling.clear();
    this.#matching.clear();
  }
}

function broken(sentence: string, cause?: Error): ColophonError {
  return new ColophonError(sentence, { type: 'server_error', code: 'grammar_failed', cause });
}
