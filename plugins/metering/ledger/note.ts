/** Signed notes (c2sp.org/signed-note): a text, and who signed it. */
import type { KeyObject } from 'node:crypto';
import { fromBase64 } from '../keys/base64.ts';
import { publicKeyOf, signBytes, verifyBytes } from '../keys/ed25519.ts';
import { isKeyName, noteType, type VerifierKey } from '../keys/vkey.ts';

export interface NoteSignature {
  name: string;
  /** Of the key: four bytes, in hex. */
  id: string;
  signature: Buffer;
}

export interface SignedNote {
  /** With the newline at its end. */
  text: string;
  signatures: NoteSignature[];
}

/** More than any log's checkpoint and its witnesses' signatures have. */
const longestNote = 64 * 1024;
const mostSignatures = 64;

const line = ({ name, id, signature }: NoteSignature) =>
  `— ${name} ${Buffer.concat([Buffer.from(id, 'hex'), signature]).toString('base64')}\n`;

export const writeNote = ({ text, signatures }: SignedNote): string =>
  `${text}\n${signatures.map(line).join('')}`;

/** `text` ends with a newline. */
export function signNote(text: string, key: VerifierKey, signing: KeyObject): string {
  const signature = signBytes(Buffer.from(text), signing);
  return writeNote({ text, signatures: [{ name: key.name, id: key.id, signature }] });
}

/** Signature lines alone, as a witness answers them. Throws an Error whose sentence says what is wrong. */
export function parseSignatureLines(lines: string): NoteSignature[] {
  if (lines.length > longestNote) throw new Error(`The signatures have more than ${longestNote} characters.`);
  if (!lines.endsWith('\n')) throw new Error('The last signature has no newline at its end.');
  const all = lines.slice(0, -1).split('\n');
  if (all.length > mostSignatures) throw new Error(`There are more than ${mostSignatures} signatures.`);
  return all.map((one) => {
    const [, name, encoded] = /^— (\S+) (\S+)$/u.exec(one) ?? [];
    const bytes = encoded === undefined ? undefined : fromBase64(encoded);
    if (name === undefined || !isKeyName(name) || !bytes || bytes.length < 5)
      throw new Error(`${JSON.stringify(one.slice(0, 200))} is no line of a signature.`);
    return { name, id: bytes.toString('hex', 0, 4), signature: bytes.subarray(4) };
  });
}

/** Of the form alone; nothing is verified. Throws an Error whose sentence says what is wrong. */
export function parseNote(note: string): SignedNote {
  if (note.length > longestNote) throw new Error(`The note has more than ${longestNote} characters.`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a note may not have them
  if (/[\0-\x09\x0b-\x1f]/.test(note)) throw new Error('The note has a control character.');
  if (note.includes('\ufffd')) throw new Error('The note is not UTF-8.');
  const end = note.lastIndexOf('\n\n');
  if (end < 0) throw new Error('The note has no empty line before its signatures.');
  return { text: note.slice(0, end + 1), signatures: parseSignatureLines(note.slice(end + 2)) };
}

/** A witness's signature is over the note and the time of it: c2sp.org/tlog-cosignature, Ed25519. */
export function cosignedMessage(text: string, time: bigint): Buffer {
  return Buffer.from(`cosignature/v1\ntime ${time}\n${text}`);
}

/** Whether a known key made it; `time`: Unix seconds of a witness's. Signatures of other keys are of nobody. */
function check(text: string, { signature }: NoteSignature, { type, key }: VerifierKey): boolean {
  const known = publicKeyOf(key);
  if (type === noteType.ed25519) return verifyBytes(Buffer.from(text), signature, known);
  if (signature.length < 8) return false;
  return verifyBytes(cosignedMessage(text, signature.readBigUInt64BE()), signature.subarray(8), known);
}

/** Unix seconds at which a witness signed. */
export const cosignedAt = ({ signature }: NoteSignature): number => Number(signature.readBigUInt64BE());

/**
 * The signatures of known keys. Throws an Error with a sentence where one of them is wrong, as the whole note then is; what unknown
 * keys signed is left out.
 */
export function verifiedSignatures(note: SignedNote, keys: readonly VerifierKey[]): NoteSignature[] {
  return note.signatures.filter((one) => {
    const key = keys.find(({ name, id }) => name === one.name && id === one.id);
    if (!key) return false;
    if (!check(note.text, one, key))
      throw new Error(
        `The signature of ${one.name} (${one.id}) is not of this text: one of both was changed.`,
      );
    return true;
  });
}
