/** Runs the lines of one batch. What was answered before a crash or a stop is on disk, and does not run again. */

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BatchError } from './batch.ts';
import { addUsage, type BatchEnding, type BatchRecord, type BatchUsage, noUsage, now } from './batch.ts';
import { type LineRequest, readLine, readLines } from './input.ts';
import { LineLog } from './line_log.ts';
import type { Slots } from './slots.ts';

/** What a line was answered. */
export interface LineAnswer {
  status: number;
  requestId: string;
  body: unknown;
  retryAfterSeconds?: number | undefined;
}

export interface RunOptions {
  record: BatchRecord;
  /** Of the batch: its input lies there, its results come there. */
  folder: string;
  lineBytes: number;
  slots: Slots;
  /** Aborted when no more lines shall begin: the server stops, or the batch is cancelled. */
  signal: AbortSignal;
  send(body: Record<string, unknown>): Promise<LineAnswer>;
  progress: Progress;
}

/** So far; only what is on disk counts. */
export interface Progress {
  completed: number;
  failed: number;
  usage: BatchUsage;
}

export const inputName = 'input.jsonl';
export const outputName = 'output.jsonl';
export const errorName = 'error.jsonl';

/** A busy server is asked again so often before a line counts as failed; about 20 minutes. */
const attemptsAtMost = 25;

/** Lines that are written off at once: what comes together is made durable together. */
const expiredTogether = 256;

export function noProgress(): Progress {
  return { completed: 0, failed: 0, usage: noUsage() };
}

/** How the batch ended; undefined where the signal came first and lines are left. */
export async function runLines(options: RunOptions): Promise<BatchEnding | undefined> {
  const { record, folder, progress, slots, signal } = options;
  const done = new Set<string>();
  const count = (line: string, failed: boolean) => {
    const { custom_id, response, error } = JSON.parse(line);
    done.add(custom_id);
    expired ||= error?.code === expiredError.code;
    progress[failed ? 'failed' : 'completed']++;
    addUsage(progress.usage, response?.body);
  };
  let expired = false;
  Object.assign(progress, noProgress());
  const output = await LineLog.open(join(folder, outputName), (line) => count(line, false));
  const errors = await LineLog.open(join(folder, errorName), (line) => count(line, true));
  const running = new Set<Promise<void>>();
  let left = false;
  let failure: { error: unknown } | undefined;

  const keep = async (request: LineRequest, answer: LineAnswer | undefined) => {
    const good = answer !== undefined && answer.status >= 200 && answer.status < 300;
    const line = JSON.stringify({
      id: `batch_req_${randomBytes(16).toString('hex')}`,
      custom_id: request.customId,
      response: answer
        ? { status_code: answer.status, request_id: answer.requestId, body: answer.body }
        : null,
      error: answer ? null : expiredError,
    });
    expired ||= answer === undefined;
    await (good ? output : errors).append(line);
    progress[good ? 'completed' : 'failed']++;
    if (good) addUsage(progress.usage, answer.body);
  };
  const runOne = async (request: LineRequest) => {
    const answer = await ask(options, request);
    if (answer === 'stopped') left = true;
    else await keep(request, answer);
  };

  const begin = (work: Promise<void>) => {
    const run = work
      .catch((error) => {
        failure ??= { error };
      })
      .finally(() => running.delete(run));
    running.add(run);
  };

  try {
    for await (const line of readLines(join(folder, inputName), options.lineBytes)) {
      const request = readLine(line, record.batch.endpoint);
      if ('code' in request || done.has(request.customId)) continue;
      if (now() >= record.batch.expires_at) {
        begin(keep(request, undefined));
        if (running.size >= expiredTogether) await Promise.all(running);
        continue;
      }
      if (failure || !(await slots.take(signal))) {
        left = true;
        break;
      }
      begin(runOne(request).finally(() => slots.give()));
    }
  } finally {
    await Promise.all(running);
    await output.close();
    await errors.close();
  }
  if (failure) throw failure.error;
  if (left) return undefined;
  return expired ? 'expired' : 'completed';
}

const expiredError = {
  code: 'batch_expired' satisfies BatchError['code'],
  message: 'This request could not be executed before the completion window expired.',
};

/** Asks until there is an answer; undefined once the batch has expired. */
async function ask(
  { record, signal, send }: RunOptions,
  { body }: LineRequest,
): Promise<LineAnswer | 'stopped' | undefined> {
  for (let attempt = 1; ; attempt++) {
    const answer = await send(body);
    const busy = answer.status === 429 || answer.status === 503;
    if (!busy || (attempt >= attemptsAtMost && !signal.aborted)) return answer;
    const wait = Math.min(answer.retryAfterSeconds ?? 2 ** attempt / 2, 60);
    await sleep(wait * 1000, undefined, { signal }).catch(() => {});
    if (signal.aborted) return 'stopped';
    if (now() >= record.batch.expires_at) return undefined;
  }
}
