/** A job's process: starts it, reads what it tells, ends it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { threadFile } from '../../gateway/contract/thread_file.ts';
import type { WorkerEnd, WorkerMessage } from './worker.ts';

/** What a process that ended without a word may have been ended by. */
const silent = 'The training process ended without saying why; the machine may have been out of memory.';

export class Runner {
  readonly #child: ChildProcess;
  /** The last message, once the process has ended. */
  readonly ended: Promise<WorkerEnd>;

  constructor(folder: string, onProgress: (message: Exclude<WorkerMessage, WorkerEnd>) => void) {
    const child = spawn(process.execPath, [threadFile(import.meta.url, 'worker'), folder], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    let last: WorkerEnd | undefined;
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-2000);
    });
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const message = JSON.parse(line) as WorkerMessage;
      if (message.type === 'done' || message.type === 'failed') last = message;
      else onProgress(message);
    });
    const read = new Promise((resolve) => lines.once('close', resolve));
    const exited = new Promise((resolve) => child.once('close', resolve).once('error', resolve));
    this.ended = Promise.all([read, exited]).then(
      () =>
        last ?? {
          type: 'failed',
          code: 'killed',
          sentence: said.trim() ? `${silent} Its last words: ${said.trim()}` : silent,
        },
    );
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** It ends after the step that is under way and keeps what was done. */
  stop(): void {
    this.#child.kill('SIGTERM');
  }

  /** It ends at once; its last checkpoint stays. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }
}
