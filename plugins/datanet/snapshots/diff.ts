/** What is in one snapshot and not in another: both are in the order of their hashes, and are read side by side. */
import type { SnapshotEntry } from '../model.ts';
import type { Manifest } from './manifest.ts';

export type Difference =
  | { change: 'added' | 'removed'; entry: SnapshotEntry }
  | { change: 'moved'; entry: SnapshotEntry; from: SnapshotEntry['split'] };

export interface DiffCounts {
  added: number;
  removed: number;
  /** To another split. */
  moved: number;
  /** In both, in the same split. */
  same: number;
  /** By contributor's id. */
  contributors: Record<string, { added: number; removed: number }>;
}

/** Differences in the order of hashes. */
export async function* differences(before: Manifest, after: Manifest): AsyncGenerator<Difference | 'same'> {
  const olds = one(before);
  const news = one(after);
  let old = await olds.next();
  let now = await news.next();
  while (!old.done || !now.done) {
    if (now.done || (!old.done && old.value.hash < now.value.hash)) {
      yield { change: 'removed', entry: old.value as SnapshotEntry };
      old = await olds.next();
    } else if (old.done || now.value.hash < old.value.hash) {
      yield { change: 'added', entry: now.value };
      now = await news.next();
    } else {
      const from = old.value.split;
      yield from === now.value.split ? 'same' : { change: 'moved', entry: now.value, from };
      old = await olds.next();
      now = await news.next();
    }
  }
}

export async function countDifferences(before: Manifest, after: Manifest): Promise<DiffCounts> {
  const counts: DiffCounts = { added: 0, removed: 0, moved: 0, same: 0, contributors: Object.create(null) };
  for await (const difference of differences(before, after)) {
    if (difference === 'same') {
      counts.same++;
      continue;
    }
    counts[difference.change]++;
    if (difference.change === 'moved') continue;
    const { contributor } = difference.entry;
    counts.contributors[contributor] ??= { added: 0, removed: 0 };
    counts.contributors[contributor][difference.change]++;
  }
  return counts;
}

async function* one(manifest: Manifest): AsyncGenerator<SnapshotEntry, undefined> {
  for await (const batch of manifest.entries()) yield* batch;
  return undefined;
}
