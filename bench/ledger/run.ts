/**
 * What it costs to record every token before it leaves, and to sign and log a receipt of every answer. README.md beside this file says
 * what each case is.
 *
 *     npm run -s bench -- ledger [--cases NAMES] [--repeats N] [--quick] [--threads N] [--model FILE] [--output FILE]
 */
import { availableParallelism } from 'node:os';
import { resolveModel } from '../../gateway/models/index.ts';
import { readArguments, UsageError, wholeNumber } from '../lib/arguments.ts';
import { publish, runBench } from '../lib/main.ts';
import { type CaseResult, report } from '../lib/report.ts';
import { meteringCost } from './metering_cost.ts';
import { appends, receipts } from './receipts.ts';
import { rerunSeconds } from './rerun.ts';

const cases = [
  'metering-cost-64',
  'appends-per-second',
  'verify-receipt-ms',
  'verify-rerun-seconds',
  'proof-bytes',
] as const;

async function main(argv: string[]): Promise<void> {
  const args = readArguments(argv, {
    cases,
    peers: [],
    values: ['model', 'threads', 'output'],
    switches: [],
  });
  const { quick, repeats } = args;
  const model = await resolveModel(args.flags.get('model') as string | undefined);
  if (model.format !== 'gguf') throw new UsageError(`${model.path} is not a GGUF file.`);
  const threads = wholeNumber(args.flags, 'threads', availableParallelism());
  const chosen = (...ids: Array<(typeof cases)[number]>) => ids.some((id) => args.cases.includes(id));
  const results: CaseResult[] = [];
  if (chosen('metering-cost-64'))
    results.push(await meteringCost({ gguf: model.path, threads, pairs: quick ? 1 : 2 * repeats }));
  if (chosen('appends-per-second')) results.push(await appends(quick ? 200 : 4000, repeats));
  if (chosen('verify-receipt-ms', 'proof-bytes')) results.push(...(await receipts(quick ? 500 : 100_000)));
  if (chosen('verify-rerun-seconds'))
    results.push(await rerunSeconds({ gguf: model.path, threads, repeats }));
  publish(
    report(
      'ledger',
      results.filter((each) => args.cases.includes(each.case)),
    ),
    args,
  );
}

runBench(main);
