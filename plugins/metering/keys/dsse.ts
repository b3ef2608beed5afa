/** Dead Simple Signing Envelope (github.com/secure-systems-lab/dsse, protocol.md 1.0): a payload, its type, who signed both. */
import type { KeyObject } from 'node:crypto';
import { fromBase64 } from './base64.ts';
import { keyIdOf, rawPublicKey, signBytes, verifyBytes } from './ed25519.ts';
import type { PublicKeys } from './public_keys.ts';

/** Payload type of an in-toto Statement. */
export const statementPayload = 'application/vnd.in-toto+json';

export interface Envelope {
  payloadType: string;
  /** Base64. */
  payload: string;
  signatures: Array<{ keyid: string; sig: string }>;
}

/** What is signed: PAE(type, body) = "DSSEv1 LEN(type) type LEN(body) body", lengths in bytes. */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}

/** Of keys that signed: to make the public half of one takes longer than a signature. */
const keyIds = new WeakMap<KeyObject, string>();

function signersId(key: KeyObject): string {
  let id = keyIds.get(key);
  if (id === undefined) {
    id = keyIdOf(rawPublicKey(key));
    keyIds.set(key, id);
  }
  return id;
}

export function signEnvelope(payloadType: string, payload: Uint8Array, key: KeyObject): Envelope {
  const sig = signBytes(preAuthenticationEncoding(payloadType, payload), key).toString('base64');
  return {
    payloadType,
    payload: Buffer.from(payload).toString('base64'),
    signatures: [{ keyid: signersId(key), sig }],
  };
}

/** The bytes of an envelope's file, whose digest the ledger has: compact JSON, fields in this order, and no others. */
export function envelopeBytes({ payloadType, payload, signatures }: Envelope): Buffer {
  const signed = signatures.map(({ keyid, sig }) => ({ keyid, sig }));
  return Buffer.from(JSON.stringify({ payloadType, payload, signatures: signed }));
}

/** Either alphabet of base64, in the one way to write it. */
function fromEitherBase64(text: unknown): Buffer | undefined {
  if (typeof text !== 'string') return undefined;
  const standard = text.replaceAll('-', '+').replaceAll('_', '/');
  return fromBase64(standard) ?? fromBase64(standard.padEnd(Math.ceil(standard.length / 4) * 4, '='));
}

export type OpenedEnvelope =
  | { payload: Buffer; keyid: string; envelope: Envelope }
  | { problem: string; envelope?: Envelope };

/**
 * The payload that a known key signed: take no other. Never throws; `problem` says what is wrong, and `envelope` is there
 * where only its signatures are.
 */
export function openEnvelope(value: unknown, payloadType: string, known: PublicKeys): OpenedEnvelope {
  const envelope = shaped(value);
  if (typeof envelope === 'string') return { problem: envelope };
  const payload = fromEitherBase64(envelope.payload);
  if (!payload) return { problem: 'The payload of the envelope is not base64.' };
  if (envelope.payloadType !== payloadType)
    return {
      problem: `The envelope holds ${JSON.stringify(envelope.payloadType.slice(0, 200))}, not ${payloadType}.`,
      envelope,
    };
  if (envelope.signatures.length === 0) return { problem: 'Nobody signed the envelope.', envelope };
  const message = preAuthenticationEncoding(payloadType, payload);
  let problem: string | undefined;
  for (const { keyid, sig } of envelope.signatures) {
    const bytes = fromEitherBase64(sig);
    // The id only says which keys to try.
    const candidates = keyid === '' ? known.keys : known.keys.filter((one) => one.keyid === keyid);
    const signer = bytes && candidates.find(({ key }) => verifyBytes(message, bytes, key));
    if (signer) return { payload, keyid: signer.keyid, envelope };
    if (!bytes) problem ??= 'A signature of the envelope is not base64.';
    else if (candidates.length > 0)
      problem ??= `The signature of key ${keyid.slice(0, 64) || '(unnamed)'} is not of this payload: one of both was changed.`;
  }
  return {
    problem:
      problem ??
      `The envelope is signed by ${JSON.stringify(envelope.signatures[0]!.keyid.slice(0, 100))}, a key that is not among the ${known.keys.length} known of ${known.name}.`,
    envelope,
  };
}

function shaped(value: unknown): Envelope | string {
  const { payloadType, payload, signatures } = (value ?? {}) as Partial<Envelope>;
  if (typeof payloadType !== 'string' || typeof payload !== 'string' || !Array.isArray(signatures))
    return 'This is no DSSE envelope: it lacks "payloadType", "payload" or "signatures".';
  if (signatures.length > 16) return `The envelope has ${signatures.length} signatures; at most 16 are read.`;
  const read = signatures.map((one) => ({ keyid: one?.keyid ?? '', sig: one?.sig }));
  if (read.some(({ keyid, sig }) => typeof keyid !== 'string' || typeof sig !== 'string'))
    return 'A signature of the envelope lacks "sig", or its "keyid" is no text.';
  return { payloadType, payload, signatures: read };
}
