/** Runs command lines inside the test's process and keeps what they print. */
import { Writable } from 'node:stream';
import { main } from './main.ts';
import { Output, type OutputOptions } from './output.ts';

export interface Printed {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** `colophon ARGS`, with the process's streams and environment replaced meanwhile. */
export async function colophon(args: string[], env: NodeJS.ProcessEnv): Promise<Printed> {
  const printed = { exitCode: 0, stdout: '', stderr: '' };
  const kept = { env: process.env, stdout: process.stdout.write, stderr: process.stderr.write };
  process.env = { PATH: kept.env.PATH, HOME: kept.env.HOME, ...env };
  for (const name of ['stdout', 'stderr'] as const) {
    process[name].write = ((text: string) => {
      printed[name] += text;
      return true;
    }) as typeof process.stdout.write;
  }
  try {
    printed.exitCode = await main(args);
  } finally {
    process.env = kept.env;
    process.stdout.write = kept.stdout;
    process.stderr.write = kept.stderr;
  }
  return printed;
}

/** An Output that keeps what it is given. */
export function keepingOutput(options: OutputOptions = {}): {
  output: Output;
  printed: Omit<Printed, 'exitCode'>;
} {
  const printed = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk, _encoding, done) {
        printed[name] += String(chunk);
        done();
      },
    });
  return { output: new Output(options, { stdout: stream('stdout'), stderr: stream('stderr') }), printed };
}
