/**
 * Other people's suites against the real server with the default model: `npm run conformance`.
 *
 *     npm run -s conformance [SUITE...] [--model FILE] [--url URL --name MODEL] [--output FILE] [--quick]
 *
 * Suites: ai-sdk, openai-client, open-responses, langchain, schemathesis, parquet-readers, croissant-readers,
 * envelope-readers, peft, guidellm;
 * without a name, all. `--quick`
 * lets schemathesis make a hundred cases, not 5,000. `--url` asks a server that runs already.
 * Saves bench/results/conformance.json, where all suites ran, and prints it. Status 1 where a case failed.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { resolveModel } from '../../gateway/models/index.ts';
import { UsageError } from '../lib/arguments.ts';
import { baseShapeOf } from '../lib/base_shape.ts';
import { root } from '../lib/checkout.ts';
import { startColophon } from '../lib/colophon_server.ts';
import { commit, machine } from '../lib/machine.ts';
import { runBench, say } from '../lib/main.ts';
import { peftEnvironment } from '../lib/peft_environment.ts';
import { adapterName, makeAdapters } from '../lib/synthetic_adapters.ts';
import { aiSdkCases, type ServedModel } from './ai_sdk.ts';
import { croissantReaders } from './croissant_readers.ts';
import { envelopePackages, envelopeReaders } from './envelope_readers.ts';
import { guidellm, guidellmPackages } from './guidellm.ts';
import { openResponses } from './open_responses.ts';
import { openaiClientCases } from './openai_client.ts';
import { openaiSocketCases } from './openai_sockets.ts';
import { openaiStoredCases } from './openai_stored.ts';
import { parquetReaders } from './parquet_readers.ts';
import { peft } from './peft.ts';
import { langchain, packages, schemathesis } from './python_suites.ts';
import { type CaseOutcome, oneLine, runCases } from './suite.ts';

type Suite = (served: ServedModel, folder: string, quick: boolean, model?: string) => Promise<CaseOutcome[]>;

const suites: Record<string, Suite> = {
  'ai-sdk': (served) => runCases(aiSdkCases(served)),
  'openai-client': (served) =>
    runCases([...openaiClientCases(served), ...openaiStoredCases(served), ...openaiSocketCases(served)]),
  'open-responses': openResponses,
  langchain,
  schemathesis,
  'parquet-readers': (_, folder) => parquetReaders(folder),
  'croissant-readers': (_, folder) => croissantReaders(folder),
  'envelope-readers': (_, folder) => envelopeReaders(folder),
  guidellm,
  peft: async (_, folder, __, model) => peft((await resolveModel(model)).path, folder),
};

/** They read files, or start a server of their own. */
const withoutServer = ['parquet-readers', 'croissant-readers', 'envelope-readers', 'peft'];

interface SuiteResult {
  suite: string;
  passed: number;
  failed: number;
  skipped: number;
  seconds: number;
  cases: CaseOutcome[];
}

async function main(argv: string[]): Promise<number> {
  const { positionals, values } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      model: { type: 'string' },
      url: { type: 'string' },
      name: { type: 'string' },
      output: { type: 'string' },
      quick: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.find((name) => !Object.hasOwn(suites, name));
  if (unknown !== undefined)
    throw new UsageError(`There is no suite "${unknown}". There are: ${Object.keys(suites).join(', ')}.`);
  const chosen = positionals.length > 0 ? positionals : Object.keys(suites);
  const folder = mkdtempSync(join(tmpdir(), 'colophon-conformance-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const given = { url: values.url ?? '', model: values.name ?? 'base' };
  const asks = !values.url && chosen.some((name) => !withoutServer.includes(name));
  const served = asks ? await start(folder, values.model) : given;
  const results: SuiteResult[] = [];
  for (const name of chosen) {
    say(`${name} ...`);
    const began = performance.now();
    const cases = await suites[name]!(served, folder, values.quick, values.model).catch(
      (error: Error): CaseOutcome[] => [
        { name: 'the suite itself', outcome: 'failed', why: oneLine(error.message) },
      ],
    );
    const count = (outcome: string) => cases.filter((one) => one.outcome === outcome).length;
    results.push({
      suite: name,
      passed: count('passed'),
      failed: count('failed'),
      skipped: count('skipped'),
      seconds: Math.round((performance.now() - began) / 1000),
      cases,
    });
  }
  process.stdout.write(`${table(results)}\n`);
  save(results, values.output ?? (positionals.length > 0 ? undefined : 'bench/results/conformance.json'));
  return results.some((one) => one.failed > 0) ? 1 : 0;
}

async function start(folder: string, file: string | undefined): Promise<ServedModel> {
  const model = await resolveModel(file);
  const adapterFolder = join(folder, 'adapters');
  mkdirSync(adapterFolder);
  makeAdapters(adapterFolder, await baseShapeOf(model.path), 4, 1);
  const { url } = await startColophon(
    {
      gguf: model.path,
      adapterFolder,
      threads: availableParallelism(),
      kvBytes: 2 ** 28,
      adapterBytes: 2 ** 26,
      limit: 300,
    },
    false,
  );
  return { url, model: 'base', other: adapterName(0) };
}

/** What did not pass is named, with its reason. */
function table(results: SuiteResult[]): string {
  const lines: string[] = [];
  for (const { suite, passed, failed, skipped, seconds, cases } of results) {
    lines.push(`${suite}: ${passed} passed, ${failed} failed, ${skipped} skipped (${seconds} s)`);
    for (const { name, outcome, why } of cases)
      if (outcome !== 'passed') lines.push(`  ${outcome}  ${name}: ${why ?? ''}`);
  }
  return lines.join('\n');
}

/** Of the suites and of the clients that they drive. */
function versions(): string[] {
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  ) as Record<'dependencies' | 'devDependencies', Record<string, string>>;
  const ours = Object.entries({ ...dependencies, ...devDependencies })
    .filter(([name]) => ['ai', 'openai', '@ai-sdk/openai-compatible'].includes(name))
    .map(([name, version]) => `${name}@${version}`);
  return [...ours, ...packages, ...envelopePackages, ...guidellmPackages, ...peftEnvironment.packages].sort();
}

function save(results: SuiteResult[], output: string | undefined): void {
  if (output === undefined) {
    say('Only some suites ran: nothing is saved; --output FILE does.');
    return;
  }
  const file = resolve(output);
  mkdirSync(dirname(file), { recursive: true });
  const report = {
    name: 'conformance',
    date: new Date().toISOString(),
    commit: commit(),
    machine: machine(),
    versions: versions(),
    suites: results,
  };
  writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`);
  writeFileSync(file.replace(/\.json$/, '.txt'), `${table(results)}\n`);
  say(`Saved to ${file}`);
}

runBench(main);
