/** Makes the Merkle tree of an epoch in a thread of its own: of thousands of payees it takes seconds. */
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { DistributionFile, Payee } from './distribution.ts';

const root = join(import.meta.dirname, '..', '..', '..');

/** Rejects where the thread fails. Null where nobody is paid. */
export function buildDistribution(payees: readonly Payee[]): Promise<DistributionFile | null> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(threadFile(), { workerData: payees });
    thread.once('message', resolve);
    thread.once('error', reject);
    thread.once('exit', (code) => reject(new Error(`The thread of the distribution ended with ${code}.`)));
  });
}

/** Compiled: Node 20 starts no thread from TypeScript. Tests, which are not compiled, take what the build has made. */
function threadFile(): string {
  const compiled = join(import.meta.dirname, 'distribution_thread.js');
  if (existsSync(compiled)) return compiled;
  return join(root, 'dist', relative(root, import.meta.dirname), 'distribution_thread.js');
}
