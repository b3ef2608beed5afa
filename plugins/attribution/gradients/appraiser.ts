/** Asks a process of its own what moved the model to an answer, one answer at a time and within a part of the machine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { threadFile } from '../../../gateway/contract/thread_file.ts';
import type { GradientEvidence, Opened, Question } from './worker.ts';

/** A process that nobody asks ends after so long: it holds a base. */
const idleMs = 30_000;

interface Running {
  /** What it has opened. */
  key: string;
  child: ChildProcess;
  lines: Interface;
  /** Its last words. */
  said(): string;
}

export class Appraiser {
  readonly #part: number;
  #process: Running | undefined;
  #idle: NodeJS.Timeout | undefined;
  readonly #stop = new AbortController();

  /** `budget`: part of the machine's processors that it may use, above 0 to 1. */
  constructor(budget: number) {
    // It computes on one thread.
    this.#part = Math.min(1, budget * availableParallelism());
  }

  /** Rejects with a sentence where the process ends before its answer. Not two at once. */
  async evidence(opened: Opened, question: Question): Promise<GradientEvidence> {
    clearTimeout(this.#idle);
    const from = performance.now();
    const { child, lines, said } = this.#open(opened);
    const line = await new Promise<string>((resolve, reject) => {
      const lost = () => {
        this.#process = undefined;
        reject(new Error(`The process that settles by gradients ended. ${said()}`.trim()));
      };
      lines.once('line', (text) => {
        child.off('close', lost);
        resolve(text);
      });
      child.once('close', lost).once('error', lost);
      child.stdin!.write(`${JSON.stringify(question)}\n`);
    });
    // It rests for as long as keeps what it has used within its part.
    const worked = performance.now() - from;
    this.#idle = setTimeout(() => this.#end(), idleMs);
    this.#idle.unref();
    await pause(worked * (1 / this.#part - 1), undefined, { signal: this.#stop.signal }).catch(() => {});
    return JSON.parse(line) as GradientEvidence;
  }

  close(): void {
    this.#stop.abort();
    this.#end();
  }

  #open(opened: Opened): Running {
    const key = JSON.stringify(opened);
    if (this.#process?.key === key) return this.#process;
    this.#end();
    const child = spawn(process.execPath, [threadFile(import.meta.url, 'worker'), key], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (more: string) => {
      text = (text + more).slice(-1000);
    });
    child.stdin.on('error', () => {}); // Its end is told by `close`.
    const lines = createInterface({ input: child.stdout });
    this.#process = { key, child, lines, said: () => text.trim() };
    return this.#process;
  }

  #end(): void {
    clearTimeout(this.#idle);
    this.#process?.child.kill('SIGKILL');
    this.#process = undefined;
  }
}
