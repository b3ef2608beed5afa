/** Proof that an example is in a snapshot: a file that is checked with nothing but itself and, if one has it, the example. */
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { Contribution, Contributor, Snapshot } from '../model.ts';
import { canonicalContent } from './canonical.ts';
import type { Manifest } from './manifest.ts';
import { hashBytes, inclusionProof, verifyInclusion } from './merkle.ts';

const Hash = Type.String({ pattern: '^[0-9a-f]{64}$' });

export const Proof = Type.Object({
  format: Type.Literal('colophon-datanet-proof-1'),
  datanet: Type.String(),
  /** The snapshot's id: its Merkle root. */
  snapshot: Hash,
  /** SHA-256 of the example's canonical JSON (RFC 8785): the leaf. */
  example: Hash,
  leafIndex: Type.Integer({ minimum: 0 }),
  treeSize: Type.Integer({ minimum: 1 }),
  /** From the leaf upwards (RFC 6962, 2.1.1); a tree of 2^53 leaves has no longer one. */
  path: Type.Array(Hash, { maxItems: 53 }),
  /** Told by whoever made the file; the root does not cover it, a signature covers the contribution. */
  contribution: Type.Object({
    id: Type.String(),
    line: Type.Integer(),
    sha256: Hash,
    licence: Type.String(),
    source: Type.String(),
    rights: Type.String(),
    signature: Type.Union([Type.String(), Type.Null()]),
  }),
  contributor: Type.Object({
    id: Type.String(),
    name: Type.String(),
    publicKey: Type.Union([Type.String(), Type.Null()]),
  }),
});
export type Proof = Static<typeof Proof>;

export interface ProofSources {
  /** Name. */
  datanet: string;
  snapshot: Snapshot;
  manifest: Manifest;
  contribution(id: string): Promise<Contribution | undefined>;
  contributor(id: string): Promise<Contributor | undefined>;
}

/** Throws `example_not_in_snapshot`. Hashes every leaf once. */
export async function proveExample(hash: string, sources: ProofSources): Promise<Proof> {
  const { datanet, snapshot, manifest } = sources;
  const found = await manifest.find(hash);
  const contribution = found && (await sources.contribution(found.entry.contribution));
  const contributor = found && (await sources.contributor(found.entry.contributor));
  if (!found || !contribution || !contributor) {
    throw new ColophonError(`The snapshot ${snapshot.id} has no example with the hash '${hash}'.`, {
      type: 'not_found_error',
      code: 'example_not_in_snapshot',
    });
  }
  const tree = { leaves: await manifest.leaves(), leafBytes: hashBytes };
  const { id, sha256, licence, source, rights, signature } = contribution;
  return {
    format: 'colophon-datanet-proof-1',
    datanet,
    snapshot: snapshot.id,
    example: hash,
    leafIndex: found.at,
    treeSize: manifest.count,
    path: inclusionProof(tree, found.at).map((one) => one.toString('hex')),
    contribution: { id, line: found.entry.line, sha256, licence, source, rights, signature },
    contributor: { id: contributor.id, name: contributor.name, publicKey: contributor.publicKey },
  };
}

/**
 * Null: the file proves that its example is in its snapshot (and `content`, where it is given, is that example). Else a
 * sentence that says what is wrong.
 */
export function checkProof(proof: unknown, content?: unknown): string | null {
  if (!Value.Check(Proof, proof)) {
    const [error] = Value.Errors(Proof, proof);
    return `The file is no proof: ${error?.instancePath || 'it'} ${error?.message ?? 'is wrong'}.`;
  }
  if (content !== undefined) {
    const { hash } = canonicalContent(content as never);
    if (hash !== proof.example) return `The example has the hash ${hash}; the proof is of ${proof.example}.`;
  }
  const bytes = (hex: string) => Buffer.from(hex, 'hex');
  const { example, leafIndex, treeSize, path, snapshot } = proof;
  return verifyInclusion(bytes(example), leafIndex, treeSize, path.map(bytes), bytes(snapshot))
    ? null
    : `The path does not lead from leaf ${leafIndex} to the root ${snapshot}.`;
}
