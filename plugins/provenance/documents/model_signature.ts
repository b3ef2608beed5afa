/**
 * A signature over an adapter's files as OpenSSF Model Signing v1.0 has it (github.com/sigstore/model-transparency): an in-toto
 * Statement whose subject's digest is the SHA-256 over the files' digests in order, in a Sigstore bundle v0.3 with a plain key.
 */
import { createHash } from 'node:crypto';
import type { FileFact } from '../facts/adapter.ts';
import { statementType } from './training_statement.ts';

export const modelSignatureType = 'https://model_signing/signature/v1.0';

/** `files`: in the order of their paths. */
export function modelStatement(name: string, files: readonly FileFact[]): object {
  const root = createHash('sha256');
  for (const { sha256 } of files) root.update(sha256, 'hex');
  return {
    _type: statementType,
    subject: [{ name, digest: { sha256: root.digest('hex') } }],
    predicateType: modelSignatureType,
    predicate: {
      serialization: { method: 'files', hash_type: 'sha256', allow_symlinks: false, ignore_paths: [] },
      resources: files.map(({ name: file, sha256 }) => ({ name: file, algorithm: 'sha256', digest: sha256 })),
    },
  };
}

/** `publicKey`: PEM (SPKI), by whose SHA-256 a verifier knows the key. */
export function sigstoreBundle(envelope: object, publicKey: string): object {
  return {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: {
      publicKey: { hint: createHash('sha256').update(publicKey).digest('hex') },
      tlogEntries: [],
    },
    dsseEnvelope: envelope,
  };
}
