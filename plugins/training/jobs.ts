/** Fine-tuning jobs: checked, queued, run one after another in processes of their own, deployed. They outlast restarts. */
import { ColophonError, type Host, type RequestCaller } from '../../gateway/contract/index.ts';
import { hasInputs, removeInputs } from './inputs.ts';
import { ended, type JobEvent, type JobObject, type JobRecord, type JobStatus } from './job.ts';
import { isDiskFull, JobFolders } from './job_folders.ts';
import { JobRun } from './job_run.ts';
import { diskFull, Journal } from './journal.ts';
import { newJob } from './new_job.ts';
import { prepare } from './prepare.ts';
import type { CreateBody } from './settings.ts';
import type { WorkerEnd } from './worker.ts';

export interface JobsOptions {
  host: Host;
  folder: string;
  threads: number;
  activationBytes: number;
  /** Jobs that run at once. */
  concurrency: number;
  /** Jobs of one tenant that have not ended. */
  unfinished: number;
}

/** Processes of a job that are ended from outside at the same step, one after the other, until the job rests. */
const killsAtOneStep = 3;

export class Jobs {
  readonly #options: JobsOptions;
  readonly #folders: JobFolders;
  readonly #records = new Map<string, JobRecord>();
  readonly #journal: Journal;
  readonly #running = new Map<string, JobRun>();
  /** By job: how often its process was ended from outside, and at which step it had begun. */
  readonly #killed = new Map<string, { from: number | undefined; times: number }>();
  readonly #background = new Set<Promise<void>>();
  #stopped = false;
  #number = 0;

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#folders = new JobFolders(options.folder);
    this.#journal = new Journal(this.#folders, options.host.log);
  }

  /** Emits a job's id with each of its events. */
  get told(): Journal['told'] {
    return this.#journal.told;
  }

  /** Goes on with what a stop or a crash left. */
  start(): void {
    for (const record of this.#folders.read()) {
      this.#records.set(record.job.id, record);
      this.#number = record.number + 1;
      if (record.job.status === 'running') record.job.status = 'queued';
      if (record.job.status === 'validating_files') this.#prepare(record);
    }
    this.#track(this.#tidy());
    this.#next();
  }

  /** Running jobs end after their step, to be gone on with by the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const run of this.#running.values()) if (!run.leaving) run.leave('queued');
    await Promise.all([...this.#running.values()].map(({ finished }) => finished));
    await Promise.allSettled(this.#background);
  }

  async create(caller: RequestCaller, body: CreateBody): Promise<JobObject> {
    const { host, unfinished } = this.#options;
    const asked = await newJob(host, caller, body);
    const open = [...this.#records.values()].filter(
      (of) => of.tenant === asked.tenant && !ended.has(of.job.status),
    );
    if (open.length >= unfinished) {
      throw new ColophonError(
        `You have ${open.length} jobs that have not ended; at most ${unfinished} are possible. Wait for one, or cancel one.`,
        { type: 'rate_limit_error', code: 'too_many_jobs' },
      );
    }
    const record: JobRecord = { ...asked, number: this.#number++ };
    const { job } = record;
    this.#records.set(job.id, record);
    try {
      await this.#folders.save(record);
    } catch (error) {
      this.#records.delete(job.id);
      await this.#folders.remove(job.id);
      throw diskFull(error, 'create the job again');
    }
    this.#journal.tell(record, 'info', `Created fine-tuning job: ${job.id}`);
    this.#prepare(record);
    return job;
  }

  /** A tenant's jobs, newest first. */
  list(tenant: string): JobObject[] {
    const own = [...this.#records.values()].filter((record) => record.tenant === tenant);
    return own.map(({ job }) => job).reverse();
  }

  get(tenant: string, id: string): JobRecord {
    const record = this.#records.get(id);
    if (record?.tenant === tenant) return record;
    throw new ColophonError(`Could not find fine tune: ${id.slice(0, 100)}`, {
      type: 'not_found_error',
      param: 'fine_tuning_job_id',
      code: 'fine_tune_not_found',
    });
  }

  events(tenant: string, id: string): JobEvent[] {
    return this.#folders.events(this.get(tenant, id).job.id);
  }

  async cancel(tenant: string, id: string): Promise<JobObject> {
    const record = this.get(tenant, id);
    this.#must(record, ['validating_files', 'queued', 'running', 'paused'], 'cancelled');
    await this.#leave(record, 'cancelled');
    return record.job;
  }

  async pause(tenant: string, id: string): Promise<JobObject> {
    const record = this.get(tenant, id);
    this.#must(record, ['queued', 'running'], 'paused');
    await this.#leave(record, 'paused');
    return record.job;
  }

  async resume(tenant: string, id: string): Promise<JobObject> {
    const record = this.get(tenant, id);
    this.#must(record, ['paused'], 'resumed');
    record.job.error = null;
    this.#killed.delete(id);
    if (hasInputs(this.#folders.of(id))) {
      await this.#journal.move(record, 'queued', 'The job waits for its turn again.');
      this.#next();
    } else {
      await this.#journal.move(record, 'validating_files', 'The files of the job are read again.');
      this.#prepare(record);
    }
    return record.job;
  }

  #must({ job }: JobRecord, states: JobStatus[], what: string): void {
    if (states.includes(job.status)) return;
    throw new ColophonError(`The job ${job.id} is ${job.status}; it cannot be ${what}.`, {
      type: 'conflict_error',
      param: 'fine_tuning_job_id',
      code: 'invalid_job_state',
    });
  }

  /** To `then`, once its process has ended where it has one. */
  async #leave(record: JobRecord, then: 'paused' | 'cancelled'): Promise<void> {
    const running = this.#running.get(record.job.id);
    if (!running) return this.#settle(record, then);
    running.leave(then);
    await running.finished;
  }

  async #settle(record: JobRecord, then: 'paused' | 'cancelled'): Promise<void> {
    if (then === 'cancelled') return this.#journal.end(record, then, 'The job was cancelled.');
    await this.#journal.move(record, then, 'The job is paused.');
  }

  #prepare(record: JobRecord): void {
    this.#track(this.#validate(record).catch((error: unknown) => this.#stumbled(record, error)));
  }

  #stumbled(record: JobRecord, error: unknown): Promise<void> {
    return isDiskFull(error)
      ? this.#journal.rest(record, diskFull(error))
      : this.#journal.fail(record, error);
  }

  /** Tokens that a job left which ended just before a crash. */
  async #tidy(): Promise<void> {
    for (const { job } of [...this.#records.values()]) {
      if (!ended.has(job.status)) continue;
      await removeInputs(this.#folders.of(job.id)).catch((error: unknown) =>
        this.#options.host.log.error(
          { err: error, job: job.id },
          'What an ended job left could not be deleted.',
        ),
      );
    }
  }

  #track(work: Promise<void>): void {
    this.#background.add(work);
    void work.finally(() => this.#background.delete(work));
  }

  async #validate(record: JobRecord): Promise<void> {
    const folder = this.#folders.of(record.job.id);
    await prepare(record, folder, this.#options, this.#journal);
    if (record.job.status !== 'validating_files') return removeInputs(folder);
    await this.#journal.move(record, 'queued', 'Files validated, moving job to queued state');
    this.#next();
  }

  /** Of those that wait: by priority, then as they came. */
  #next(): void {
    if (this.#stopped) return;
    const waiting = [...this.#records.values()]
      .filter(({ job }) => job.status === 'queued' && !this.#running.has(job.id))
      .sort((a, b) => a.job.priority - b.job.priority || a.number - b.number);
    for (const record of waiting) {
      if (this.#running.size >= this.#options.concurrency) return;
      this.#run(record);
    }
  }

  #run(record: JobRecord): void {
    const { id } = record.job;
    const run = new JobRun(record, this.#folders.of(id), this.#options.host, this.#journal);
    this.#running.set(id, run);
    run.finished = this.#finish(record, run)
      .catch((error: unknown) => this.#stumbled(record, error))
      .finally(() => {
        this.#running.delete(id);
        if (ended.has(record.job.status)) this.#killed.delete(id);
        this.#next();
      });
  }

  /** From a job's start to whatever becomes of it when its process has ended. */
  async #finish(record: JobRecord, run: JobRun): Promise<void> {
    await this.#journal.move(record, 'running', 'Fine-tuning job started');
    const end = await run.process();
    const { leaving } = run;
    if (end?.type === 'done' && end.state.ended) return run.succeed(end.state);
    if (end?.type === 'failed' && !leaving) return this.#cutShort(record, run, end);
    if (leaving === 'paused' || leaving === 'cancelled') return this.#settle(record, leaving);
    await this.#journal.move(
      record,
      'queued',
      'The process of the job was stopped; the job goes on from there.',
    );
  }

  /** Ended from outside it begins again at its last checkpoint; but not for ever. */
  async #cutShort(
    record: JobRecord,
    { begun }: JobRun,
    end: Extract<WorkerEnd, { type: 'failed' }>,
  ): Promise<void> {
    const { id } = record.job;
    if (end.code === 'disk_full') throw Object.assign(new Error(end.sentence), { code: end.code });
    if (end.code !== 'killed') throw new Error(end.sentence);
    const before = this.#killed.get(id);
    const times = before && before.from === begun?.step ? before.times + 1 : 1;
    if (times < killsAtOneStep) {
      this.#killed.set(id, { from: begun?.step, times });
      return this.#journal.move(
        record,
        'queued',
        `${end.sentence} The job goes on from its last checkpoint.`,
        'warn',
      );
    }
    this.#killed.delete(id);
    await this.#journal.rest(record, {
      code: 'training_failed',
      message: `${end.sentence} It ended so ${times} times at the same step. Resume the job when there is more memory.`,
    });
  }
}
