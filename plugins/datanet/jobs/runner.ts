/** Runs jobs, one at a time of each kind. What is in the store decides: a job that a crash or a stop cut goes on at the next start. */
import { randomUUID } from 'node:crypto';
import { ColophonError, type Logger } from '../../../gateway/contract/index.ts';
import type { DatanetStore, Job } from '../store/datanet_store.ts';
import { isOutage } from '../store/store_error.ts';

/**
 * Does a job and gives its report. It keeps its own checkpoint, and rejects soon after `signal` is aborted. `isLast`: whether it is
 * not tried again after a fault that is neither the client's nor an outage.
 */
export type Work = (job: Job, signal: AbortSignal, isLast: boolean) => Promise<Record<string, unknown>>;

/** When a job is tried again after a fault of ours: after `first` ms, then twice as long each time, up to `longest`. */
export interface Backoff {
  first: number;
  longest: number;
  /** Attempts at what fails for a reason that nobody foresaw. An outage is waited for without end. */
  attempts: number;
}

const defaultBackoff: Backoff = { first: 1_000, longest: 300_000, attempts: 5 };

interface Running {
  id: string;
  controller: AbortController;
  ended: Promise<void>;
}

export class JobRunner {
  readonly #store: DatanetStore;
  readonly #works: Partial<Record<Job['kind'], Work>>;
  readonly #log: Logger;
  readonly #waiting = new Map<Job['kind'], string[]>();
  readonly #running = new Map<Job['kind'], Running>();
  readonly #backoff: Backoff;
  /** Failed attempts of jobs that are tried again. */
  readonly #faults = new Map<string, number>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #draining = false;

  constructor(
    store: DatanetStore,
    works: Partial<Record<Job['kind'], Work>>,
    log: Logger,
    backoff = defaultBackoff,
  ) {
    this.#store = store;
    this.#backoff = backoff;
    this.#works = works;
    this.#log = log;
  }

  /** Whether it begins nothing more. */
  get draining(): boolean {
    return this.#draining;
  }

  /** Goes on with what an earlier process left. Once, before anything is submitted. */
  async resume(): Promise<void> {
    let after: string | undefined;
    for (;;) {
      const page = await this.#store.jobs(
        { state: ['queued', 'running'] },
        { limit: 100, ...(after === undefined ? {} : { after }) },
      );
      for (const job of page.data) this.#enqueue(job);
      if (!page.hasMore) return;
      after = page.data.at(-1)!.id;
    }
  }

  /**
   * Stores a job and resolves; it runs when those of its kind before it are done. `store`: stores what it works on, after the job
   * and before it runs, so that a crash leaves nothing without its job.
   */
  async submit(
    datanet: string,
    kind: Job['kind'],
    params: Record<string, unknown>,
    store?: () => Promise<void>,
  ): Promise<Job> {
    const job: Job = {
      id: `job_${randomUUID().replaceAll('-', '')}`,
      datanet,
      kind,
      params,
      state: 'queued',
      done: 0,
      total: null,
      stage: null,
      checkpoint: null,
      report: null,
      error: null,
      createdAt: now(),
      finishedAt: null,
    };
    await this.#store.createJob(job);
    try {
      await store?.();
    } catch (error) {
      await this.cancel(job.id);
      throw error;
    }
    this.#enqueue(job);
    return job;
  }

  /** Resolves once it does nothing any more; false where it was over before. */
  async cancel(id: string): Promise<boolean> {
    const cancelled = await this.#store.updateJob(id, { state: 'cancelled', finishedAt: now() }, [
      'queued',
      'running',
    ]);
    for (const running of this.#running.values()) {
      if (running.id !== id) continue;
      if (cancelled) running.controller.abort();
      await running.ended;
    }
    return cancelled;
  }

  /** Cuts what runs and resolves once it has ended; it goes on at the next start. */
  async drain(): Promise<void> {
    this.#draining = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const { controller } of this.#running.values()) controller.abort();
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  #enqueue({ id, kind }: Pick<Job, 'id' | 'kind'>): void {
    const waiting = this.#waiting.get(kind) ?? [];
    waiting.push(id);
    this.#waiting.set(kind, waiting);
    this.#next(kind);
  }

  #next(kind: Job['kind']): void {
    if (this.#draining || this.#running.has(kind)) return;
    const id = this.#waiting.get(kind)?.shift();
    if (id === undefined) return;
    const controller = new AbortController();
    const ended = this.#run(id, controller.signal)
      .then(() => this.#faults.delete(id))
      .catch((error) => this.#again({ id, kind }, error))
      .then(() => {
        this.#running.delete(kind);
        this.#next(kind);
      });
    this.#running.set(kind, { id, controller, ended });
  }

  /** Rejects with what it is tried again for. */
  async #run(id: string, signal: AbortSignal): Promise<void> {
    if (!(await this.#store.updateJob(id, { state: 'running', error: null }, ['queued', 'running']))) return;
    const job = (await this.#store.job(id))!;
    const end = (change: Partial<Job>) =>
      this.#store.updateJob(id, { ...change, finishedAt: now() }, ['running']);
    const isLast = (this.#faults.get(id) ?? 0) + 1 >= this.#backoff.attempts;
    try {
      const work = this.#works[job.kind];
      if (!work) throw new Error(`there is no work of the kind "${job.kind}"`);
      signal.throwIfAborted();
      const report = await work(job, signal, isLast);
      await end({ state: 'succeeded', report });
    } catch (error) {
      // Cancelled ones are so in the store already; drained ones stay as they are.
      if (signal.aborted) return;
      if (isOutage(error) || (!isClients(error) && !isLast)) throw error;
      if (!isClients(error)) this.#log.error({ err: error, job: id }, 'A job failed.');
      await end({ state: 'failed', error: sentence(error) });
    }
  }

  async #again({ id, kind }: Pick<Job, 'id' | 'kind'>, error: unknown): Promise<void> {
    const faults = (this.#faults.get(id) ?? 0) + 1;
    this.#faults.set(id, faults);
    const wait = Math.min(this.#backoff.first * 2 ** (faults - 1), this.#backoff.longest);
    this.#log.error({ err: error, job: id, faults, wait }, 'A job met a fault; it is tried again.');
    const waiting = `${sentence(error)} Attempt ${faults} ended so; the next is ${Math.ceil(wait / 1000)} s after it.`;
    // A store that is away cannot be told; the job is in it all the same.
    await this.#store.updateJob(id, { state: 'queued', error: waiting }, ['running']).catch(() => {});
    if (this.#draining) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#enqueue({ id, kind });
    }, wait);
    this.#timers.add(timer);
  }
}

function isClients(error: unknown): boolean {
  return error instanceof ColophonError && error.status < 500;
}

/** An error as clients are told of it. */
export function sentence(error: unknown): string {
  return error instanceof ColophonError ? error.message : 'The server had a fault; its log says more.';
}

export function now(): number {
  return Math.floor(Date.now() / 1000);
}
