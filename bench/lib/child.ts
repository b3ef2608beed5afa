/**
 * Processes that a bench starts: each leads a group of its own, can be frozen while another is measured, and is ended with
 * its group when the bench ends, however it ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const running = new Set<Child>();

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => process.exit(status));
}
process.on('exit', () => {
  for (const child of running) child.end();
});

export interface ChildOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** A server's stdout is narration: kept for messages only. */
  narrates?: boolean;
}

export class Child {
  /** What it wrote to stderr last, and to stdout where nothing reads that; for messages. */
  #said = '';
  readonly #process: ChildProcess;
  readonly exited: Promise<number | null>;
  readonly #lines: string[] = [];
  #waiting: { resolve(line: string): void; reject(error: Error): void } | undefined;
  #gone: Error | undefined;
  readonly #label: string;

  constructor(command: string, args: string[], options: ChildOptions = {}) {
    this.#label = command.split('/').at(-1)!;
    this.#process = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    running.add(this);
    this.#process.stdin!.on('error', () => {}); // A child that is gone is told by its exit.
    this.#process.stderr!.setEncoding('utf8').on('data', (text: string) => this.#remember(text));
    if (options.narrates)
      this.#process.stdout!.setEncoding('utf8').on('data', (text: string) => this.#remember(text));
    else createInterface({ input: this.#process.stdout! }).on('line', (line) => this.#take(line));
    this.exited = new Promise((resolve) => {
      this.#process.once('error', (error) => this.#lost(new Error(error.message), resolve, null));
      this.#process.once('close', (code, signal) => {
        const how = signal ? `was ended by ${signal}` : `ended with status ${code}`;
        this.#lost(new Error(`${this.#label} ${how}. ${this.lastWords()}`.trim()), resolve, code);
      });
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Throws when the process is gone. */
  assertRunning(): void {
    if (this.#gone) throw this.#gone;
  }

  /** The end of what it said, for the reason of an absent value. */
  lastWords(): string {
    const lines = this.#said.split('\n').filter((line) => line.trim() !== '');
    return lines.slice(-6).join(' | ').slice(-800);
  }

  send(line: string): void {
    this.assertRunning();
    this.#process.stdin!.write(`${line}\n`);
  }

  /** The next line of its stdout. */
  line(limitSeconds: number): Promise<string> {
    const ready = this.#lines.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    if (this.#gone) return Promise.reject(this.#gone);
    return withLimit(
      new Promise<string>((resolve, reject) => {
        this.#waiting = { resolve, reject };
      }),
      limitSeconds,
      this.#label,
    ).finally(() => {
      this.#waiting = undefined;
    });
  }

  /** Everything it writes to stdout until it ends by itself with status 0. */
  async output(limitSeconds: number): Promise<string> {
    this.#process.stdin!.end();
    const status = await withLimit(this.exited, limitSeconds, this.#label);
    if (status !== 0) throw this.#gone!;
    return this.#lines.join('\n');
  }

  /** Frozen: it takes no processor time from what is measured next. */
  freeze(): void {
    this.#signal('SIGSTOP');
  }

  thaw(): void {
    this.#signal('SIGCONT');
  }

  /** Ends it and what it started. */
  end(): void {
    this.#signal('SIGKILL');
    running.delete(this);
  }

  /** Megabytes that the process and its descendants hold; pages that they share count once. */
  memory(): number {
    let kilobytes = 0;
    for (const pid of descendants(this.pid)) {
      try {
        kilobytes += Number(
          /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0,
        );
      } catch {
        // It ended in between.
      }
    }
    return (kilobytes * 1024) / 1e6;
  }

  /** Lets it do nothing until goOn(). */
  stop(): void {
    this.#signal('SIGSTOP');
  }

  goOn(): void {
    this.#signal('SIGCONT');
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#gone || this.pid === 0) return;
    try {
      process.kill(-this.pid, signal);
    } catch {
      // It ended in between.
    }
  }

  #remember(text: string): void {
    this.#said = (this.#said + text).slice(-8000);
  }

  #take(line: string): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) waiting.resolve(line);
    else this.#lines.push(line);
  }

  #lost(reason: Error, resolve: (code: number | null) => void, code: number | null): void {
    running.delete(this);
    this.#gone = reason;
    this.#waiting?.reject(reason);
    resolve(code);
  }
}

/** Rejects when it takes longer than the limit. */
export async function withLimit<T>(work: Promise<T>, seconds: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${what} took longer than ${seconds} s (--limit raises that).`)),
      seconds * 1000,
    );
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function descendants(pid: number): number[] {
  const found = [pid];
  for (let i = 0; i < found.length; i++) {
    try {
      // Children are listed with the thread that started them.
      for (const thread of readdirSync(`/proc/${found[i]}/task`)) {
        const children = readFileSync(`/proc/${found[i]}/task/${thread}/children`, 'utf8');
        found.push(
          ...children
            .split(' ')
            .filter((text) => text !== '')
            .map(Number),
        );
      }
    } catch {
      // It ended in between.
    }
  }
  return found;
}
