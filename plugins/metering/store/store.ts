/**
 * The store as the server's thread sees it. What comes while it writes is written together next, as one record of the journal; the database is
 * told of many records at once, as keeping it takes cores from those that generate.
 */
import { Worker } from 'node:worker_threads';
import type { ColophonError } from '../../../gateway/contract/index.ts';
import { threadFile } from '../../../gateway/contract/thread_file.ts';
import { PublicKeys } from '../keys/public_keys.ts';
import type { BookCall, MoneyBooks } from '../money/money.ts';
import { faultOf, faultOfRecord, refusalOf } from './fault.ts';
import { headBytes, Journal } from './journal.ts';
import {
  type Answered,
  type BegunAnswer,
  type EndedAnswer,
  encodeGroup,
  type StoreFault,
  type Told,
} from './protocol.ts';
import type { Rooms, RoomsOptions } from './rooms.ts';
import { TokenRuns } from './token_runs.ts';

type Calls = Rooms['calls'];
type Given<Name extends keyof Calls> = Parameters<Calls[Name]>[0];
type Result<Name extends keyof Calls> = Awaited<ReturnType<Calls[Name]>>;

interface PendingGroup {
  /** Somebody waits for it; else it goes with the next that somebody waits for, or once `endsWaitMs` are over. */
  urgent: boolean;
  begun: BegunAnswer[];
  tokens: TokenRuns;
  ended: EndedAnswer[];
  written: Promise<void>;
  settle: { resolve(): void; reject(error: Error): void };
}

/** While answers are being made, ends of others, which nobody waits for, are written with what follows them within so many milliseconds. */
const endsWaitMs = 1000;
/** What is durable is told to the database within so many milliseconds, or when it is asked something. */
const applyWaitMs = 10_000;
/** While the disk is full, a write is tried so often. */
const probeMs = 1000;

/** Calls that delete what was said. */
const deleting: ReadonlySet<keyof Calls> = new Set(['erase', 'forget']);

export interface StoreTelling {
  warn(sentence: string): void;
  /** The process must not go on. */
  broken(sentence: string): void;
}

export class Store {
  readonly #thread: Worker;
  readonly #tell: StoreTelling;
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: unknown): void }>();
  #asked = 0;
  #next = 1;
  #keys!: PublicKeys;
  #journal!: Journal;
  #group: PendingGroup | undefined;
  #writing: Promise<void> | undefined;
  #scheduled = false;
  #endsWait: NodeJS.Timeout | undefined;
  #applying: Promise<void> | undefined;
  #applyWait: NodeJS.Timeout | undefined;
  /** Answers that are being made. */
  #open = 0;
  /** Why nothing can be recorded now. */
  #refusal: ColophonError | undefined;
  #probe: NodeJS.Timeout | undefined;

  private constructor(options: RoomsOptions, tell: StoreTelling) {
    this.#tell = tell;
    this.#thread = new Worker(threadFile(import.meta.url, 'thread'), { workerData: options, execArgv: [] });
    this.#thread.on('message', (message: Answered | Told) => {
      if ('id' in message) this.#answered(message);
      else if (message.told === 'warning') tell.warn(message.sentence);
      else this.#fault({ kind: 'broken', sentence: message.sentence });
    });
    this.#thread.on('error', (error) =>
      this.#fault({ kind: 'broken', sentence: `The store's thread failed: ${error.message}` }),
    );
  }

  /** Ends what an earlier process left open. Rejects with a sentence where it cannot be opened. */
  static async open(options: RoomsOptions, tell: StoreTelling): Promise<Store> {
    const store = new Store(options, tell);
    try {
      const { next, keys, applied } = (await store.#ask({
        call: 'open',
        given: undefined,
      })) as Rooms['opened'];
      store.#next = next;
      store.#keys = PublicKeys.parse(JSON.stringify(keys));
      store.#journal = new Journal(options.folder, applied);
      return store;
    } catch (error) {
      await store.#thread.terminate();
      throw new Error(faultOf(error).sentence);
    }
  }

  /** Public keys that signatures of this installation are checked by. */
  get keys(): PublicKeys {
    return this.#keys;
  }

  /** A new key signs from here on; the others stay known. */
  async rotateKeys(): Promise<PublicKeys> {
    this.#keys = PublicKeys.parse(JSON.stringify(await this.call('rotateKeys', undefined)));
    return this.#keys;
  }

  /** A number for an answer. Throws ColophonError where nothing can be recorded now. */
  number(): number {
    if (this.#refusal) throw this.#refusal;
    return this.#next++;
  }

  /** What is to become durable with the tokens that follow. */
  begin(answer: BegunAnswer): void {
    this.#open++;
    this.#pending().begun.push(answer);
  }

  /** Resolves when they are durable. */
  tokens(number: number, choice: number, cached: number, ids: readonly number[]): Promise<void> {
    const group = this.#urgent();
    group.tokens.add(number, choice, cached, ids);
    return group.written;
  }

  /** Resolves when it is durable, which is soon. */
  end(answer: EndedAnswer): Promise<void> {
    this.#open--;
    const group = this.idle ? this.#urgent() : this.#pending();
    group.ended.push(answer);
    if (!group.urgent) this.#endsWait ??= setTimeout(() => this.#flush(), endsWaitMs);
    return group.written;
  }

  /** Whether no answer is being made. */
  get idle(): boolean {
    return this.#open === 0;
  }

  /** What is in the books of payouts; as MoneyBooks has it. */
  books<Name extends BookCall>(
    call: Name,
    ...given: Parameters<MoneyBooks[Name]>
  ): Promise<ReturnType<MoneyBooks[Name]>> {
    return this.call('books', { call, given }) as Promise<ReturnType<MoneyBooks[Name]>>;
  }

  /** After all that was given to be recorded. Rejects with a ColophonError. */
  async call<Name extends keyof Calls>(name: Name, given: Given<Name>): Promise<Result<Name>> {
    await this.#flush();
    // While the disk is full it knows what it knows.
    await this.#apply().catch(() => {});
    try {
      const result = (await this.#ask({ call: name, given })) as Result<Name>;
      if (deleting.has(name) && result) this.#forgetRecords();
      return result;
    } catch (fault) {
      throw refusalOf(fault as StoreFault);
    }
  }

  /** After what waits. */
  async close(): Promise<void> {
    clearTimeout(this.#probe);
    await this.#flush();
    while (this.#writing || this.#scheduled) await (this.#writing ?? new Promise(setImmediate));
    await this.#apply().catch(() => {});
    clearTimeout(this.#applyWait);
    this.#forgetRecords();
    this.#journal.close();
    await this.#ask({ call: 'close', given: undefined }).catch((fault: StoreFault) => this.#fault(fault));
    clearTimeout(this.#probe);
    await this.#thread.terminate();
  }

  /** What waits is written at once. Resolves when that is over, well or not. */
  async #flush(): Promise<void> {
    if (this.#group) await this.#urgent().written.catch(() => {});
  }

  /** The group that is written next, as soon as can be. */
  #urgent(): PendingGroup {
    const group = this.#pending();
    group.urgent = true;
    if (!this.#scheduled && !this.#writing) {
      this.#scheduled = true;
      // What one step gave all sequences comes in one turn.
      setImmediate(() => {
        this.#scheduled = false;
        this.#writing = this.#write();
      });
    }
    return group;
  }

  /** The group that is written next. */
  #pending(): PendingGroup {
    if (!this.#group) {
      let settle!: PendingGroup['settle'];
      const written = new Promise<void>((resolve, reject) => {
        settle = { resolve, reject };
      });
      // Those who wait for it are told; an end that nobody waits for is written again by the next start.
      written.catch(() => {});
      this.#group = { urgent: false, begun: [], tokens: new TokenRuns(), ended: [], written, settle };
    }
    return this.#group;
  }

  async #write(): Promise<void> {
    for (let group = this.#group; group?.urgent; group = this.#group) {
      this.#group = undefined;
      if (this.#endsWait) clearTimeout(this.#endsWait);
      this.#endsWait = undefined;
      const { begun, tokens, ended, settle } = group;
      try {
        await this.#journal.append(
          encodeGroup({ at: Date.now(), begun, tokens: tokens.words, ended }, headBytes),
        );
        settle.resolve();
        const apply = () => void this.#apply().catch(() => {});
        if (this.#refusal) apply();
        else this.#applyWait ??= setTimeout(apply, applyWaitMs);
      } catch (error) {
        settle.reject(this.#fault(faultOfRecord(error)));
      }
      // Those who waited for it send theirs in the turn after the one that comes: before more of theirs is durable.
      for (let turn = 0; turn < 2; turn++) await new Promise(setImmediate);
    }
    this.#writing = undefined;
  }

  /** What the database has, or had until it was deleted, is not left where it was recorded first. */
  #forgetRecords(): void {
    try {
      this.#journal.forget();
    } catch (error) {
      const fault = faultOf(error);
      // Without room it is tried again with the next that is applied.
      if (fault.kind === 'broken') this.#fault(fault);
    }
  }

  /** Tells the database of all that is durable. Rejects with a ColophonError where it could not take it. */
  async #apply(): Promise<void> {
    while (this.#applying) await this.#applying.catch(() => {});
    clearTimeout(this.#applyWait);
    this.#applyWait = undefined;
    const apply = this.#journal.pending;
    if (apply.records.length === 0) return;
    this.#applying = this.#ask({ apply }).then(() => this.#journal.applied(apply.last));
    try {
      await this.#applying;
      this.#refusal = undefined;
    } catch (error) {
      throw this.#fault(faultOf(error));
    } finally {
      this.#applying = undefined;
    }
  }

  #fault(fault: StoreFault): ColophonError {
    const refusal = refusalOf(fault);
    this.#refusal = refusal;
    if (fault.kind === 'broken') {
      for (const { reject } of this.#waiting.values()) reject(fault);
      this.#waiting.clear();
      this.#tell.broken(fault.sentence);
    } else {
      clearTimeout(this.#probe);
      this.#probe = setTimeout(() => this.#urgent(), probeMs).unref();
    }
    return refusal;
  }

  #ask(what: object): Promise<unknown> {
    const id = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#thread.postMessage({ id, ...what });
    });
  }

  #answered(answered: Answered): void {
    const waiting = this.#waiting.get(answered.id);
    this.#waiting.delete(answered.id);
    if ('fault' in answered) waiting?.reject(answered.fault);
    else waiting?.resolve(answered.result);
  }
}
