/** The cases of Open Responses, which are tests of the gateway like any other; here only their report is read. */
import { join } from 'node:path';
import { root } from '../lib/checkout.ts';
import type { ServedModel } from './ai_sdk.ts';
import { runJunit } from './junit.ts';
import type { CaseOutcome } from './suite.ts';

/** Over the mock that the tests script, not over the model that is served. */
export function openResponses(_served: ServedModel, folder: string): Promise<CaseOutcome[]> {
  const report = join(folder, 'open_responses.xml');
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const file = join('gateway', 'e2e', 'open_responses.test.ts');
  const args = [vitest, 'run', file, `--root=${root}`, '--reporter=junit', `--outputFile=${report}`];
  return runJunit(process.execPath, args, report);
}
