/**
 * Runs a program whose Nth write, fsync, truncation or rename below a folder fails, is torn, or is its last (faults.c). For every
 * N until a run passes without its fault: then each was tried.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const faultKinds = ['eio', 'enospc', 'full', 'short', 'torn', 'kill'] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  kind: FaultKind;
  /** Which of the calls, from 1. */
  at: number;
}

export interface FaultedRun {
  /** Lines of stdout that are whole. */
  lines: string[];
  stderr: string;
  code: number | null;
  signal: NodeJS.Signals | null;
  /** The call that the fault hit; undefined where the program ended before. */
  hit?: { call: string; path: string };
}

/** Why there can be no faults on this machine; undefined where there can. */
export const noFaults: string | undefined =
  process.platform !== 'linux'
    ? `LD_PRELOAD is Linux's, and this is ${process.platform}.`
    : ['cc', 'gcc', 'clang'].every((name) => compilerAt(name) === undefined)
      ? 'There is no C compiler (cc).'
      : undefined;

function compilerAt(name: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(':');
  return folders.map((folder) => join(folder, name)).find(existsSync);
}

let shim: string | undefined;

/** Compiled once a process. */
function compiled(): string {
  if (shim) return shim;
  const compiler = ['cc', 'gcc', 'clang'].map(compilerAt).find((path) => path !== undefined)!;
  const built = join(mkdtempSync(join(tmpdir(), 'colophon-faults-')), 'faults.so');
  const source = join(import.meta.dirname, 'faults.c');
  execFileSync(compiler, ['-O1', '-Wall', '-Werror', '-shared', '-fPIC', '-o', built, source, '-ldl']);
  shim = built;
  return built;
}

/** Runs a script in Node until it ends. Faults are in files below `folder`. */
export async function runFaulted(
  script: string,
  args: readonly string[],
  folder: string,
  fault?: Fault,
): Promise<FaultedRun> {
  const env = {
    ...process.env,
    ...(fault && {
      LD_PRELOAD: compiled(),
      COLOPHON_FAULT_FOLDER: realpathSync(folder),
      COLOPHON_FAULT_AT: String(fault.at),
      COLOPHON_FAULT_KIND: fault.kind,
    }),
  };
  const child = spawn(process.execPath, [script, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (...how) => resolve(how));
  });
  const [, call, path] = /^fault \w+ at \d+: (\S+) (.*)$/m.exec(stderr) ?? [];
  return {
    lines: stdout.split('\n').slice(0, -1),
    stderr,
    code,
    signal,
    ...(call === undefined ? {} : { hit: { call, path: path! } }),
  };
}

/**
 * Tries each `stride`-th call from `first` on, until a run ends before its fault; gives how many faults there were. `run` is to run
 * with the fault, look at what came of it, and say whether the fault hit.
 */
export async function everyFault(
  kind: FaultKind,
  { first, stride }: { first: number; stride: number },
  run: (fault: Fault) => Promise<boolean>,
): Promise<number> {
  for (let at = first, faults = 0; ; at += stride, faults++) if (!(await run({ kind, at }))) return faults;
}
