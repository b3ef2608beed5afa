/** Makes the Merkle tree of an epoch in a thread of its own: of thousands of payees it takes seconds. */
import { Worker } from 'node:worker_threads';
import { threadFile } from '../../../gateway/contract/thread_file.ts';
import type { DistributionFile, Payee } from './distribution.ts';

/** Rejects where the thread fails. Null where nobody is paid. */
export function buildDistribution(payees: readonly Payee[]): Promise<DistributionFile | null> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(threadFile(import.meta.url, 'distribution_thread'), {
      workerData: payees,
      execArgv: [],
    });
    thread.once('message', resolve);
    thread.once('error', reject);
    thread.once('exit', (code) => reject(new Error(`The thread of the distribution ended with ${code}.`)));
  });
}
