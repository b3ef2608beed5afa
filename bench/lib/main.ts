/** How every bench begins and ends. */
import { join, resolve } from 'node:path';
import { type BenchArguments, UsageError } from './arguments.ts';
import { type Report, readReport, reportTable, writeReport } from './report.ts';

/** Tells whoever runs the bench how it goes; results go to stdout. */
export function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}

/** Runs a bench and ends the process: 0 or what `main` returns, 2 for wrong arguments, else 1. */
export function runBench(main: (argv: string[]) => Promise<number | void>): void {
  main(process.argv.slice(2)).then(
    (status) => process.exit(status ?? 0),
    (error: Error) => {
      say(error instanceof UsageError ? error.message : (error.stack ?? String(error)));
      process.exit(error instanceof UsageError ? 2 : 1);
    },
  );
}

/**
 * Prints a report and saves it where --output says; without it into bench/results, unless `unsaved` says why not. What is saved there
 * of cases that this run left out stays.
 */
export function publish(result: Report, { flags, quick, cases }: BenchArguments, unsaved?: string): void {
  process.stdout.write(`${reportTable(result)}\n`);
  const output = flags.get('output');
  const why = unsaved ?? (quick ? 'A quick run is not saved; --output FILE does.' : undefined);
  if (why !== undefined && output === undefined) {
    say(why);
    return;
  }
  const saved = join('bench', 'results', `${result.name}.json`);
  const file = resolve(typeof output === 'string' ? output : saved);
  const before = output === undefined ? (readReport(saved)?.cases ?? []) : [];
  const leftOut = before.filter((each) => !cases.includes(each.case));
  writeReport(file, { ...result, cases: [...leftOut, ...result.cases] });
  say(`Saved to ${file}`);
}
