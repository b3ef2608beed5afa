/**
 * Proof that an example is in a snapshot, and of whose it is: a file that is checked with nothing but itself and, if one has it,
 * the example.
 */
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { Contribution, Contributor, Snapshot } from '../model.ts';
import { canonicalContent, signedStatement, verifySignature } from './canonical.ts';
import type { Manifest } from './manifest.ts';
import { hashBytes, inclusionProof, verifyInclusion } from './merkle.ts';
import {
  type ContributionRecord,
  provenanceLeaf,
  provenanceLeaves,
  provenanceRoot,
  recordHash,
  recordOf,
} from './provenance.ts';

const Hash = Type.String({ pattern: '^[0-9a-f]{64}$' });
/** From the leaf upwards (RFC 6962, 2.1.1); a tree of 2^53 leaves has no longer one. */
const Path = Type.Array(Hash, { maxItems: 53 });

export const Proof = Type.Object(
  {
    format: Type.Literal('colophon-datanet-proof-2'),
    datanet: Type.String(),
    /** The snapshot's id: its Merkle root. */
    snapshot: Hash,
    /** SHA-256 of the example's canonical JSON (RFC 8785): the leaf. */
    example: Hash,
    leafIndex: Type.Integer({ minimum: 0 }),
    treeSize: Type.Integer({ minimum: 1 }),
    path: Path,
    /** The root over whose the examples are, and the way to it from what is told below: see provenance.ts. */
    provenance: Hash,
    provenancePath: Path,
    split: Type.Enum(['train', 'validation', 'test']),
    contribution: Type.Object(
      {
        id: Type.String(),
        line: Type.Integer(),
        sha256: Hash,
        licence: Type.String(),
        source: Type.String(),
        rights: Type.String(),
        signature: Type.Union([Type.String({ pattern: '^[0-9a-f]{128}$' }), Type.Null()]),
      },
      { additionalProperties: false },
    ),
    contributor: Type.Object(
      { id: Type.String(), name: Type.String(), publicKey: Type.Union([Hash, Type.Null()]) },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
);
export type Proof = Static<typeof Proof>;

export interface ProofSources {
  /** Name. */
  datanet: string;
  snapshot: Snapshot;
  manifest: Manifest;
  contribution(id: string): Promise<Contribution | undefined>;
  contributor(id: string): Promise<Contributor | undefined>;
}

/** Throws `example_not_in_snapshot`, `damaged_provenance`. Hashes every leaf of both trees once. */
export async function proveExample(hash: string, sources: ProofSources): Promise<Proof> {
  const { datanet, snapshot, manifest } = sources;
  const found = await manifest.find(hash);
  if (!found) throw notThere(hash, snapshot);
  const record = async (id: string) => {
    const contribution = await sources.contribution(id);
    const contributor = contribution && (await sources.contributor(contribution.contributor));
    if (contributor) return recordOf(datanet, contribution, contributor);
    throw damaged(snapshot);
  };
  const provenance = await provenanceLeaves(manifest, async (id) => recordHash(await record(id)));
  const root = provenanceRoot(provenance);
  if (snapshot.provenance !== null && root !== snapshot.provenance) throw damaged(snapshot);
  const pathIn = (leaves: Buffer) =>
    inclusionProof({ leaves, leafBytes: hashBytes }, found.at).map((one) => one.toString('hex'));
  const { contributor, datanet: _, ...contribution } = await record(found.entry.contribution);
  return {
    format: 'colophon-datanet-proof-2',
    datanet,
    snapshot: snapshot.id,
    example: hash,
    leafIndex: found.at,
    treeSize: manifest.count,
    path: pathIn(await manifest.leaves()),
    provenance: root,
    provenancePath: pathIn(provenance),
    split: found.entry.split,
    contribution: { ...contribution, line: found.entry.line },
    contributor,
  };
}

/** What one knows from elsewhere, that a proof has to agree with. */
export interface Known {
  /** The example. */
  content?: unknown;
  /** The snapshot's id, and its root of provenance. */
  snapshot?: string;
  provenance?: string;
}

/**
 * Null: the file proves that its example is in its snapshot, given as it says under that root of provenance, and that the
 * contributor signed for it where there is a signature. Else a sentence that says what is wrong.
 */
export function checkProof(proof: unknown, known: Known = {}): string | null {
  if (!Value.Check(Proof, proof)) {
    const [error] = Value.Errors(Proof, proof);
    return `The file is no proof: ${error?.instancePath || 'it'} ${error?.message ?? 'is wrong'}.`;
  }
  const { example, leafIndex, treeSize, path, snapshot, provenance, provenancePath, split } = proof;
  if (known.snapshot !== undefined && known.snapshot !== snapshot)
    return `The proof is of the snapshot ${snapshot}, and not of ${known.snapshot}.`;
  if (known.provenance !== undefined && known.provenance !== provenance)
    return `The proof's root of provenance is ${provenance}, and not ${known.provenance}.`;
  if (known.content !== undefined) {
    const { hash } = canonicalContent(known.content as never);
    if (hash !== example) return `The example has the hash ${hash}; the proof is of ${example}.`;
  }
  const bytes = (hex: string) => Buffer.from(hex, 'hex');
  const leads = (leaf: Buffer, way: string[], root: string) =>
    verifyInclusion(leaf, leafIndex, treeSize, way.map(bytes), bytes(root));
  if (!leads(bytes(example), path, snapshot))
    return `The path does not lead from leaf ${leafIndex} to the root ${snapshot}.`;
  const { line, ...given } = proof.contribution;
  const record = { datanet: proof.datanet, ...given, contributor: proof.contributor };
  if (!leads(provenanceLeaf({ hash: example, line, split }, recordHash(record)), provenancePath, provenance))
    return `What is told of the contribution, the contributor or the split is not what the root of provenance ${provenance} was made over.`;
  return signatureFault(record);
}

/** Null: nobody signed, or it is signed by the contributor's key. */
export function signatureFault(record: ContributionRecord): string | null {
  const { signature, contributor } = record;
  if (signature === null) return null;
  if (contributor.publicKey === null) return 'There is a signature, and no public key that it is by.';
  const statement = signedStatement({ ...record, contributor: contributor.id });
  return verifySignature(contributor.publicKey, statement, signature)
    ? null
    : `The signature is not by the key ${contributor.publicKey} over the contribution ${record.id}.`;
}

const notThere = (hash: string, { id }: Snapshot) =>
  new ColophonError(`The snapshot ${id} has no example with the hash '${hash}'.`, {
    type: 'not_found_error',
    code: 'example_not_in_snapshot',
  });

const damaged = ({ id }: Snapshot) =>
  new ColophonError(
    `What is stored of the contributions is not what the snapshot ${id} was made of. Restore the store from a copy.`,
    { type: 'server_error', code: 'damaged_provenance' },
  );
