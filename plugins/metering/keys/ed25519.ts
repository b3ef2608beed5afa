/** Ed25519 (RFC 8032) by node:crypto: public keys as their 32 bytes. */
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';

export const publicKeyBytes = 32;
export const signatureBytes = 64;

/** What stands before the 32 bytes in a SubjectPublicKeyInfo (RFC 8410, section 4). */
const spkiHead = Buffer.from('302a300506032b6570032100', 'hex');

/** The 32 bytes of a key, of which only the public half is taken. */
export function rawPublicKey(key: KeyObject): Buffer {
  const spki = (key.type === 'private' ? createPublicKey(key) : key).export({ type: 'spki', format: 'der' });
  return spki.subarray(spkiHead.length);
}

export function publicKeyOf(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([spkiHead, raw]), format: 'der', type: 'spki' });
}

export const signBytes = (message: Uint8Array, key: KeyObject): Buffer => sign(null, message, key);

/** False of whatever is no signature of it, also where its length is wrong. */
export function verifyBytes(message: Uint8Array, signature: Uint8Array, key: KeyObject): boolean {
  return signature.length === signatureBytes && verify(null, message, key, signature);
}

/**
 * Names a key in an envelope: SHA-256 of its 32 bytes, in hex. Of the whole key, so that no two have one, and of nothing else,
 * so that it stays when the log is given another name; a note's key id (vkey.ts) has 32 bits and depends on that name.
 */
export const keyIdOf = (raw: Uint8Array): string => createHash('sha256').update(raw).digest('hex');
