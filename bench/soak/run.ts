/**
 * Churn for as long as asked: loads, unloads, replacements, swapped files, clients that leave. Fails where one answer differs from its
 * solo run, or where memory grows.
 *
 *     npm run -s bench -- soak [--minutes N] [--seed N] [--model FILE] [--threads N] [--limit SECONDS]
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveModel } from '../../gateway/models/index.ts';
import { readArguments, UsageError, wholeNumber } from '../lib/arguments.ts';
import { baseShapeOf } from '../lib/base_shape.ts';
import { startColophon } from '../lib/colophon_server.ts';
import { runBench, say } from '../lib/main.ts';
import { median } from '../lib/statistics.ts';
import { type ChurnReport, churn } from './churn.ts';

/** Of the last third's median memory over the middle third's: what is flat. */
const flat = 1.03;

async function main(argv: string[]): Promise<number> {
  const args = readArguments(argv, {
    cases: [],
    peers: [],
    values: ['minutes', 'seed', 'model', 'threads', 'limit'],
    switches: [],
  });
  const minutes = wholeNumber(args.flags, 'minutes', 15);
  const model = await resolveModel(args.flags.get('model') as string | undefined);
  if (model.format !== 'gguf') throw new UsageError(`${model.path} is not a GGUF file.`);
  const work = mkdtempSync(join(tmpdir(), 'colophon-soak-'));
  process.on('exit', () => rmSync(work, { recursive: true, force: true }));
  const adapterFolder = join(work, 'served');
  mkdirSync(adapterFolder);
  const { child, url } = await startColophon(
    {
      gguf: model.path,
      adapterFolder,
      threads: wholeNumber(args.flags, 'threads', availableParallelism()),
      kvBytes: 2 ** 26,
      // Room for about a third of all contents.
      adapterBytes: 24e6,
      limit: wholeNumber(args.flags, 'limit', 120),
    },
    false,
  );
  say('Asking every adapter alone ...');
  const memory: number[] = [];
  let end: number | undefined;
  let sampler: NodeJS.Timeout | undefined;
  const report = await churn({
    url,
    base: 'base',
    shape: await baseShapeOf(model.path),
    work,
    adapterFolder,
    ranks: [2, 8, 16],
    contentsPerRank: 4,
    prompts: 8,
    names: 6,
    clients: 16,
    changers: 3,
    seed: wholeNumber(args.flags, 'seed', 1),
    done: () => {
      child.assertRunning();
      if (end === undefined) {
        end = performance.now() + minutes * 60_000;
        sampler = setInterval(() => {
          memory.push(child.memory());
          if (memory.length % 30 === 0) say(`${memory.length} s: ${Math.round(memory.at(-1)!)} MB`);
        }, 1000);
      }
      return performance.now() > end;
    },
  });
  clearInterval(sampler);
  child.end();
  return verdict(report, memory);
}

/** Prints what happened; 0 where every answer was right and memory flat. */
function verdict(report: ChurnReport, memory: number[]): number {
  const { wrong, ...counts } = report;
  process.stdout.write(
    `${Object.entries(counts)
      .map(([what, count]) => `${what} ${count}`)
      .join(', ')}\n`,
  );
  for (const sentence of wrong) process.stdout.write(`WRONG: ${sentence}\n`);
  const third = Math.floor(memory.length / 3);
  const middle = median(memory.slice(third, 2 * third));
  const last = median(memory.slice(2 * third));
  const growth = last / middle;
  process.stdout.write(
    `Memory: ${Math.round(middle)} MB in the middle third, ${Math.round(last)} MB in the last (${growth.toFixed(3)}x; at most ` +
      `${flat}x), peak ${Math.round(Math.max(...memory))} MB\n`,
  );
  return wrong.length > 0 || report.answers === 0 || growth > flat ? 1 : 0;
}

runBench(main);
