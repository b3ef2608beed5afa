/**
 * Attribution: what the trace index costs, and how faithful scores are that say which example taught an answer, beside simple
 * baselines and Python peers.
 *
 *     npm run -s bench -- attribution [--cases NAMES] [--peers NAMES] [--repeats N] [--subsets N] [--quick] [--threads N]
 *                                     [--model FILE] [--work FOLDER] [--output FILE]
 *
 * Trainings stay in the work folder, each kept as soon as it is done, and a run goes on with them; cases that are left out keep
 * their saved results.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { cacheFolder, resolveModel } from '../../gateway/models/index.ts';
import { readArguments, UsageError, wholeNumber } from '../lib/arguments.ts';
import { publish, runBench } from '../lib/main.ts';
import { type CaseResult, type Report, report } from '../lib/report.ts';
import { fidelityData, fingerprint } from './data.ts';
import { full, recipe } from './protocol.ts';
import { adapterOf, retrained } from './retrains.ts';
import { corpusOf, indexCost, traceCost } from './trace.ts';

const cases = ['trace-cost-64', 'index-bytes-per-token', 'index-build-tokens'] as const;

async function main(argv: string[]): Promise<void> {
  const args = readArguments(argv, {
    cases,
    peers: [],
    values: ['model', 'threads', 'subsets', 'work', 'output'],
    switches: [],
  });
  const { quick, repeats } = args;
  const model = await resolveModel(args.flags.get('model') as string | undefined);
  if (model.format !== 'gguf') throw new UsageError(`${model.path} is not a GGUF file.`);
  const gguf = model.path;
  const threads = wholeNumber(args.flags, 'threads', availableParallelism());
  const classes = quick ? 2 : 6;
  const data = await fidelityData(gguf, classes);
  const work = String(args.flags.get('work') ?? join(cacheFolder(), 'bench-attribution'));
  const folder = join(work, fingerprint(data, recipe));
  mkdirSync(folder, { recursive: true });
  const setting = { gguf, classes, threads, folder };
  const count = data.train.examples.length;
  const chosen = (...ids: (typeof cases)[number][]) => ids.some((id) => args.cases.includes(id));
  const results: CaseResult[] = [];
  if (chosen('trace-cost-64', 'index-bytes-per-token', 'index-build-tokens')) {
    const corpus = await corpusOf(gguf, work);
    if (chosen('trace-cost-64')) {
      await retrained(setting, [full(count)]);
      const adapter = await adapterOf(setting, 'full');
      const queries = data.queries.examples;
      const turns = quick ? 2 : 4 * repeats;
      results.push(await traceCost({ gguf, threads, adapter, corpus, queries, turns }));
    }
    if (chosen('index-bytes-per-token', 'index-build-tokens'))
      results.push(...(await indexCost(corpus, work, repeats)));
  }
  const now = results.filter((each) => args.cases.includes(each.case));
  publish(report('attribution', quick ? now : [...kept(args.cases), ...now]), args);
}

/** Results of the cases that this run leaves out. */
function kept(now: string[]): CaseResult[] {
  const file = join('bench', 'results', 'attribution.json');
  if (!existsSync(file)) return [];
  const saved = JSON.parse(readFileSync(file, 'utf8')) as Report;
  return saved.cases.filter((each) => !now.includes(each.case));
}

runBench(main);
