/** The job that freezes a Datanet. */
import type { SnapshotSettings } from '../model.ts';
import { makeSnapshot } from '../snapshots/make.ts';
import { splitWarnings } from '../snapshots/warnings.ts';
import type { BlobStore } from '../store/blob_store.ts';
import type { DatanetStore } from '../store/datanet_store.ts';
import { now, type Work } from './runner.ts';

/** Its report names the snapshot. One that was cut begins anew, and comes out equal. */
export function snapshotWork(
  store: DatanetStore,
  blobs: BlobStore,
  nameOf: (datanet: string) => Promise<string>,
): Work {
  return async (job, signal) => {
    const snapshot = await makeSnapshot(store, blobs, {
      datanet: job.datanet,
      name: await nameOf(job.datanet),
      settings: job.params.settings as SnapshotSettings,
      now: now(),
      signal,
      onProgress: async (done) => {
        await store.updateJob(job.id, { done }, ['running']);
      },
    });
    return { snapshot: snapshot.id, counts: snapshot.counts, warnings: splitWarnings(snapshot) };
  };
}
