/** Fine-tuning jobs: checked, queued, run one after another in processes of their own, deployed. They outlast restarts. */
import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Backend, ColophonError, type Host, type RequestCaller } from '../../gateway/contract/index.ts';
import { native } from '../../native/binding/index.ts';
import { encodeItems } from './data_file.ts';
import { readItems } from './examples.ts';
import { generalText } from './general_text.ts';
import {
  checkpointName,
  ended,
  type JobEvent,
  type JobObject,
  type JobRecord,
  type JobStatus,
  metricsOf,
  modelName,
  newJobId,
  resultsCsv,
} from './job.ts';
import { JobFolders } from './job_folders.ts';
import { bestStep, checkpointFolder, type RunState } from './run.ts';
import { Runner } from './runner.ts';
import { askedFor, type CreateBody, recipeOf } from './settings.ts';
import type { WorkerJob, WorkerMessage } from './worker.ts';

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

/** A job that has a process. */
interface Running {
  runner: Runner;
  /** What becomes of it when the process has ended before its end. */
  leaving: 'paused' | 'cancelled' | 'queued' | undefined;
  /** When, ms, and after which step this process began. */
  begun: number;
  from: number | undefined;
  /** Resolves when the job has left it. */
  finished: Promise<void>;
}

/** Events of steps beyond these are told only every so many steps. */
const stepsTold = 500;

export class Jobs {
  /** Emits a job's id with each of its events. */
  readonly told = new EventEmitter<Record<string, [JobEvent]>>();
  readonly #options: JobsOptions;
  readonly #folders: JobFolders;
  readonly #records = new Map<string, JobRecord>();
  readonly #running = new Map<string, Running>();
  readonly #preparing = new Set<Promise<void>>();
  #stopped = false;
  #eventNumber = 0;

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#folders = new JobFolders(options.folder);
    this.told.setMaxListeners(0);
  }

  /** Goes on with what a stop or a crash left. */
  start(): void {
    for (const record of this.#folders.read()) {
      this.#records.set(record.job.id, record);
      if (record.job.status === 'running') record.job.status = 'queued';
      if (record.job.status === 'validating_files') this.#prepare(record);
    }
    this.#next();
  }

  /** Running jobs end after their step, to be gone on with by the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const running of this.#running.values()) {
      running.leaving ??= 'queued';
      running.runner.stop();
    }
    await Promise.all([...this.#running.values()].map(({ finished }) => finished));
    await Promise.allSettled(this.#preparing);
  }

  async create(caller: RequestCaller, body: CreateBody): Promise<JobObject> {
    const { tenant } = caller;
    const { host, unfinished } = this.#options;
    if (body.integrations && body.integrations.length > 0)
      throw new ColophonError('Integrations are not offered; leave them out.', {
        param: 'integrations',
        code: 'unsupported_parameter',
      });
    for (const param of ['training_file', 'validation_file'] as const) {
      const id = body[param];
      if (id && !(await host.files.find(caller, id)))
        throw new ColophonError(
          `There is no file '${id}'; upload it to /v1/files with the purpose "fine-tune".`,
          {
            type: 'not_found_error',
            param,
            code: 'file_not_found',
          },
        );
    }
    await this.#base(body.model);
    const open = [...this.#records.values()].filter(
      (of) => of.tenant === tenant && !ended.has(of.job.status),
    );
    if (open.length >= unfinished) {
      throw new ColophonError(
        `You have ${open.length} jobs that have not ended; at most ${unfinished} are possible. Wait for one, or cancel one.`,
        { type: 'rate_limit_error', code: 'too_many_jobs' },
      );
    }
    // Checked at once, with a number of examples that does not matter for whether it is possible.
    const recipe = recipeOf(body, 100, (await this.#base(body.model)).longest);
    const { type, hyperparameters } = askedFor(body);
    const job: JobObject = {
      object: 'fine_tuning.job',
      id: newJobId(),
      model: body.model,
      created_at: now(),
      finished_at: null,
      fine_tuned_model: null,
      organization_id: tenant,
      status: 'validating_files',
      hyperparameters,
      method: { type, [type]: { hyperparameters } },
      training_file: body.training_file,
      validation_file: body.validation_file ?? null,
      result_files: [],
      trained_tokens: null,
      estimated_finish: null,
      seed: recipe.seed,
      error: null,
      integrations: [],
      metadata: body.metadata ?? null,
      recipe,
    };
    const record: JobRecord = { job, tenant, operator: caller.operator, body, checkpoints: [], before: {} };
    await this.#folders.save(record);
    this.#records.set(job.id, record);
    await this.#tell(record, 'info', `Created fine-tuning job: ${job.id}`);
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
    await this.#move(record, 'queued', 'The job waits for its turn again.');
    this.#next();
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
    running.leaving = then;
    if (then === 'cancelled') running.runner.kill();
    else running.runner.stop();
    await running.finished;
  }

  async #settle(record: JobRecord, then: 'paused' | 'cancelled'): Promise<void> {
    if (then === 'cancelled') record.job.finished_at = now();
    record.job.estimated_finish = null;
    await this.#move(record, then, then === 'paused' ? 'The job is paused.' : 'The job was cancelled.');
  }

  #prepare(record: JobRecord): void {
    const work = this.#validate(record).catch((error: unknown) => this.#fail(record, error));
    this.#preparing.add(work);
    void work.finally(() => this.#preparing.delete(work));
  }

  /** Reads the files into tokens, which is all that the job's process needs. */
  async #validate(record: JobRecord): Promise<void> {
    const { host, threads, activationBytes } = this.#options;
    const { job, tenant, body } = record;
    const { backend, longest } = await this.#base(job.model);
    const text = await host.text(job.model);
    await this.#tell(record, 'info', `Validating training file: ${job.training_file}`);
    const read = async (id: string, what: string, least?: number) => {
      const file = await host.files.find({ tenant, operator: record.operator }, id);
      if (!file)
        throw new ColophonError(`The file '${id}' is gone.`, {
          type: 'not_found_error',
          param: `${what}_file`,
          code: 'file_not_found',
        });
      return readItems(await file.content(), { text, recipe: job.recipe, what, ...(least ? { least } : {}) });
    };
    const train = await read(job.training_file, 'training');
    const validation = job.validation_file ? await read(job.validation_file, 'validation', 1) : [];
    if (job.status !== 'validating_files') return;
    job.recipe = recipeOf(body, train.length, longest);
    const { n_epochs, batch_size, learning_rate_multiplier, beta } = job.hyperparameters;
    job.hyperparameters = {
      n_epochs: n_epochs === 'auto' ? job.recipe.epochs : n_epochs,
      batch_size: batch_size === 'auto' ? job.recipe.batch_size : batch_size,
      learning_rate_multiplier: learning_rate_multiplier === 'auto' ? 1 : learning_rate_multiplier,
      ...(beta === undefined ? {} : { beta: beta === 'auto' ? job.recipe.beta : beta }),
    };
    job.method = { type: job.method.type, [job.method.type]: { hyperparameters: job.hyperparameters } };
    const weights = await backend.weights!(job.model);
    const general = generalText.map((paragraph) => {
      const tokens = Int32Array.from(text.encode(paragraph).slice(0, job.recipe.max_tokens));
      return { tokens, weights: Float32Array.from(tokens, (_, i) => (i === 0 ? 0 : 1)) };
    });
    const folder = this.#folders.of(job.id);
    await this.#folders.write(join(folder, 'train.bin'), encodeItems(train));
    await this.#folders.write(join(folder, 'validation.bin'), encodeItems(validation));
    await this.#folders.write(join(folder, 'general.bin'), encodeItems(general));
    const worker: WorkerJob = {
      weights: weights!,
      layers: await layersOf(weights!),
      recipe: job.recipe,
      threads,
      activationBytes,
      adapterConfig: adapterConfigOf(job),
    };
    await this.#folders.write(join(folder, 'job.json'), JSON.stringify(worker));
    await this.#move(record, 'queued', 'Files validated, moving job to queued state');
    this.#next();
  }

  #next(): void {
    if (this.#stopped) return;
    for (const record of this.#records.values()) {
      if (this.#running.size >= this.#options.concurrency) return;
      if (record.job.status === 'queued' && !this.#running.has(record.job.id)) this.#run(record);
    }
  }

  #run(record: JobRecord): void {
    const { id } = record.job;
    const runner = new Runner(this.#folders.of(id), (message) => this.#progress(record, message));
    const running: Running = {
      runner,
      leaving: undefined,
      begun: Date.now(),
      from: undefined,
      finished: Promise.resolve(),
    };
    this.#running.set(id, running);
    running.finished = this.#finish(record, running)
      .catch((error: unknown) => this.#fail(record, error))
      .catch((error: unknown) =>
        this.#options.host.log.error({ err: error, job: id }, 'A training job could not be saved.'),
      )
      .finally(() => {
        this.#running.delete(id);
        this.#next();
      });
  }

  /** From a job's start to whatever becomes of it when its process has ended. */
  async #finish(record: JobRecord, running: Running): Promise<void> {
    await this.#move(record, 'running', 'Fine-tuning job started');
    const end = await running.runner.ended;
    const { leaving } = running;
    if (end.type === 'done' && end.state.ended) return this.#succeed(record, end.state);
    if (leaving === 'paused' || leaving === 'cancelled') return this.#settle(record, leaving);
    if (leaving === 'queued')
      return this.#move(record, 'queued', 'The server stops; the job goes on with its next start.');
    throw new Error(end.type === 'failed' ? end.sentence : 'The training process was ended from outside.');
  }

  #progress(record: JobRecord, message: WorkerMessage & { type: 'progress' }): void {
    const { job } = record;
    const { row, step, steps } = message;
    record.before = message.before;
    job.trained_tokens = message.trainedTokens;
    const running = this.#running.get(job.id)!;
    running.from ??= step;
    const done = step - running.from;
    if (done > 0)
      job.estimated_finish = Math.round(
        (Date.now() + ((Date.now() - running.begun) / done) * (steps - step)) / 1000,
      );
    if (!row || row.step !== step || done === 0) return;
    const every = Math.ceil(steps / stepsTold);
    if (!row.kept && step % every !== 0) return;
    const validation = row.validation ? `, validation loss=${row.validation.loss.toFixed(2)}` : '';
    const sentence = `Step ${step}/${steps}: training loss=${row.train.loss.toFixed(2)}${validation}`;
    void this.#tell(record, 'info', sentence, { ...metricsOf(row), total_steps: steps });
    if (row.kept) void this.#checkpoint(record, row);
  }

  /** A checkpoint is a model at once. */
  async #checkpoint(record: JobRecord, row: RunState['log'][number]): Promise<void> {
    const name = checkpointName(record, row.step);
    record.checkpoints.push({
      object: 'fine_tuning.job.checkpoint',
      id: `ftckpt_${record.job.id.slice(6)}_${row.step}`,
      created_at: now(),
      fine_tuned_model_checkpoint: name,
      fine_tuning_job_id: record.job.id,
      step_number: row.step,
      metrics: metricsOf(row),
    });
    await this.#folders.save(record);
    await this.#deploy(record, name, checkpointFolder(this.#folders.of(record.job.id), row.step));
  }

  async #deploy(record: JobRecord, name: string, path: string): Promise<void> {
    const { backend } = await this.#base(record.job.model);
    try {
      if (!backend.adapters) throw new Error('its backend takes no adapters by call');
      await backend.adapters.load(name, path, { replace: true });
    } catch (error) {
      await this.#tell(
        record,
        'warn',
        `The model ${name} is in ${path}, but is not served: ${(error as Error).message}`,
      );
    }
  }

  async #succeed(record: JobRecord, state: RunState): Promise<void> {
    const { host } = this.#options;
    const { job, tenant } = record;
    const folder = this.#folders.of(job.id);
    const step = bestStep(state);
    const name = modelName(record);
    const adapter = join(folder, 'adapter');
    rmSync(adapter, { recursive: true, force: true });
    mkdirSync(adapter);
    cpSync(checkpointFolder(folder, step), adapter, { recursive: true });
    await this.#folders.write(
      join(adapter, 'training_log.jsonl'),
      state.log.map((row) => `${JSON.stringify(row)}\n`).join(''),
    );
    const recipe = {
      recipe: job.recipe,
      base: job.model,
      training_file: job.training_file,
      validation_file: job.validation_file,
    };
    await this.#folders.write(
      join(adapter, 'recipe.json'),
      `${JSON.stringify({ ...recipe, engine: native().machine().version, step }, null, 2)}\n`,
    );
    await this.#folders.write(join(adapter, 'README.md'), modelCard(record, state, name));
    await this.#folders.write(join(adapter, 'SHA256SUMS'), sums(adapter));
    const csv = async function* () {
      yield Buffer.from(resultsCsv(state.log));
    };
    job.result_files = [
      await host.files.create(tenant, { filename: 'step_metrics.csv', purpose: 'fine-tune-results' }, csv()),
    ];
    job.trained_tokens = state.trainedTokens;
    job.fine_tuned_model = name;
    job.finished_at = now();
    job.estimated_finish = null;
    await this.#deploy(record, name, adapter);
    if (state.ended === 'stopped_early')
      await this.#tell(
        record,
        'info',
        `Stopped early at step ${state.step}: the held-out loss was best at step ${step}.`,
      );
    await this.#tell(record, 'info', `New fine-tuned model created: ${name}`);
    await this.#move(record, 'succeeded', 'The job has successfully completed');
  }

  async #fail(record: JobRecord, thrown: unknown): Promise<void> {
    const { job } = record;
    if (ended.has(job.status)) return;
    const error = thrown instanceof ColophonError ? thrown : undefined;
    job.error = {
      code: error?.code ?? 'training_failed',
      message: thrown instanceof Error ? thrown.message : String(thrown),
      param: error?.param ?? null,
    };
    job.finished_at = now();
    job.estimated_finish = null;
    await this.#tell(record, 'error', job.error.message);
    await this.#move(record, 'failed', 'The job failed.');
  }

  async #move(record: JobRecord, status: JobStatus, sentence: string): Promise<void> {
    record.job.status = status;
    await this.#folders.save(record);
    await this.#tell(record, status === 'failed' ? 'error' : 'info', sentence);
  }

  async #tell(
    record: JobRecord,
    level: JobEvent['level'],
    message: string,
    data?: Record<string, number>,
  ): Promise<void> {
    const event: JobEvent = {
      object: 'fine_tuning.job.event',
      id: `ftevent-${Date.now().toString(36)}${(this.#eventNumber++).toString(36).padStart(4, '0')}`,
      created_at: now(),
      level,
      type: data ? 'metrics' : 'message',
      message,
      ...(data ? { data } : {}),
    };
    await this.#folders.addEvent(record.job.id, event);
    this.told.emit(record.job.id, event);
  }

  /** Who serves a base that can be trained, and its longest sequence. */
  async #base(model: string): Promise<{ backend: Backend; longest: number }> {
    for (const backend of this.#options.host.all('backend')) {
      const card = await backend.model(model);
      if (!card) continue;
      if (card.parent !== null)
        throw new ColophonError(
          `'${model}' is an adapter; adapters are trained on their base '${card.parent}'.`,
          {
            param: 'model',
            code: 'model_not_trainable',
          },
        );
      if (!(await backend.weights?.(model)))
        throw new ColophonError(`'${model}' cannot be trained here: its weights are not on this machine.`, {
          param: 'model',
          code: 'model_not_trainable',
        });
      return { backend, longest: card.maxModelLength };
    }
    throw new ColophonError(`The model \`${model}\` does not exist.`, {
      type: 'not_found_error',
      code: 'model_not_found',
      param: 'model',
    });
  }
}

const now = () => Math.floor(Date.now() / 1000);

async function layersOf(
  weights: NonNullable<Awaited<ReturnType<NonNullable<Backend['weights']>>>>,
): Promise<number> {
  if (weights.format === 'safetensors') return Number(weights.hyperparameters.layers);
  const metadata = await native().readGgufMetadata(weights.path);
  return Number(metadata[`${metadata['general.architecture']}.block_count`]);
}

/** adapter_config.json, as PEFT reads it. */
export function adapterConfigOf({
  model,
  recipe,
}: Pick<JobObject, 'model' | 'recipe'>): Record<string, unknown> {
  const modules = {
    q: 'q_proj',
    k: 'k_proj',
    v: 'v_proj',
    o: 'o_proj',
    gate: 'gate_proj',
    up: 'up_proj',
    down: 'down_proj',
  };
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: model,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    r: recipe.rank,
    lora_alpha: recipe.alpha,
    lora_dropout: recipe.dropout,
    use_rslora: recipe.rslora,
    target_modules: recipe.targets.map((linear) => modules[linear]).sort(),
  };
}

function modelCard({ job, before }: JobRecord, state: RunState, name: string): string {
  const best = state.log.find(({ step }) => step === bestStep(state));
  const loss = (value: { loss: number } | undefined) => value?.loss.toFixed(4) ?? 'not measured';
  return `---
base_model: ${job.model}
library_name: peft
---

# ${name}

A LoRA of rank ${job.recipe.rank} on ${job.model}, trained by Colophon in the job ${job.id}: ${state.step} steps, ${state.trainedTokens} tokens${
    state.ended === 'stopped_early' ? ', stopped early' : ''
  }. This is the checkpoint of step ${bestStep(state)}.

| loss (nats a token) | before | this checkpoint |
|---|--:|--:|
| held-out examples | ${loss(before.validation)} | ${loss(best?.validation)} |
| general text | ${loss(before.general)} | ${loss(best?.general)} |

Every setting is in recipe.json, every step in training_log.jsonl. The same data, recipe and engine version give the same bytes.
`;
}

/** SHA-256 of every file, as sha256sum writes and checks it. */
function sums(folder: string): string {
  const files = [
    'README.md',
    'adapter_config.json',
    'adapter_model.safetensors',
    'recipe.json',
    'training_log.jsonl',
  ];
  const digest = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex');
  return files.map((name) => `${digest(name)}  ${name}\n`).join('');
}
