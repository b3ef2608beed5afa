/**
 * Who gave each example of a snapshot, bound by a root of its own: a Merkle tree (RFC 6962) with a leaf for every leaf of the
 * snapshot, at the same position, over what is known of where the example comes from.
 */
import { setImmediate } from 'node:timers/promises';
import type { Contribution, Contributor, SnapshotEntry } from '../model.ts';
import { canonicalJson, contentHash } from './canonical.ts';
import type { Manifest } from './manifest.ts';
import { hashBytes, merkleRoot } from './merkle.ts';

/** What a contribution says of itself, for good: none of it changes once it was given. */
export interface ContributionRecord {
  /** Name. */
  datanet: string;
  id: string;
  sha256: string;
  licence: string;
  source: string;
  rights: string;
  signature: string | null;
  contributor: {
    id: string;
    name: string;
    /** The key that `signature` is by: the contributor's at the time. */
    publicKey: string | null;
  };
}

/** Halves of surrogate pairs, which canonical JSON cannot say, become U+FFFD. */
const wellFormed = (text: string) => Buffer.from(text).toString();

export function recordOf(
  datanet: string,
  contribution: Pick<
    Contribution,
    'id' | 'sha256' | 'licence' | 'source' | 'rights' | 'signature' | 'publicKey'
  >,
  contributor: Pick<Contributor, 'id' | 'name'>,
): ContributionRecord {
  const { id, sha256, licence, source, rights, signature, publicKey } = contribution;
  return {
    datanet,
    id,
    sha256,
    licence,
    source: wellFormed(source),
    rights: wellFormed(rights),
    signature,
    contributor: { id: contributor.id, name: wellFormed(contributor.name), publicKey },
  };
}

/** SHA-256 of a record's canonical JSON, hex. */
export const recordHash = (record: ContributionRecord) => contentHash(Buffer.from(canonicalJson(record)));

/** The leaf of an example: SHA-256 of its canonical provenance, 32 bytes. `record`: the hash of its contribution's record. */
export function provenanceLeaf(
  { hash, line, split }: Pick<SnapshotEntry, 'hash' | 'line' | 'split'>,
  record: string,
): Buffer {
  return Buffer.from(contentHash(Buffer.from(canonicalJson({ example: hash, line, record, split }))), 'hex');
}

/** Leaves of a manifest (count × 32), in its order. `record`: the hash of a contribution's record. */
export async function provenanceLeaves(
  manifest: Pick<Manifest, 'count' | 'entries'>,
  record: (contribution: string) => Promise<string>,
): Promise<Buffer> {
  const leaves = Buffer.alloc(manifest.count * hashBytes);
  const records = new Map<string, string>();
  let at = 0;
  for await (const batch of manifest.entries()) {
    for (const entry of batch) {
      let known = records.get(entry.contribution);
      if (known === undefined) {
        known = await record(entry.contribution);
        records.set(entry.contribution, known);
      }
      provenanceLeaf(entry, known).copy(leaves, at++ * hashBytes);
    }
    await setImmediate(); // Others have their turn between two batches.
  }
  return leaves;
}

export const provenanceRoot = (leaves: Buffer) =>
  merkleRoot({ leaves, leafBytes: hashBytes }).toString('hex');
