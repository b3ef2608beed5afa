/**
 * How far each op is from what the machine's memory or its arithmetic would allow, both measured at the start of the run.
 *
 *     npm run -s bench -- ops [--repeats N] [--threads N] [--isa reference|avx2|avx512] [--output FILE]
 *
 * native/ops/linear_bench.cc and ops_bench.cc measure; a case's peer is the ceiling that binds it, and the ratio is the share
 * of it that is reached. Above 1: the case's data lies in a cache, which is faster than the memory.
 */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { native } from '../../native/binding/index.ts';
import { readArguments, wholeNumber } from '../lib/arguments.ts';
import { root } from '../lib/checkout.ts';
import { Child } from '../lib/child.ts';
import { publish, runBench, say } from '../lib/main.ts';
import { caseResult, report } from '../lib/report.ts';
import { median } from '../lib/statistics.ts';

const benches = ['linear_bench', 'ops_bench'];

type Line =
  | { memory: number; float32: number; int8: number }
  | { case: string; us: number; least_us: number; bound: string };

async function main(argv: string[]): Promise<void> {
  const args = readArguments(argv, {
    cases: [],
    peers: [],
    values: ['threads', 'isa', 'output'],
    switches: [],
  });
  const threads = wholeNumber(args.flags, 'threads', availableParallelism());
  const isa = (args.flags.get('isa') as string | undefined) ?? native().machine().bestIsa;
  const folder = join(root, 'build');
  say('Building the benches of ops.');
  await output('cmake', ['-S', root, '-B', folder, '-DCOLOPHON_BENCHES=ON']);
  await output('cmake', [
    '--build',
    folder,
    '--parallel',
    String(availableParallelism()),
    '--target',
    ...benches,
  ]);

  const measured = new Map<string, { us: number[]; least: number[]; bound: string }>();
  for (let round = 0; round < args.repeats; round++) {
    for (const bench of benches) {
      const file = [join(folder, 'native', bench), join(folder, bench)].find(existsSync);
      if (!file) throw new Error(`${bench} is not in ${folder} after the build.`);
      for (const line of await lines(file, [String(threads), isa])) {
        if (!('case' in line)) {
          say(
            `${bench} ${round + 1}/${args.repeats}: memory ${line.memory} GB/s, float32 ${line.float32} GFLOP/s, int8 ${line.int8} GOP/s`,
          );
          continue;
        }
        const of = measured.get(line.case) ?? { us: [], least: [], bound: line.bound };
        of.us.push(line.us);
        of.least.push(line.least_us);
        measured.set(line.case, of);
      }
    }
  }
  const result = report(
    'ops',
    [...measured].map(([name, { us, least, bound }]) =>
      caseResult(name, 'us', median(us), { [bound]: median(least) }),
    ),
  );
  publish(result, args);
}

async function lines(command: string, args: string[]): Promise<Line[]> {
  const text = await output(command, args, { COLOPHON_BENCH_JSON: '1' });
  return text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);
}

async function output(command: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  return new Child(command, args, { env }).output(1800);
}

runBench(main);
