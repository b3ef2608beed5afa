/** Suites that come from PyPI: installed once into an environment in the cache folder, read back from their JUnit reports. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/checkout.ts';
import { PythonEnvironment } from '../lib/python_environment.ts';
import type { ServedModel } from './ai_sdk.ts';
import { runJunit } from './junit.ts';
import type { CaseOutcome } from './suite.ts';

export const packages = [
  'duckdb==2.0.1',
  'langchain-tests==1.1.9',
  'langchain-openai==1.7.4',
  'mlcroissant==1.1.1',
  'pyarrow==26.0.1',
  'pytest==9.2.0',
  'schemathesis==4.32.5',
];

const environment = new PythonEnvironment('conformance-env', packages);
export const pythonTool = (name: string) => environment.tool(name);
export const setUpPython = () => environment.setUp();

export async function langchain({ url, model, other }: ServedModel, folder: string): Promise<CaseOutcome[]> {
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
  return runJunit(pythonTool('python'), [...args, `--junitxml=${report}`], report, {
    COLOPHON_SUITE_URL: url,
    COLOPHON_SUITE_MODEL: model,
    ...(other === undefined ? {} : { COLOPHON_SUITE_OTHER_MODEL: other }),
    PYTHONDONTWRITEBYTECODE: '1',
    LANGSMITH_TRACING: 'false',
  });
}

/** Cases that a full run, and a quick one, must have made; and seconds after which it ends all the same. */
const full = { cases: 5000, seconds: 1800 };
const brief = { cases: 100, seconds: 90 };

/** Requests made from the served document, none of which may be answered with a 5xx. Their number is a case of its own. */
export async function schemathesis(
  { url }: ServedModel,
  folder: string,
  quick: boolean,
): Promise<CaseOutcome[]> {
  const document = `${url}/openapi.json`;
  const { paths } = (await (await fetch(document)).json()) as { paths: Record<string, object> };
  const operations = Object.values(paths).flatMap((path) => Object.keys(path)).length;
  await setUpPython();
  const goal = quick ? brief : full;
  const report = join(folder, 'schemathesis.xml');
  const counts = join(folder, 'schemathesis.json');
  const examples = String(Math.ceil((2 * goal.cases) / operations));
  const outcomes = await runJunit(
    pythonTool('st'),
    [
      ...['run', document, '--checks', 'not_a_server_error', '--continue-on-failure'],
      // One worker: on several threads its generators fail at random under Python 3.11.
      // The document has no examples: their phase would only cost its time.
      ...['--phases', 'coverage,fuzzing', '--max-examples', examples, '--workers', '1'],
      ...['--generation-deterministic', '--suppress-health-check', 'all'],
      ...['--request-timeout', '60', '--max-time', String(goal.seconds)],
      ...['--report', 'junit,json', '--report-junit-path', report, '--report-json-path', counts],
    ],
    report,
  );
  return [...outcomes, readCounts(readFileSync(counts, 'utf8'), goal.cases)];
}

/** Whether schemathesis made as many cases as wanted: its JUnit report counts an operation that time left out as passed. */
export function readCounts(json: string, wanted: number): CaseOutcome {
  const { test_cases, operations } = JSON.parse(json);
  const name = `${test_cases.generated} cases over ${operations.tested} of ${operations.total} operations`;
  return test_cases.generated >= wanted
    ? { name, outcome: 'passed' }
    : { name, outcome: 'failed', why: `At least ${wanted} cases were wanted before its time ended.` };
}
