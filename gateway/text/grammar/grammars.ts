/**
 * Constraints from grammars, without holding up anyone else. A grammar is compiled in a thread of its own first, where it may
 * take long, be wrong or break. A quick one is compiled again in the thread that all quick ones share, and its answers are
 * matched there; the answers of a slow one stay where it was compiled, so that they wait for nobody and nobody for them.
 */
import { LRUCache } from 'lru-cache';
import { ColophonError } from '../../contract/index.ts';
import { type Grammar, type GrammarVocabulary, keyOf } from './grammar.ts';
import { type Compiled, type Constraint, MatchingThread } from './matching_thread.ts';

export type { Constraint };

export interface GrammarLimits {
  /** Longer than this a grammar is not compiled, milliseconds. */
  compileMs: number;
  /** Up to this it may hold up other constrained answers once. */
  quickMs: number;
  /** Threads for grammars that are new or slow. */
  threads: number;
  /** Grammars that may wait for such a thread. */
  waiting: number;
  /** Characters of a grammar. */
  characters: number;
  /** Quick grammars that are kept compiled, and bytes of their thread's memory above which they are given up. */
  kept: number;
  bytes: number;
}

const usual: GrammarLimits = {
  compileMs: 30_000,
  quickMs: 100,
  threads: 2,
  waiting: 64,
  characters: 128 * 1024,
  kept: 128,
  bytes: 256 * 2 ** 20,
};

/** A compiled grammar, where it is. */
interface Home {
  thread: MatchingThread;
  grammar: number;
}

export class Grammars {
  readonly #vocabulary: () => GrammarVocabulary;
  readonly #limits: GrammarLimits;
  /** Quick ones, in the shared thread. */
  readonly #quick: LRUCache<string, Home>;
  /** Slow ones, each alone in its thread, the longest unused first. */
  readonly #slow = new Map<string, Home>();
  /** On their way to either: the same grammar asked for a hundred times is compiled once. */
  readonly #arriving = new Map<string, Promise<void>>();
  #shared: MatchingThread | undefined;
  #sharedBytes = 0;
  /** A thread that has nothing to do. */
  #spare: MatchingThread | undefined;
  /** Threads at work on a new grammar. */
  readonly #busy = new Set<MatchingThread>();
  readonly #queue: Array<() => void> = [];
  readonly #threads = new Set<MatchingThread>();
  #closed = false;

  constructor(vocabulary: () => GrammarVocabulary, limits: Partial<GrammarLimits> = {}) {
    this.#vocabulary = vocabulary;
    this.#limits = { ...usual, ...limits };
    this.#quick = new LRUCache({
      max: this.#limits.kept,
      dispose: ({ thread, grammar }) => thread.drop(grammar),
    });
  }

  /**
   * A constraint for one answer; close it. `param`: the request's field that the grammar comes from, which a 400 names
   * where the grammar is wrong or cannot be enforced.
   */
  async constrain(grammar: Grammar, param: string): Promise<Constraint> {
    const key = keyOf(grammar);
    if (key.length > this.#limits.characters) {
      throw refused(param, `it has ${key.length} characters, and ${this.#limits.characters} are the most.`);
    }
    for (;;) {
      const home = this.#find(key);
      if (home) return home.thread.constrain(home.grammar);
      let arriving = this.#arriving.get(key);
      if (!arriving) {
        arriving = this.#arrive(key, grammar, param).finally(() => this.#arriving.delete(key));
        this.#arriving.set(key, arriving);
      }
      await arriving;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const wake of this.#queue.splice(0)) wake();
    await Promise.all([...this.#threads].map((thread) => thread.end()));
  }

  #find(key: string): Home | undefined {
    const quick = this.#quick.get(key);
    if (quick && !quick.thread.dead) return quick;
    const slow = this.#slow.get(key);
    if (!slow) return undefined;
    this.#slow.delete(key);
    if (slow.thread.dead) return undefined;
    this.#slow.set(key, slow);
    return slow;
  }

  async #arrive(key: string, grammar: Grammar, param: string): Promise<void> {
    const thread = await this.#freeThread();
    let compiled: Compiled | undefined;
    try {
      compiled = await this.#compileIn(thread, grammar, param);
    } finally {
      this.#busy.delete(thread);
      if (!compiled || ('sentence' in compiled && compiled.fatal)) await thread.end();
      else if ('sentence' in compiled) this.#spare = thread;
      else if (compiled.milliseconds > this.#limits.quickMs) {
        this.#slow.set(key, { thread, grammar: compiled.grammar });
      } else {
        thread.drop(compiled.grammar);
        this.#spare = thread;
      }
      this.#queue.shift()?.();
    }
    if ('sentence' in compiled) throw refused(param, compiled.sentence);
    if (!this.#slow.has(key)) await this.#share(key, grammar, param);
  }

  /** Compiles in the shared thread what has been shown to be quick. */
  async #share(key: string, grammar: Grammar, param: string): Promise<void> {
    if (this.#sharedBytes > this.#limits.bytes) {
      // Its memory never shrinks: what is still in use ends there, everything new goes to another.
      this.#quick.clear();
      this.#shared?.retire();
      this.#shared = undefined;
      this.#sharedBytes = 0;
    }
    if (!this.#shared || this.#shared.dead) this.#shared = this.#thread();
    const thread = this.#shared;
    const compiled = await thread.compile(grammar);
    if ('sentence' in compiled) throw refused(param, compiled.sentence);
    if (thread === this.#shared) this.#sharedBytes = compiled.bytes;
    this.#quick.set(key, { thread, grammar: compiled.grammar });
  }

  async #compileIn(thread: MatchingThread, grammar: Grammar, param: string): Promise<Compiled> {
    const { compileMs } = this.#limits;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(refused(param, `it takes longer than ${compileMs / 1000} s to compile. Make it smaller.`));
      }, compileMs);
    });
    try {
      return await Promise.race([thread.compile(grammar), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A thread with nothing in it, which is busy from now on; waits for one where all are at work. */
  async #freeThread(): Promise<MatchingThread> {
    for (;;) {
      if (this.#closed) throw shuttingDown();
      const thread = this.#takeFree();
      if (thread) {
        this.#busy.add(thread);
        return thread;
      }
      if (this.#queue.length >= this.#limits.waiting) {
        throw queueFull('Too many new grammars wait to be compiled; try again shortly.');
      }
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    }
  }

  #takeFree(): MatchingThread | undefined {
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare && !spare.dead) return spare;
    for (const [key, { thread }] of this.#slow) if (thread.dead) this.#slow.delete(key);
    if (this.#busy.size + this.#slow.size < this.#limits.threads) return this.#thread();
    // A slow grammar that nobody follows makes room.
    for (const [key, { thread, grammar }] of this.#slow) {
      if (thread.open > 0) continue;
      this.#slow.delete(key);
      thread.drop(grammar);
      return thread;
    }
    return undefined;
  }

  #thread(): MatchingThread {
    for (const thread of this.#threads) if (thread.dead) this.#threads.delete(thread);
    const thread = new MatchingThread(this.#vocabulary(), () => this.#queue.shift()?.());
    this.#threads.add(thread);
    return thread;
  }
}

function refused(param: string, sentence: string): ColophonError {
  return new ColophonError(`Invalid '${param}': ${sentence}`, { param, code: 'invalid_grammar' });
}

function queueFull(sentence: string): ColophonError {
  return new ColophonError(sentence, { type: 'rate_limit_error', code: 'queue_full', retryAfterSeconds: 1 });
}

function shuttingDown(): ColophonError {
  return new ColophonError('The server is shutting down.', {
    type: 'service_unavailable_error',
    code: 'shutting_down',
    retryAfterSeconds: 1,
  });
}
