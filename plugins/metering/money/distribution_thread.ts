/** What the thread of a distribution runs: payees to the tree's file. */
import { parentPort, workerData } from 'node:worker_threads';
import { distributionOf, type Payee } from './distribution.ts';

parentPort!.postMessage(distributionOf(workerData as Payee[])?.dump() ?? null);
