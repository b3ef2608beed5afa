/** Snapshots of examples in memory, for tests. */
import { createHash } from 'node:crypto';
import type {
  Contribution,
  Contributor,
  Snapshot,
  SnapshotEntry,
  SnapshotSettings,
  StoredExample,
} from '../../model.ts';
import type { BlobStore } from '../../store/blob_store.ts';
import type { DatanetStore } from '../../store/datanet_store.ts';
import { makeSnapshot } from '../make.ts';
import { Manifest } from '../manifest.ts';

export type Kept = StoredExample & { cluster: number | null };

export const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');

export const kept = (seq: number, fields: Partial<Kept> = {}): Kept => ({
  seq,
  datanet: 'd',
  contribution: `contribution-${seq % 5}`,
  contributor: `contributor-${seq % 3}`,
  line: seq,
  hash: hashOf(`example ${seq}`),
  originalHash: null,
  source: null,
  group: null,
  place: null,
  cluster: null,
  ...fields,
});

export const contributionOf = (id: string) =>
  ({
    id,
    sha256: 'ab'.repeat(32),
    licence: 'MIT',
    source: 's',
    rights: 'r',
    signature: null,
    publicKey: null,
  }) as Contribution;

export const contributorOf = (id: string) => ({ id, name: 'Ada', publicKey: null }) as Contributor;

/** Only what making a snapshot asks of a store, in memory. */
export function storeOf(rows: Kept[]): DatanetStore {
  const snapshots: Snapshot[] = [];
  return {
    async *kept() {
      for (let at = 0; at < rows.length; at += 7) yield rows.slice(at, at + 7);
    },
    snapshot: async (_: string, id: string) => snapshots.find((one) => one.id === id),
    latestSnapshot: async () => snapshots.at(-1),
    contribution: async (id: string) => ({ ...contributionOf(id), contributor: 'contributor-0' }),
    contributor: async (id: string) => contributorOf(id),
    createSnapshot: async (one: Snapshot) => {
      if (!snapshots.some(({ id }) => id === one.id)) snapshots.push(one);
    },
  } as unknown as DatanetStore;
}

export function blobsInMemory(): BlobStore {
  const blobs = new Map<string, Buffer>();
  return {
    async write(source: AsyncIterable<Uint8Array>) {
      const parts: Uint8Array[] = [];
      for await (const part of source) parts.push(part);
      const bytes = Buffer.concat(parts);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      blobs.set(sha256, bytes);
      return { sha256, bytes: bytes.length };
    },
    async *read(sha256: string, range?: { offset: number; bytes: number }) {
      const bytes = blobs.get(sha256)!;
      yield range === undefined ? bytes : bytes.subarray(range.offset, range.offset + range.bytes);
    },
    size: async (sha256: string) => blobs.get(sha256)?.length,
  } as unknown as BlobStore;
}

export const settings: SnapshotSettings = {
  curation: null,
  seed: 1,
  shares: { train: 0.8, validation: 0.1, test: 0.1 },
  apart: 'cluster',
};

export async function made(rows: Kept[], changed: Partial<SnapshotSettings> = {}) {
  const blobs = blobsInMemory();
  const options = { datanet: 'd', name: 'demo', settings: { ...settings, ...changed }, now: 7 };
  const snapshot = await makeSnapshot(storeOf(rows), blobs, options);
  const manifest = await Manifest.open(blobs, snapshot.manifest);
  const entries: SnapshotEntry[] = [];
  for await (const batch of manifest.entries()) entries.push(...batch);
  return { snapshot, manifest, entries };
}
