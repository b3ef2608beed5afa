/** Checkpoints (c2sp.org/tlog-checkpoint): a log's name, its size and its root, signed. */
import type { KeyObject } from 'node:crypto';
import { hashBytes } from '../../datanet/snapshots/merkle.ts';
import { fromBase64 } from '../keys/base64.ts';
import type { PublicKeys } from '../keys/public_keys.ts';
import type { VerifierKey } from '../keys/vkey.ts';
import { parseNote, type SignedNote, signNote, verifiedSignatures } from './note.ts';

export interface TreeHead {
  size: number;
  root: Buffer;
}

export interface Checkpoint extends TreeHead {
  origin: string;
  /** What was parsed: of all lines, and with the signatures. */
  text: string;
  note: SignedNote;
}

/** A decimal number as these formats have it, no zero before it; undefined of any other text, and above 2^53. */
export function parseDecimal(text: string): number | undefined {
  const number = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(number) ? number : undefined;
}

/** A hash in base64; undefined of any other text. */
export function parseHash(text: string): Buffer | undefined {
  const hash = fromBase64(text);
  return hash?.length === hashBytes ? hash : undefined;
}

export function signCheckpoint(key: VerifierKey, signing: KeyObject, { size, root }: TreeHead): string {
  return signNote(`${key.name}\n${size}\n${root.toString('base64')}\n`, key, signing);
}

/** Of the form alone. Throws an Error whose sentence says what is wrong. */
export function parseCheckpoint(text: string): Checkpoint {
  const note = parseNote(text);
  const [origin, decimal, encoded, ...more] = note.text.slice(0, -1).split('\n');
  const size = parseDecimal(decimal ?? '');
  const root = parseHash(encoded ?? '');
  if (!origin || size === undefined || !root || more.includes(''))
    throw new Error('The note is no checkpoint, which is a name, a size and a root of 32 bytes in base64.');
  return { origin, size, root, text, note };
}

/** A checkpoint that the log itself signed. Throws an Error with a sentence where it did not. */
export function openCheckpoint(text: string, keys: PublicKeys): Checkpoint {
  const checkpoint = parseCheckpoint(text);
  if (checkpoint.origin !== keys.name)
    throw new Error(
      `The checkpoint is of ${JSON.stringify(checkpoint.origin.slice(0, 200))}, the keys of ${JSON.stringify(keys.name)}.`,
    );
  const signed = verifiedSignatures(
    checkpoint.note,
    keys.keys.map((one) => one.note),
  );
  if (signed.length === 0)
    throw new Error(
      `No known key of ${keys.name} signed the checkpoint of ${checkpoint.size} entries; ${checkpoint.note.signatures.map(({ name, id }) => `${name.slice(0, 100)} (${id})`).join(', ')} did.`,
    );
  return checkpoint;
}
