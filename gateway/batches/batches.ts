/**
 * Batches of all tenants: each is checked, waits for the earlier ones of its tenant, runs and ends. Tenants take turns line
 * by line. Every step is saved before the next begins, so that a start goes on where the last process was.
 */
import { link, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { ColophonError } from '../contract/index.ts';
import { type Files, newFileId } from '../store/files.ts';
import type { ListOptions, ObjectStore, Page } from '../store/object_store.ts';
import {
  type BatchEnding,
  type BatchError,
  type BatchObject,
  type BatchOrder,
  type BatchRecord,
  isOver,
  newBatch,
  now,
} from './batch.ts';
import { checkInput } from './input.ts';
import {
  errorName,
  inputName,
  type LineAnswer,
  noProgress,
  outputName,
  type Progress,
  runLines,
} from './run.ts';
import { Slots } from './slots.ts';

/** Whose requests its lines are. */
export interface BatchOwner {
  tenant: string;
  /** As Caller has it. */
  key: string;
  isolated: boolean;
}

export interface BatchesOptions {
  store: ObjectStore;
  files: Files;
  /** For the files of running batches; on the same file system as those of `files`. */
  folder: string;
  log: Logger;
  /** Lines of a batch, bytes of a line, lines that run at once, batches of a tenant that are not over. */
  limits: { lines: number; lineBytes: number; concurrency: number; unfinished: number };
  /** Answers one request as its tenant's. */
  send(owner: BatchOwner, endpoint: string, body: Record<string, unknown>): Promise<LineAnswer>;
}

interface Active {
  tenant: string;
  cancel: AbortController;
  progress: Progress;
}

export class Batches {
  readonly #options: BatchesOptions;
  readonly #slots: Slots;
  /** Files are checked one after another. */
  readonly #checks = new Slots(1);
  /** Batches that are not over, in this process. */
  readonly #active = new Map<string, Active>();
  /** The last batch of each tenant: its batches run one after another. */
  readonly #last = new Map<string, Promise<unknown>>();
  readonly #lives = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  constructor(options: BatchesOptions) {
    this.#options = options;
    this.#slots = new Slots(options.limits.concurrency);
  }

  /** Goes on with what the last process left, and throws away what it did not come to. */
  async resume(): Promise<void> {
    for (const { tenant, body } of this.#options.store.all<BatchRecord>('batch')) {
      if (!isOver(body.batch)) this.#begin(tenant, body.batch.id);
    }
    for (const name of await readdir(this.#options.folder).catch(() => [])) {
      if (!this.#active.has(name)) await rm(this.#folder(name), { recursive: true, force: true });
    }
  }

  /** No more lines begin; resolves once those that run have ended. The next start goes on. */
  async stop(): Promise<void> {
    this.#stop.abort();
    for (const { cancel } of this.#active.values()) cancel.abort();
    await Promise.all(this.#lives);
  }

  async create(owner: BatchOwner, order: BatchOrder): Promise<BatchObject> {
    const { store, files, limits } = this.#options;
    const { tenant, key, isolated } = owner;
    const unfinished = [...this.#active.values()].filter((active) => active.tenant === tenant).length;
    if (unfinished >= limits.unfinished) {
      throw new ColophonError(
        `You have ${unfinished} batches that are not over, the most at once. Wait for one, or cancel one.`,
        { type: 'rate_limit_error', code: 'too_many_batches', retryAfterSeconds: 60 },
      );
    }
    const input = inputFile(files, tenant, order.input_file_id);
    const batch = newBatch(order);
    const folder = this.#folder(batch.id);
    this.#activate(tenant, batch.id);
    try {
      await mkdir(folder, { recursive: true });
      // Its own name for the content: the batch does not mind when the file is deleted.
      await link(files.folder.path(input), join(folder, inputName));
      const { outputSeconds } = order;
      const record: BatchRecord = {
        batch,
        key,
        isolated,
        outputFileId: newFileId(),
        errorFileId: newFileId(),
        ...(outputSeconds === undefined ? {} : { outputSeconds }),
      };
      store.put('batch', tenant, batch.id, record);
    } catch (error) {
      this.#active.delete(batch.id);
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
    this.#begin(tenant, batch.id);
    return batch;
  }

  /** A 404 where the tenant has none of that id. */
  get(tenant: string, id: string): BatchObject {
    const record = this.#options.store.get<BatchRecord>('batch', tenant, id);
    if (record) return this.#view(record);
    throw new ColophonError(`No batch found with id '${id.slice(0, 100)}'.`, {
      type: 'not_found_error',
      param: 'batch_id',
      code: 'batch_not_found',
    });
  }

  list(tenant: string, options: ListOptions): Page<BatchObject> {
    const { data, hasMore } = this.#options.store.list<BatchRecord>('batch', tenant, options);
    return { data: data.map((record) => this.#view(record)), hasMore };
  }

  /** Lines that run are answered; no others begin. */
  cancel(tenant: string, id: string): BatchObject {
    const { status } = this.get(tenant, id);
    if (status !== 'validating' && status !== 'in_progress') {
      if (status === 'cancelling') return this.get(tenant, id);
      throw new ColophonError(`The batch '${id}' cannot be cancelled: it is ${status.replace('_', ' ')}.`, {
        type: 'conflict_error',
        code: 'batch_not_cancellable',
        param: 'batch_id',
      });
    }
    this.#save(tenant, id, ({ batch }) => {
      batch.status = 'cancelling';
      batch.cancelling_at = now();
    });
    this.#active.get(id)?.cancel.abort();
    return this.get(tenant, id);
  }

  #view({ batch }: BatchRecord): BatchObject {
    const progress = this.#active.get(batch.id)?.progress;
    if (!progress || isOver(batch)) return batch;
    const { completed, failed, usage } = progress;
    return { ...batch, request_counts: { ...batch.request_counts, completed, failed }, usage };
  }

  #folder(id: string): string {
    return join(this.#options.folder, id);
  }

  #activate(tenant: string, id: string): Active {
    const active = { tenant, cancel: new AbortController(), progress: noProgress() };
    this.#active.set(id, active);
    return active;
  }

  #begin(tenant: string, id: string): void {
    const active = this.#active.get(id) ?? this.#activate(tenant, id);
    const life = this.#live(tenant, id, active)
      .catch((error) => this.#fail(tenant, id, error))
      .finally(() => {
        this.#active.delete(id);
        this.#lives.delete(life);
      });
    this.#lives.add(life);
  }

  async #live(tenant: string, id: string, active: Active): Promise<void> {
    const record = this.#options.store.get<BatchRecord>('batch', tenant, id)!;
    if (record.batch.status === 'validating' && !(await this.#check(tenant, id, active))) return;
    if (record.ending) return this.#end(tenant, id, record.ending, active);
    const before = this.#last.get(tenant);
    const turn = (async () => {
      // What is cancelled need not wait for its turn.
      await Promise.race([before, aborted(active.cancel.signal)]);
      await this.#run(tenant, id, active);
    })();
    const settled = Promise.allSettled([before, turn]);
    this.#last.set(tenant, settled);
    settled.then(() => {
      if (this.#last.get(tenant) === settled) this.#last.delete(tenant);
    });
    await turn;
  }

  /** False where the batch goes no further. */
  async #check(tenant: string, id: string, active: Active): Promise<boolean> {
    const { limits, store } = this.#options;
    const { endpoint } = store.get<BatchRecord>('batch', tenant, id)!.batch;
    const { signal } = active.cancel;
    if (!(await this.#checks.take(signal))) return true;
    try {
      const checked = await checkInput(join(this.#folder(id), inputName), endpoint, { ...limits, signal });
      if (checked.errors.length > 0) {
        this.#save(tenant, id, ({ batch }) => {
          batch.errors = { object: 'list', data: checked.errors };
        });
        await this.#end(tenant, id, 'failed', active);
        return false;
      }
      this.#save(tenant, id, ({ batch }) => {
        batch.request_counts.total = checked.total;
        batch.model = checked.model;
        if (batch.status !== 'validating') return;
        batch.status = 'in_progress';
        batch.in_progress_at = now();
      });
      return true;
    } catch (error) {
      if (signal.aborted) return true;
      throw error;
    } finally {
      this.#checks.give();
    }
  }

  async #run(tenant: string, id: string, active: Active): Promise<void> {
    const { store, limits, send } = this.#options;
    const record = store.get<BatchRecord>('batch', tenant, id)!;
    const { endpoint } = record.batch;
    if (this.#stop.signal.aborted) return;
    if (record.batch.status === 'cancelling') active.cancel.abort();
    let ending = await runLines({
      record,
      folder: this.#folder(id),
      lineBytes: limits.lineBytes,
      slots: this.#slots,
      signal: active.cancel.signal,
      progress: active.progress,
      send: (body) =>
        send({ tenant, key: record.key ?? 'default', isolated: record.isolated }, endpoint, body),
    });
    const { status } = store.get<BatchRecord>('batch', tenant, id)!.batch;
    if (status === 'cancelling') ending = 'cancelled';
    if (ending) await this.#end(tenant, id, ending, active);
  }

  /** Makes the files, then says so; each part can be done again. */
  async #end(tenant: string, id: string, ending: BatchEnding, active: Active): Promise<void> {
    const { files } = this.#options;
    const folder = this.#folder(id);
    const record = this.#save(tenant, id, (record) => {
      record.ending = ending;
      const { batch } = record;
      if (batch.status === 'in_progress') {
        batch.status = 'finalizing';
        batch.finalizing_at = now();
      }
      const { completed, failed, usage } = active.progress;
      if (completed + failed === 0) return;
      batch.request_counts = { ...batch.request_counts, completed, failed };
      batch.usage = usage;
    });
    const make = async (fileId: string, name: string, suffix: string) => {
      const path = join(folder, name);
      if ((await files.folder.measure(path))?.bytes === 0) await rm(path);
      const description = {
        filename: `${id}_${suffix}.jsonl`,
        purpose: 'batch_output',
        expiresAfterSeconds: record.outputSeconds,
      };
      return (await files.adopt(tenant, fileId, path, description))?.id ?? null;
    };
    const output = await make(record.outputFileId, outputName, 'output');
    const errors = await make(record.errorFileId, errorName, 'error');
    this.#save(tenant, id, ({ batch }) => {
      batch.output_file_id = output;
      batch.error_file_id = errors;
      batch.status = ending;
      batch[`${ending}_at`] = now();
    });
    await rm(folder, { recursive: true, force: true });
  }

  /** What nobody foresaw ends the batch, with what it has; a disk that is full too. */
  async #fail(tenant: string, id: string, error: unknown): Promise<void> {
    const { log } = this.#options;
    log.error({ err: error, batch: id }, 'batch failed');
    const told: BatchError = {
      code: 'internal_error',
      line: null,
      message: 'The server could not go on with this batch. Its log says more.',
      param: null,
    };
    try {
      this.#save(tenant, id, ({ batch }) => {
        batch.errors = { object: 'list', data: [told] };
      });
      await this.#end(tenant, id, 'failed', this.#active.get(id)!);
    } catch (again) {
      log.error({ err: again, batch: id }, 'batch could not be ended; the next start tries again');
    }
  }

  #save(tenant: string, id: string, change: (record: BatchRecord) => void): BatchRecord {
    return this.#options.store.change<BatchRecord>('batch', tenant, id, (record) => {
      change(record);
      return record;
    })!;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function inputFile(files: Files, tenant: string, id: string): string {
  const file = files.find(tenant, id);
  if (file?.purpose === 'batch') return file.id;
  const why = file ? `has the purpose '${file.purpose}', not 'batch'` : 'does not exist';
  throw new ColophonError(`The file '${id.slice(0, 100)}' ${why}.`, {
    param: 'input_file_id',
    code: file ? 'invalid_purpose' : 'file_not_found',
  });
}
