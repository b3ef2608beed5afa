/** A job that runs: its process, what it tells, the models that come of it. */
import type { Host } from '../../gateway/contract/index.ts';
import { leaveAdapter } from './adapter.ts';
import { trainableBase } from './bases.ts';
import {
  checkpointName,
  type JobRecord,
  metricsOf,
  modelName,
  now,
  resultsCsv,
  showHyperparameters,
} from './job.ts';
import type { Journal } from './journal.ts';
import { bestStep, checkpointFolder, type LogRow, type RunState } from './run.ts';
import { Runner } from './runner.ts';
import { baseRates } from './sweep.ts';
import type { WorkerEnd, WorkerMessage } from './worker.ts';

/** Events of steps beyond these are told only every so many steps. */
const stepsTold = 500;

export class JobRun {
  /** What becomes of the job when its process has ended before its end. */
  leaving: 'paused' | 'cancelled' | 'queued' | undefined;
  /** Where its process began with steps; undefined: not yet. */
  begun: { at: number; step: number; tokens: number } | undefined;
  /** Resolves when the job has left it. */
  finished: Promise<void> = Promise.resolve();
  readonly #record: JobRecord;
  readonly #folder: string;
  readonly #host: Host;
  readonly #journal: Journal;
  /** Checkpoints become models one after the other. */
  #kept: Promise<void> = Promise.resolve();
  readonly #keeping = new Set<number>();
  #runner: Runner | undefined;

  constructor(record: JobRecord, folder: string, host: Host, journal: Journal) {
    this.#record = record;
    this.#folder = folder;
    this.#host = host;
    this.#journal = journal;
  }

  /** Ends with its process, after the step that is under way, or at once. */
  leave(then: 'paused' | 'cancelled' | 'queued'): void {
    this.leaving = then;
    if (then === 'cancelled') this.#runner?.kill();
    else this.#runner?.stop();
  }

  /** How its process ended; undefined where it was left before there was one. */
  async process(): Promise<WorkerEnd | undefined> {
    await this.#stillThere();
    if (this.leaving) return undefined;
    this.#runner = new Runner(this.#folder, (message) => this.#told(message));
    const end = await this.#runner.ended;
    await this.#kept;
    return end;
  }

  /** Whoever took back what a snapshot has of theirs is not learned from. An uploaded file was read and may be gone. */
  async #stillThere(): Promise<void> {
    const { training_file, validation_file } = this.#record.job;
    for (const id of [training_file, validation_file]) if (id) await this.#host.files.find(this.#record, id);
  }

  #told(message: Exclude<WorkerMessage, WorkerEnd>): void {
    const record = this.#record;
    const journal = this.#journal;
    if (message.type === 'tried') {
      const { learningRate, loss } = message;
      const after =
        loss === undefined ? 'the loss is no number any more' : `held-out loss=${loss.toFixed(4)}`;
      journal.tell(record, 'info', `Tried learning rate ${learningRate}: ${after}`);
      return;
    }
    const { job } = record;
    const { row, step, steps, trainedTokens } = message;
    if (job.recipe.learning_rate === 'auto') this.#chosen(message);
    job.trained_tokens = trainedTokens;
    this.begun ??= { at: Date.now(), step, tokens: trainedTokens };
    for (const one of message.kept ?? (row?.kept ? [row] : [])) this.#keep(one);
    const done = step - this.begun.step;
    if (done === 0) return;
    const seconds = (Date.now() - this.begun.at) / 1000;
    job.estimated_finish = now() + Math.round((seconds / done) * (steps - step));
    job.tokens_per_second = Math.round((trainedTokens - this.begun.tokens) / seconds);
    if (!row || row.step !== step) return;
    const every = Math.ceil(steps / stepsTold);
    if (!row.kept && step % every !== 0) return;
    const validation = row.validation ? `, validation loss=${row.validation.loss.toFixed(2)}` : '';
    const sentence = `Step ${step}/${steps}: training loss=${row.train.loss.toFixed(2)}${validation}`;
    journal.tell(record, 'info', sentence, { ...metricsOf(row), total_steps: steps });
  }

  #chosen({ learningRate, sweep }: WorkerMessage & { type: 'progress' }): void {
    const record = this.#record;
    const journal = this.#journal;
    const { job } = record;
    job.recipe = { ...job.recipe, learning_rate: learningRate };
    showHyperparameters(job, { learning_rate_multiplier: learningRate / baseRates[job.recipe.method] });
    const over = sweep ? `: the best of ${sweep.tried.length} after ${sweep.steps} steps each` : '';
    journal.tell(record, 'info', `Chosen learning rate ${learningRate}${over}`);
    void journal.save(record);
  }

  #keep(row: LogRow): void {
    const { checkpoints } = this.#record;
    if (this.#keeping.has(row.step) || checkpoints.some(({ step_number }) => step_number === row.step))
      return;
    this.#keeping.add(row.step);
    this.#kept = this.#kept.then(() => this.#keepCheckpoint(row));
  }

  /** A checkpoint is a model at once. It is noted when it is one: what a crash cuts short is told again by the next process. */
  async #keepCheckpoint(row: LogRow): Promise<void> {
    const record = this.#record;
    const name = checkpointName(record, row.step);
    await this.#deploy(name, checkpointFolder(this.#folder, row.step));
    record.checkpoints.push({
      object: 'fine_tuning.job.checkpoint',
      id: `ftckpt_${record.job.id.slice(6)}_${row.step}`,
      created_at: now(),
      fine_tuned_model_checkpoint: name,
      fine_tuning_job_id: record.job.id,
      step_number: row.step,
      metrics: metricsOf(row),
    });
    await this.#journal.save(record);
  }

  async #deploy(name: string, path: string): Promise<void> {
    try {
      const { backend } = await trainableBase(this.#host, this.#record.job.model);
      if (!backend.adapters) throw new Error('its backend takes no adapters by call');
      await backend.adapters.load(name, path, { replace: true });
    } catch (error) {
      const why = (error as Error).message;
      this.#journal.tell(this.#record, 'warn', `The model ${name} is in ${path}, but is not served: ${why}`);
    }
  }

  /** The adapter, its file of results, and its model. */
  async succeed(state: RunState): Promise<void> {
    const record = this.#record;
    const journal = this.#journal;
    const { job, tenant } = record;
    const name = modelName(record);
    const adapter = await leaveAdapter(
      this.#folder,
      { name, job: job.id, base: job.model, recipe: job.recipe, data: record.data! },
      state,
    );
    const csv = async function* () {
      yield Buffer.from(resultsCsv(state.log));
    };
    job.result_files = [
      await this.#host.files.create(
        tenant,
        { filename: 'step_metrics.csv', purpose: 'fine-tune-results' },
        csv(),
      ),
    ];
    job.trained_tokens = state.trainedTokens;
    job.fine_tuned_model = name;
    await this.#deploy(name, adapter);
    const best = bestStep(state);
    if (state.ended === 'stopped_early')
      journal.tell(
        record,
        'info',
        `Stopped early at step ${state.step}: the held-out loss was best at step ${best}.`,
      );
    journal.tell(record, 'info', `New fine-tuned model created: ${name}`);
    await journal.end(record, 'succeeded', 'The job has successfully completed');
  }
}
