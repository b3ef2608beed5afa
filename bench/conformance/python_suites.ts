/** Suites that come from PyPI: installed once into an environment in the cache folder, read back from their JUnit reports. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheFolder } from '../../gateway/models/index.ts';
import { root } from '../lib/checkout.ts';
import { Child } from '../lib/child.ts';
import { say } from '../lib/main.ts';
import type { ServedModel } from './ai_sdk.ts';
import { runJunit } from './junit.ts';
import type { CaseOutcome } from './suite.ts';

const packages = [
  'langchain-tests==1.1.9',
  'langchain-openai==1.7.4',
  'pytest==9.2.0',
  'schemathesis==4.32.5',
];

/** Seconds that installing, and each suite, may take. */
const limit = 3600;

const environment = () => join(cacheFolder(), 'conformance-env');
const tool = (name: string) => join(environment(), 'bin', name);

async function setUp(): Promise<void> {
  const done = join(environment(), 'colophon-packages');
  const wanted = packages.join('\n');
  if (existsSync(done) && readFileSync(done, 'utf8') === wanted) return;
  say('Installing the suites of PyPI ...');
  mkdirSync(dirname(environment()), { recursive: true });
  await new Child('python3', ['-m', 'venv', environment()]).output(limit);
  await new Child(tool('python'), [
    ...['-m', 'pip', 'install', '--disable-pip-version-check', '-q'],
    ...packages,
  ]).output(limit);
  writeFileSync(done, wanted);
}

export async function langchain({ url, model }: ServedModel, folder: string): Promise<CaseOutcome[]> {
  await setUp();
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
  return runJunit(tool('python'), [...args, `--junitxml=${report}`], report, {
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
  await setUp();
  const report = join(folder, 'schemathesis.xml');
  const examples = String(Math.ceil((2 * 5000) / operations));
  return runJunit(
    tool('st'),
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
