/** Trainings on parts of the data in a process of their own, as far as no earlier run did them. */
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { isDeepStrictEqual } from 'node:util';
import { threadFile } from '../../../gateway/contract/thread_file.ts';
import {
  encodeJob,
  type RetrainData,
  type RetrainJob,
  type RetrainMessage,
  type Trained,
} from './retrain_job.ts';
import type { Retrain } from './subsets.ts';
import type { Suspicions } from './suspicions.ts';

export const retrainsFile = 'retrains.jsonl';

/** A retrain that is done: a line of its file. */
export interface Retrained extends Retrain {
  /** Of each query, nats a token. */
  losses: number[];
  /** Of each of its examples, where they were asked for. */
  found?: Suspicions;
}

/** Adds a line to the file. It begins on a line of its own, as the last may have been cut. */
export function keepRetrained(folder: string, retrained: Retrained): void {
  appendFileSync(join(folder, retrainsFile), `\n${JSON.stringify(retrained)}\n`);
}

/** Those whose line is whole: a process may have been ended while it wrote the last. */
export function retrainedIn(folder: string): Map<string, Retrained> {
  const file = join(folder, retrainsFile);
  const found = new Map<string, Retrained>();
  if (!existsSync(file)) return found;
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    try {
      const row = JSON.parse(line) as Retrained;
      found.set(row.id, row);
    } catch {
      // Cut: done again.
    }
  }
  return found;
}

/** Trainings of one recipe on one set of data; `folder` is theirs alone, and holds what is done. */
export interface Retraining extends Omit<RetrainJob, 'tasks'> {
  data: RetrainData;
}

export interface RetrainWatch {
  /** Before the first, what one token of a step takes. */
  onPace?(secondsPerToken: number): void;
  onTrained?(trained: Trained): void;
  /** Ends it at once; what is done is kept. */
  signal?: AbortSignal;
}

/** In the tasks' order. Rejects with a sentence where one fails. */
export async function retrained(
  { data, ...setting }: Retraining,
  tasks: readonly Retrain[],
  watch: RetrainWatch = {},
): Promise<Retrained[]> {
  watch.signal?.throwIfAborted();
  const missing = missingOf(setting.folder, tasks);
  if (missing.length > 0) {
    mkdirSync(setting.folder, { recursive: true });
    await runWorker(encodeJob({ ...setting, tasks: missing }, data), watch);
  }
  const found = retrainedIn(setting.folder);
  return tasks.map(({ id }) => found.get(id)!);
}

/** Those of the tasks that are still to be done. */
export function missingOf(folder: string, tasks: readonly Retrain[]): Retrain[] {
  const found = retrainedIn(folder);
  return tasks.filter((task) => {
    const row = found.get(task.id);
    if (!row || (task.suspicions && !row.found)) return true;
    return !isDeepStrictEqual([row.examples, row.mislabelled], [task.examples, task.mislabelled]);
  });
}

async function runWorker(job: Buffer, { onPace, onTrained, signal }: RetrainWatch): Promise<void> {
  // It leads a session of its own: what interrupts the terminal's is ours to tell it.
  const child = spawn(process.execPath, [threadFile(import.meta.url, 'retrain_worker')], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const stop = () => void child.kill('SIGKILL');
  signal?.addEventListener('abort', stop, { once: true });
  child.stdin.on('error', () => {}); // Its end is told by `close`.
  child.stdin.end(job);
  let failed = 'The process that trains ended; the machine may have been out of memory.';
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-1000);
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = JSON.parse(line) as RetrainMessage;
    if (message.type === 'pace') onPace?.(message.secondsPerToken);
    else if (message.type === 'trained') onTrained?.(message);
    else failed = message.sentence;
  });
  const status = await new Promise((resolve) => child.once('close', resolve).once('error', resolve));
  signal?.removeEventListener('abort', stop);
  signal?.throwIfAborted();
  if (status !== 0) throw new Error(`${failed} ${said}`.trim());
}
