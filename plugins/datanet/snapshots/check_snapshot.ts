/** Whether a snapshot in the store is what its roots say, and every contribution in it is signed by whom it names. */
import type { SnapshotEntry } from '../model.ts';
import type { OfflineDatanets } from '../offline.ts';
import { Manifest } from './manifest.ts';
import { hashBytes, merkleRoot } from './merkle.ts';
import { signatureFault } from './proof.ts';
import {
  type ContributionRecord,
  provenanceLeaves,
  provenanceRoot,
  recordHash,
  recordOf,
} from './provenance.ts';

export interface CheckedSnapshot {
  /** What is wrong, a sentence each. */
  faults: string[];
  /** By id, each as its contributor gave it. */
  contributions: Map<string, ContributionRecord>;
  /** Undefined where the snapshot has no such example. */
  find(hash: string): Promise<SnapshotEntry | undefined>;
}

/** Undefined where the Datanet or the snapshot is not there. Hashes every leaf of both trees once. */
export async function checkSnapshot(
  { store, blobs }: Pick<OfflineDatanets, 'store' | 'blobs'>,
  name: string,
  id: string,
): Promise<CheckedSnapshot | undefined> {
  const datanet = await store.datanet(name);
  const snapshot = datanet && (await store.snapshot(datanet.id, id));
  if (!snapshot) return undefined;
  const manifest = await Manifest.open(blobs, snapshot.manifest);
  const faults: string[] = [];
  const contributions = new Map<string, ContributionRecord>();
  const record = async (contributionId: string): Promise<string> => {
    const contribution = await store.contribution(contributionId);
    const contributor = contribution && (await store.contributor(contribution.contributor));
    if (!contributor) {
      faults.push(`The contribution ${contributionId} that snapshot ${id} names is not in the store.`);
      return '0'.repeat(64);
    }
    const found = recordOf(name, contribution, contributor);
    contributions.set(contributionId, found);
    const fault = signatureFault(found);
    if (fault !== null) faults.push(fault);
    return recordHash(found);
  };
  const root = merkleRoot({ leaves: await manifest.leaves(), leafBytes: hashBytes }).toString('hex');
  if (root !== id)
    faults.push(`The examples of snapshot ${id} have the root ${root}: the manifest was changed.`);
  const provenance = provenanceRoot(await provenanceLeaves(manifest, record));
  if (snapshot.provenance !== null && provenance !== snapshot.provenance)
    faults.push(
      `Who gave the examples of snapshot ${id} has the root ${provenance}, not ${snapshot.provenance}: what is stored of its contributions was changed.`,
    );
  return { faults, contributions, find: async (hash) => (await manifest.find(hash))?.entry };
}
