/** OpenAI's batch object, and what is kept of a batch beside it. */
import { randomBytes } from 'node:crypto';
import type { batchErrors } from '../contract/error_catalogue.ts';

export interface BatchError {
  code: keyof typeof batchErrors;
  /** From 1; null where it is about the whole file. */
  line: number | null;
  message: string;
  param: string | null;
}

export type BatchStatus =
  | 'validating'
  | 'failed'
  | 'in_progress'
  | 'finalizing'
  | 'completed'
  | 'expired'
  | 'cancelling'
  | 'cancelled';

export interface BatchUsage {
  input_tokens: number;
  input_tokens_details: { cached_tokens: number };
  output_tokens: number;
  output_tokens_details: { reasoning_tokens: number };
  total_tokens: number;
}

/** Times are Unix seconds. */
export interface BatchObject {
  id: string;
  object: 'batch';
  endpoint: string;
  /** Of the first line. */
  model: string | null;
  errors: { object: 'list'; data: BatchError[] } | null;
  input_file_id: string;
  completion_window: string;
  status: BatchStatus;
  output_file_id: string | null;
  error_file_id: string | null;
  created_at: number;
  in_progress_at: number | null;
  expires_at: number;
  finalizing_at: number | null;
  completed_at: number | null;
  failed_at: number | null;
  expired_at: number | null;
  cancelling_at: number | null;
  cancelled_at: number | null;
  request_counts: { total: number; completed: number; failed: number };
  usage: BatchUsage;
  metadata: Record<string, string> | null;
}

/** How a batch ends. */
export type BatchEnding = 'completed' | 'failed' | 'expired' | 'cancelled';

export interface BatchRecord {
  batch: BatchObject;
  /** Which of its tenant's keys made it. Absent in older records. */
  key?: string;
  /** Whether its tenant's prefixes are kept from others'. */
  isolated: boolean;
  /** Ids that its files will have: known before they are made, so that making them again makes no others. */
  outputFileId: string;
  errorFileId: string;
  /** How long they are kept. */
  outputSeconds?: number;
  /** Set before the files are made. */
  ending?: BatchEnding;
}

export interface BatchOrder {
  input_file_id: string;
  endpoint: string;
  metadata: Record<string, string> | null;
  outputSeconds: number | undefined;
}

/** The one completion window that there is. */
export const windowSeconds = 24 * 3600;

export function newBatch(order: BatchOrder): BatchObject {
  const created = now();
  return {
    id: `batch_${randomBytes(16).toString('hex')}`,
    object: 'batch',
    endpoint: order.endpoint,
    model: null,
    errors: null,
    input_file_id: order.input_file_id,
    completion_window: '24h',
    status: 'validating',
    output_file_id: null,
    error_file_id: null,
    created_at: created,
    in_progress_at: null,
    expires_at: created + windowSeconds,
    finalizing_at: null,
    completed_at: null,
    failed_at: null,
    expired_at: null,
    cancelling_at: null,
    cancelled_at: null,
    request_counts: { total: 0, completed: 0, failed: 0 },
    usage: noUsage(),
    metadata: order.metadata,
  };
}

export function noUsage(): BatchUsage {
  return {
    input_tokens: 0,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 0,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 0,
  };
}

/** Adds the usage of an answer, in the words of either API. */
export function addUsage(sum: BatchUsage, body: unknown): void {
  const usage = (body as { usage?: Record<string, unknown> } | null)?.usage;
  if (!usage) return;
  const number = (value: unknown) => (typeof value === 'number' ? value : 0);
  const detail = (names: string[], field: string) =>
    number(names.map((name) => (usage[name] as Record<string, unknown> | undefined)?.[field]).find(Number));
  sum.input_tokens += number(usage.input_tokens ?? usage.prompt_tokens);
  sum.output_tokens += number(usage.output_tokens ?? usage.completion_tokens);
  sum.total_tokens += number(usage.total_tokens);
  sum.input_tokens_details.cached_tokens += detail(
    ['input_tokens_details', 'prompt_tokens_details'],
    'cached_tokens',
  );
  sum.output_tokens_details.reasoning_tokens += detail(
    ['output_tokens_details', 'completion_tokens_details'],
    'reasoning_tokens',
  );
}

export function isOver({ status }: BatchObject): boolean {
  return status === 'completed' || status === 'failed' || status === 'expired' || status === 'cancelled';
}

export function now(): number {
  return Math.floor(Date.now() / 1000);
}
