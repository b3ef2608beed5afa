/** Freezes what a Datanet has now. Made anew from the store each time: what was cut off is begun again and comes out equal. */
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { Snapshot, SnapshotEntry, SnapshotSettings, StoredExample } from '../model.ts';
import type { BlobStore } from '../store/blob_store.ts';
import type { DatanetStore } from '../store/datanet_store.ts';
import { Manifest, manifestBytes } from './manifest.ts';
import { hashBytes, merkleRoot } from './merkle.ts';
import { provenanceLeaves, provenanceRoot, recordHash, recordOf } from './provenance.ts';
import { SnapshotRows } from './snapshot_rows.ts';
import { assignSplits, splits } from './split.ts';

export interface MakeOptions {
  /** The Datanet's id. */
  datanet: string;
  /** The Datanet's name. */
  name: string;
  settings: SnapshotSettings;
  /** Unix seconds. */
  now: number;
  signal?: AbortSignal;
  /** Told how many examples were read. */
  onProgress?: (done: number) => void | Promise<void>;
}

/**
 * Makes and stores the snapshot of what is kept by a curation: leaves are the distinct example hashes, ascending; of equal
 * examples the first that came is named. The same examples and settings give the snapshot that is there. Throws
 * `empty_snapshot` where nothing is kept, `curation_outdated` where rows are kept that the curation has not seen, `invalid_shares`,
 * `snapshot_exists` (see DatanetStore.createSnapshot).
 */
export async function makeSnapshot(
  store: DatanetStore,
  blobs: BlobStore,
  { datanet, name, settings, now, signal, onProgress }: MakeOptions,
): Promise<Snapshot> {
  checkShares(settings);
  const curated = await curatedContributions(store, settings.curation);
  const rows = new SnapshotRows();
  for await (const batch of store.kept(datanet, settings.curation)) {
    signal?.throwIfAborted();
    for (const example of batch) {
      if (curated && !curated.has(example.contribution)) throw outdated(example, settings);
      rows.add(example);
    }
    await onProgress?.(rows.size);
  }
  if (rows.size === 0) {
    throw new ColophonError(
      'The Datanet has no accepted examples to make a snapshot of. Accept some first.',
      {
        code: 'empty_snapshot',
      },
    );
  }
  const { id, counts, count, entry } = frozen(rows, settings);
  const there = await store.snapshot(datanet, id);
  signal?.throwIfAborted();
  const parent = there === undefined ? ((await store.latestSnapshot(datanet))?.id ?? null) : there.parent;
  const manifest = there?.manifest ?? (await blobs.write(manifestBytes(count, entry))).sha256;
  const provenance = there?.provenance ?? (await rootOfProvenance(store, blobs, name, manifest));
  const createdAt = there?.createdAt ?? now;
  const snapshot = { id, datanet, parent, settings, counts, manifest, provenance, createdAt };
  await store.createSnapshot(snapshot);
  return (await store.snapshot(datanet, id)) ?? snapshot;
}

async function rootOfProvenance(store: DatanetStore, blobs: BlobStore, name: string, manifest: string) {
  const leaves = await provenanceLeaves(await Manifest.open(blobs, manifest), (id) =>
    recordHashOf(store, name, id),
  );
  return provenanceRoot(leaves);
}

async function recordHashOf(store: DatanetStore, datanet: string, id: string): Promise<string> {
  const contribution = (await store.contribution(id))!;
  return recordHash(recordOf(datanet, contribution, (await store.contributor(contribution.contributor))!));
}

/** Contributions that a curation has looked at; undefined: there is none. */
async function curatedContributions(
  store: DatanetStore,
  curation: string | null,
): Promise<Set<string> | undefined> {
  if (curation === null) return undefined;
  const { contributions } = (await store.job(curation))!.checkpoint as { contributions: string[] };
  return new Set(contributions);
}

function outdated({ contribution }: StoredExample, { curation }: SnapshotSettings): ColophonError {
  return new ColophonError(
    `The contribution '${contribution}' was accepted since the curation '${curation}', which has not seen its rows. Curate again, or make the snapshot with "curation": null.`,
    { type: 'conflict_error', code: 'curation_outdated', param: 'curation' },
  );
}

function checkShares({ shares }: SnapshotSettings): void {
  const all = splits.map((split) => shares[split]);
  const sum = all.reduce((total, share) => total + share, 0);
  if (all.every((share) => share >= 0) && Math.abs(sum - 1) < 1e-9) return;
  throw new ColophonError(
    `The shares of the splits add up to ${sum}. Give shares of 0 and more that add up to 1.`,
    {
      code: 'invalid_shares',
      param: 'shares',
    },
  );
}

function frozen(rows: SnapshotRows, settings: SnapshotSettings) {
  const order = rows.sorted();
  /** Row that names each leaf, and leaf of each row. */
  const named = new Uint32Array(rows.size);
  const leafOf = new Uint32Array(rows.size);
  const hashes = Buffer.alloc(rows.size * hashBytes);
  let count = 0;
  for (const [at, row] of order.entries()) {
    if (at === 0 || !rows.hash(row).equals(rows.hash(order[at - 1]!))) {
      rows.hash(row).copy(hashes, count * hashBytes);
      named[count++] = row;
    }
    leafOf[row] = count - 1;
  }
  const leaves = hashes.subarray(0, count * hashBytes);
  const ties = [rows.tie(leafOf, 'cluster'), rows.tie(leafOf, 'group')];
  if (settings.apart !== 'cluster') ties.push(rows.tie(leafOf, settings.apart));
  const split = assignSplits(leaves, ties, settings);
  const cluster = clusterNumbers(rows, named.subarray(0, count));

  const counts: Snapshot['counts'] = {
    examples: count,
    contributions: distinct(rows, named.subarray(0, count), 'contribution'),
    contributors: distinct(rows, named.subarray(0, count), 'contributor'),
    splits: { train: 0, validation: 0, test: 0 },
  };
  for (const index of split) counts.splits[splits[index]!]++;
  const entry = (at: number): SnapshotEntry => {
    const row = named[at]!;
    return {
      hash: leaves.toString('hex', at * hashBytes, (at + 1) * hashBytes),
      contribution: rows.contributions.texts[rows.get(row, 'contribution')]!,
      contributor: rows.contributors.texts[rows.get(row, 'contributor')]!,
      line: rows.get(row, 'line'),
      split: splits[split[at]!]!,
      cluster: cluster[at]!,
    };
  };
  return { id: merkleRoot({ leaves, leafBytes: hashBytes }).toString('hex'), counts, count, entry };
}

/** Clusters are numbered in the order of their first leaf; an example without one is a cluster of its own. */
function clusterNumbers(rows: SnapshotRows, named: Uint32Array): Uint32Array {
  const numbers = new Map<number, number>();
  let next = 0;
  return named.map((row) => {
    const cluster = rows.get(row, 'cluster');
    if (cluster < 0) return next++;
    const known = numbers.get(cluster);
    if (known !== undefined) return known;
    numbers.set(cluster, next);
    return next++;
  });
}

function distinct(rows: SnapshotRows, named: Uint32Array, column: 'contribution' | 'contributor'): number {
  const seen = new Set<number>();
  for (const row of named) seen.add(rows.get(row, column));
  return seen.size;
}
