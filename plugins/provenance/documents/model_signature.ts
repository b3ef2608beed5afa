/**
 * A signature over an adapter's files as OpenSSF Model Signing v1.0 has it (github.com/sigstore/model-transparency): an in-toto
 * Statement whose subject's digest is the SHA-256 over the files' digests in order, in a Sigstore bundle v0.3 with a plain key.
 */
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { Type } from 'typebox';
import Schema from 'typebox/schema';
import { preAuthenticationEncoding, statementPayload } from '../../metering/keys/dsse.ts';
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

/** The bundle of a signature by a P-256 key. */
export function signModel(statement: object, key: KeyObject): object {
  const payload = Buffer.from(JSON.stringify(statement));
  const sig = sign('sha256', preAuthenticationEncoding(statementPayload, payload), key).toString('base64');
  return {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { publicKey: { hint: hintOf(createPublicKey(key)) }, tlogEntries: [] },
    dsseEnvelope: {
      payload: payload.toString('base64'),
      payloadType: statementPayload,
      signatures: [{ sig, keyid: '' }],
    },
  };
}

/** The statement that a key has signed; undefined where it is no such bundle, or not signed by the key. */
export function openModelSignature(value: unknown, key: KeyObject): Buffer | undefined {
  if (!SignedModel.Check(value) || key.asymmetricKeyType !== 'ec') return undefined;
  const { payload, payloadType, signatures } = value.dsseEnvelope;
  const body = Buffer.from(payload, 'base64');
  const signed = preAuthenticationEncoding(payloadType, body);
  const [{ sig }] = signatures as [{ sig: string }];
  return verify('sha256', signed, key, Buffer.from(sig, 'base64')) ? body : undefined;
}

const SignedModel = Schema.Compile(
  Type.Object({
    dsseEnvelope: Type.Object({
      payload: Type.String(),
      payloadType: Type.Literal(statementPayload),
      signatures: Type.Array(Type.Object({ sig: Type.String() }), { minItems: 1, maxItems: 1 }),
    }),
  }),
);

export const publicPem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }) as string;

/** By which a verifier knows the key: the SHA-256 of its PEM. */
const hintOf = (key: KeyObject) => createHash('sha256').update(publicPem(key)).digest('hex');
