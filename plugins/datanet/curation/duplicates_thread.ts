/** What the one thread of a search for duplicates runs: to compare a million rows takes it longer than a request may wait. */
import { workerData } from 'piscina';
import { DuplicateSearch } from './duplicates.ts';
import type { FingerprintSettings, Fingerprints } from './fingerprints.ts';
import type { Findings } from './stage.ts';

/** Rows come; those that were set aside meanwhile are named; then what was found is asked for until there is no more. */
export type DuplicatesTask =
  | { kind: 'add'; prints: Fingerprints; takes: Uint8Array }
  | { kind: 'without'; seqs: number[] }
  | { kind: 'next' };

const search = new DuplicateSearch(workerData as FingerprintSettings);
const without = new Set<number>();
let found: Iterator<Findings> | undefined;

export default function run(task: DuplicatesTask): Findings | null {
  if (task.kind === 'add') search.add(task.prints, task.takes);
  else if (task.kind === 'without') for (const seq of task.seqs) without.add(seq);
  else {
    found ??= search.end(without);
    return found.next().value ?? null;
  }
  return null;
}
