/** Dead Simple Signing Envelopes (github.com/secure-systems-lab/dsse, v1.0) around in-toto statements. */
import { type KeyObject, verify } from 'node:crypto';

export const inTotoPayload = 'application/vnd.in-toto+json';

export interface Envelope {
  payload: string;
  payloadType: string;
  signatures: Array<{ keyid: string; sig: string }>;
}

export interface Signer {
  keyid: string;
  sign(bytes: Uint8Array): Uint8Array;
}

const pae = (type: string, body: Uint8Array) =>
  Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${body.length} `), body]);

export function signStatement(statement: object, signer: Signer): Envelope {
  const body = Buffer.from(JSON.stringify(statement));
  const sig = Buffer.from(signer.sign(pae(inTotoPayload, body))).toString('base64');
  return {
    payload: body.toString('base64'),
    payloadType: inTotoPayload,
    signatures: [{ keyid: signer.keyid, sig }],
  };
}

/** The statement of an envelope that a key has signed; throws a sentence where it has not. */
export function openStatement(envelope: Envelope, key: KeyObject): Record<string, unknown> {
  const body = Buffer.from(envelope.payload, 'base64');
  const hash = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  const signed = pae(envelope.payloadType, body);
  if (!envelope.signatures.some(({ sig }) => verify(hash, signed, key, Buffer.from(sig, 'base64'))))
    throw new Error('No signature of it is by the key.');
  return JSON.parse(body.toString()) as Record<string, unknown>;
}
