/** Keys of signed notes as text, `name+hexid+base64(type || key)`: "Verifier keys" of c2sp.org/signed-note. */
import { createHash } from 'node:crypto';
import { fromBase64 } from './base64.ts';
import { publicKeyBytes } from './ed25519.ts';

/** Signature types: of a log's own signature, and of a witness's timestamped one (c2sp.org/tlog-cosignature). */
export const noteType = { ed25519: 1, cosignature: 4 } as const;
export type NoteType = (typeof noteType)[keyof typeof noteType];

export interface VerifierKey {
  name: string;
  type: NoteType;
  /** 32 bytes. */
  key: Buffer;
  /** Four bytes, in hex. */
  id: string;
}

/** Key names have no Unicode space and no plus; without control characters, since a note may not have them. */
export const isKeyName = (name: string): boolean => /^[^\s+\p{Cc}\p{Z}]+$/u.test(name);

/** key ID = SHA-256(name || 0x0A || type || key)[:4], in hex. */
export function noteKeyId(name: string, type: NoteType, key: Uint8Array): string {
  const digest = createHash('sha256').update(`${name}\n`).update(Buffer.of(type)).update(key).digest();
  return digest.toString('hex', 0, 4);
}

export function verifierKey(name: string, key: Uint8Array, type: NoteType = noteType.ed25519): VerifierKey {
  if (!isKeyName(name))
    throw new Error(
      `${JSON.stringify(name)} cannot name a key: it is empty, or has a space, a plus sign or a control character.`,
    );
  return { name, type, key: Buffer.from(key), id: noteKeyId(name, type, key) };
}

export const writeVkey = ({ name, type, key, id }: VerifierKey): string =>
  `${name}+${id}+${Buffer.concat([Buffer.of(type), key]).toString('base64')}`;

/** Throws an Error whose sentence says what is wrong with it. */
export function parseVkey(text: string): VerifierKey {
  const wrong = (why: string) =>
    new Error(`${JSON.stringify(text.slice(0, 200))} is no verifier key: ${why}.`);
  // The key itself is base64, which may have a plus.
  const [, name, id, encoded] = /^([^+]*)\+([^+]*)\+(.*)$/.exec(text) ?? [];
  if (name === undefined || !isKeyName(name)) throw wrong('it is not NAME+ID+KEY');
  const bytes = fromBase64(encoded!);
  if (!bytes || bytes.length !== 1 + publicKeyBytes) throw wrong('its last part is not base64 of 33 bytes');
  const type = bytes[0] as NoteType;
  if (!Object.values(noteType).includes(type)) throw wrong(`its signature type is ${type}, not 1 or 4`);
  const read = verifierKey(name, bytes.subarray(1), type);
  if (read.id !== id) throw wrong(`the id of that name and key is ${read.id}`);
  return read;
}
