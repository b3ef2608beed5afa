/** OpenAI's fine-tuning job, what is kept of one, and what it shows. */
import { randomBytes } from 'node:crypto';
import type { Origin } from './adapter.ts';
import type { Recipe } from './recipe.ts';
import type { LogRow } from './run.ts';
import type { CreateBody } from './settings.ts';

export type JobStatus =
  | 'validating_files'
  | 'queued'
  | 'running'
  | 'paused'
  | 'succeeded'
  | 'failed'
  | 'cancelled';

export const ended: ReadonlySet<JobStatus> = new Set(['succeeded', 'failed', 'cancelled']);

type Auto = 'auto' | number;
export interface Hyperparameters {
  n_epochs: Auto;
  batch_size: Auto;
  learning_rate_multiplier: Auto;
  beta?: Auto;
}

/** Times are Unix seconds. */
export interface JobObject {
  object: 'fine_tuning.job';
  id: string;
  model: string;
  created_at: number;
  finished_at: number | null;
  fine_tuned_model: string | null;
  organization_id: string;
  status: JobStatus;
  hyperparameters: Hyperparameters;
  method: { type: 'supervised' | 'dpo'; [method: string]: unknown };
  training_file: string;
  validation_file: string | null;
  result_files: string[];
  trained_tokens: number | null;
  estimated_finish: number | null;
  seed: number;
  error: { code: string; message: string; param: string | null } | null;
  integrations: [];
  metadata: Record<string, string> | null;
  /** Ours: of those that wait, lower values go first. */
  priority: number;
  /** Ours: trained tokens a second since the process that trains it began. */
  tokens_per_second: number | null;
  /** Ours: every setting of the run. */
  recipe: Recipe;
}

export interface JobEvent {
  object: 'fine_tuning.job.event';
  id: string;
  created_at: number;
  level: 'info' | 'warn' | 'error';
  type: 'message' | 'metrics';
  message: string;
  data?: Record<string, number>;
}

export interface JobCheckpoint {
  object: 'fine_tuning.job.checkpoint';
  id: string;
  created_at: number;
  fine_tuned_model_checkpoint: string;
  fine_tuning_job_id: string;
  step_number: number;
  metrics: Record<string, number>;
}

/** What is kept of a job: the object, and what no client sees. */
export interface JobRecord {
  job: JobObject;
  tenant: string;
  operator: boolean;
  /** Jobs are numbered as they come. */
  number: number;
  /** As it was asked for. */
  body: CreateBody;
  checkpoints: JobCheckpoint[];
  /** What its files were, once they are read. */
  data?: Origin['data'];
}

/** Unix seconds. */
export const now = () => Math.floor(Date.now() / 1000);

export const newJobId = () => `ftjob-${randomBytes(12).toString('hex')}`;

/** "ft:BASE:TENANT:SUFFIX:ID"; what a folder or a name cannot have becomes a hyphen. */
export function modelName({ job, tenant, body }: JobRecord): string {
  const clean = (text: string) => text.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/\.{2,}/g, '.');
  return `ft:${clean(job.model)}:${clean(tenant)}:${clean(body.suffix ?? '')}:${job.id.slice(-8)}`;
}

export const checkpointName = (record: JobRecord, step: number) => `${modelName(record)}:ckpt-step-${step}`;

/** OpenAI's names for what a step measured. */
export function metricsOf({ step, train, validation, general }: LogRow): Record<string, number> {
  return {
    step,
    train_loss: train.loss,
    train_mean_token_accuracy: train.accuracy,
    ...(validation
      ? {
          valid_loss: validation.loss,
          valid_mean_token_accuracy: validation.accuracy,
          full_valid_loss: validation.loss,
          full_valid_mean_token_accuracy: validation.accuracy,
        }
      : {}),
    ...(general ? { general_loss: general.loss } : {}),
  };
}

/** The results file. */
export function resultsCsv(log: readonly LogRow[]): string {
  const rows = log.map(({ step, train, validation }) =>
    [step, train.loss, train.accuracy, validation?.loss ?? '', validation?.accuracy ?? ''].join(','),
  );
  return `${['step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy', ...rows].join('\n')}\n`;
}

/** What 'auto' came to. */
export function showHyperparameters(job: JobObject, change: Partial<Hyperparameters>): void {
  job.hyperparameters = { ...job.hyperparameters, ...change };
  job.method = { type: job.method.type, [job.method.type]: { hyperparameters: job.hyperparameters } };
}
