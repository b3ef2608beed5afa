/** What becomes of jobs, written down: their records, and events that clients follow. */
import { EventEmitter } from 'node:events';
import { ColophonError, type Logger } from '../../gateway/contract/index.ts';
import { removeInputs } from './inputs.ts';
import { ended, type JobEvent, type JobRecord, type JobStatus, now } from './job.ts';
import { isDiskFull, type JobFolders } from './job_folders.ts';

export class Journal {
  /** Emits a job's id with each of its events. */
  readonly told = new EventEmitter<Record<string, [JobEvent]>>();
  readonly #folders: JobFolders;
  readonly #log: Logger;
  #events = 0;

  constructor(folders: JobFolders, log: Logger) {
    this.#folders = folders;
    this.#log = log;
    this.told.setMaxListeners(0);
  }

  async move(
    record: JobRecord,
    status: JobStatus,
    sentence: string,
    level: JobEvent['level'] = status === 'failed' ? 'error' : 'info',
  ): Promise<void> {
    record.job.status = status;
    record.job.estimated_finish = null;
    await this.save(record);
    this.tell(record, level, sentence);
  }

  /** For good: what only a running job needs is gone. */
  async end(record: JobRecord, status: JobStatus, sentence: string): Promise<void> {
    record.job.finished_at = now();
    await this.move(record, status, sentence);
    await removeInputs(this.#folders.of(record.job.id));
  }

  async fail(record: JobRecord, thrown: unknown): Promise<void> {
    const { job } = record;
    if (ended.has(job.status)) return;
    const error = thrown instanceof ColophonError ? thrown : undefined;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    job.error = { code: error?.code ?? 'training_failed', message, param: error?.param ?? null };
    this.tell(record, 'error', message);
    await this.end(record, 'failed', 'The job failed.');
  }

  /** What is no fault of the job's keeps it where it is; it can be resumed. */
  async rest(record: JobRecord, { code, message }: { code: string | null; message: string }): Promise<void> {
    record.job.error = { code: code ?? 'training_failed', message, param: null };
    this.tell(record, 'error', message);
    await this.move(record, 'paused', 'The job is paused.');
  }

  /** What a full disk keeps from being saved is saved with the next change; a restart before goes on from the older state. */
  async save(record: JobRecord): Promise<void> {
    await this.#folders.save(record).catch((error: unknown) => this.#unsaved(record, error));
  }

  tell(record: JobRecord, level: JobEvent['level'], message: string, data?: Record<string, number>): void {
    const event: JobEvent = {
      object: 'fine_tuning.job.event',
      id: `ftevent-${Date.now().toString(36)}${(this.#events++).toString(36).padStart(4, '0')}`,
      created_at: now(),
      level,
      type: data ? 'metrics' : 'message',
      message,
      ...(data ? { data } : {}),
    };
    try {
      this.#folders.addEvent(record.job.id, event);
    } catch (error) {
      this.#unsaved(record, error);
    }
    this.told.emit(record.job.id, event);
  }

  #unsaved({ job }: JobRecord, error: unknown): void {
    this.#log.error({ err: error, job: job.id }, 'A training job could not be saved.');
  }
}

/** As clients and a resting job show it; `then`: what is to be done when there is room. Throws what is no full disk. */
export function diskFull(error: unknown, then = 'resume the job; nothing is lost'): ColophonError {
  if (!isDiskFull(error)) throw error;
  return new ColophonError(`The disk is full: ${(error as Error).message}. Make room, then ${then}.`, {
    type: 'service_unavailable_error',
    status: 507,
    code: 'disk_full',
    cause: error,
  });
}
