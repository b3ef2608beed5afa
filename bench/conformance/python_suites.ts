/** Suites that come from PyPI: installed once into an environment in the cache folder, read back from their JUnit reports. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheFolder } from '../../gateway/models/index.ts';
import { root } from '../lib/checkout.ts';
import { Child } from '../lib/child.ts';
import { say } from '../lib/main.ts';
import type { ServedModel } from './ai_sdk.ts';
import { type CaseOutcome, oneLine } from './suite.ts';

const packages = [
  'duckdb==2.0.1',
  'langchain-tests==1.1.9',
  'langchain-openai==1.7.4',
  'pyarrow==26.0.1',
  'pytest==9.2.0',
  'schemathesis==4.32.5',
];

/** Seconds that installing, and each suite, may take. */
const limit = 3600;

const environment = () => join(cacheFolder(), 'conformance-env');
/** A program of the environment, once it is set up. */
export const pythonTool = (name: string) => join(environment(), 'bin', name);

/** Installs what the suites need, where it is not there yet. */
export async function setUpPython(): Promise<void> {
  const done = join(environment(), 'colophon-packages');
  const wanted = packages.join('\n');
  if (existsSync(done) && readFileSync(done, 'utf8') === wanted) return;
  say('Installing the suites of PyPI ...');
  mkdirSync(dirname(environment()), { recursive: true });
  await new Child('python3', ['-m', 'venv', environment()]).output(limit);
  await new Child(pythonTool('python'), [
    ...['-m', 'pip', 'install', '--disable-pip-version-check', '-q'],
    ...packages,
  ]).output(limit);
  writeFileSync(done, wanted);
}

/** Runs a program that writes a JUnit report whether its cases pass or fail. */
async function run(command: string, args: string[], report: string, env: NodeJS.ProcessEnv = {}) {
  const child = new Child(command, args, { narrates: true, env, cwd: dirname(report) });
  const status = await child.exited;
  if (existsSync(report)) return readJunit(readFileSync(report, 'utf8'));
  throw new Error(`${command} ended with status ${status} and left no report. ${child.lastWords()}`);
}

export async function langchain({ url, model }: ServedModel, folder: string): Promise<CaseOutcome[]> {
  await setUpPython();
  const report = join(folder, 'langchain.xml');
  const suite = join(root, 'bench', 'conformance', 'langchain_suite.py');
  // The tests keep their snapshots and caches beside where they run.
  const args = [
    '-m',
    'pytest',
    suite,
    '-q',
    '-o',
    'asyncio_mode=auto',
    '-o',
    'asyncio_default_test_loop_scope=session',
    '-p',
    'no:cacheprovider',
    `--rootdir=${folder}`,
  ];
  return run(pythonTool('python'), [...args, `--junitxml=${report}`], report, {
    COLOPHON_SUITE_URL: url,
    COLOPHON_SUITE_MODEL: model,
    PYTHONDONTWRITEBYTECODE: '1',
    LANGSMITH_TRACING: 'false',
  });
}

/** At least `cases` requests made from the served document, none of which may be answered with a 5xx. */
export async function schemathesis({ url }: ServedModel, folder: string): Promise<CaseOutcome[]> {
  const document = `${url}/openapi.json`;
  const served = await fetch(document);
  if (!served.ok) {
    return [
      {
        name: 'openapi.json',
        outcome: 'skipped',
        why: `The server has no ${document} yet (${served.status}).`,
      },
    ];
  }
  const { paths } = (await served.json()) as { paths: Record<string, object> };
  const operations = Object.values(paths).flatMap((path) => Object.keys(path)).length;
  await setUpPython();
  const report = join(folder, 'schemathesis.xml');
  const examples = String(Math.ceil((2 * 5000) / operations));
  return run(
    pythonTool('st'),
    [
      ...[
        'run',
        document,
        '--checks',
        'not_a_server_error',
        '--continue-on-failure',
        '--max-examples',
        examples,
      ],
      ...['--phases', 'examples,coverage,fuzzing', '--generation-deterministic', '--request-timeout', '60'],
      // It goes on for as long as it may, and no longer.
      ...['--max-time', '360'],
      ...['--suppress-health-check', 'all', '--report', 'junit', '--report-junit-path', report],
    ],
    report,
  );
}

/** The cases of a JUnit report. */
export function readJunit(xml: string): CaseOutcome[] {
  return [...xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].map(([, head, body]) => {
    const name = unescapeXml(/\bname="([^"]*)"/.exec(head!)?.[1] ?? '');
    const told = /<(failure|error|skipped)\b([^>]*?)(?:\/>|>([\s\S]*?)<\/\1>)/.exec(body ?? '');
    if (!told) return { name, outcome: 'passed' as const };
    const message = /\bmessage="([^"]*)"/.exec(told[2]!)?.[1];
    const why = oneLine(unescapeXml(message ?? told[3] ?? ''));
    // What pytest expected to fail and did is reported as skipped, as what was left out is.
    return { name, outcome: told[1] === 'skipped' ? ('skipped' as const) : ('failed' as const), why };
  });
}

function unescapeXml(text: string): string {
  const named: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hex, name) => {
    if (name) return named[name] ?? whole;
    return String.fromCodePoint(decimal ? Number(decimal) : Number.parseInt(hex, 16));
  });
}
