/** The bytes that stand for an example or a statement wherever it is hashed or signed: RFC 8785 (JSON Canonicalization Scheme). */
import { createPublicKey, hash, verify } from 'node:crypto';
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { Content, Contribution } from '../model.ts';

/** Deeper JSON is refused: it would end the stack. No chat, tool or schema comes near. */
const maxDepth = 512;

/** With the flag u a whole pair is one character, so that only halves are found. */
const loneSurrogate = /[\ud800-\udfff]/u;

/**
 * Canonical JSON of a value (RFC 8785): keys in the order of their UTF-16 code units, numbers as ECMAScript writes them. Keys
 * whose value is undefined are left out. Throws `not_canonical` for what JSON cannot say: a number that is not finite, half of
 * a surrogate pair, a function.
 */
export function canonicalJson(value: unknown): string {
  return written(value, 0);
}

function written(value: unknown, depth: number): string {
  if (depth > maxDepth) throw notCanonical(`is nested deeper than ${maxDepth} levels`);
  if (typeof value === 'string') return writtenString(value);
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw notCanonical(`has the number ${value}, which JSON cannot say`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map((one) => written(one, depth + 1)).join(',')}]`;
  if (typeof value !== 'object') throw notCanonical(`has a ${typeof value}, which JSON cannot say`);
  const object = value as Record<string, unknown>;
  const members: string[] = [];
  for (const key of Object.keys(object).sort()) {
    if (object[key] !== undefined) members.push(`${writtenString(key)}:${written(object[key], depth + 1)}`);
  }
  return `{${members.join(',')}}`;
}

function writtenString(text: string): string {
  if (loneSurrogate.test(text)) {
    throw notCanonical(`has half of a surrogate pair in the text ${JSON.stringify(text.slice(0, 40))}`);
  }
  return JSON.stringify(text);
}

const notCanonical = (what: string) =>
  new ColophonError(`The value has no canonical form: it ${what}.`, { code: 'not_canonical' });

/** What is hashed of an example: its canonical JSON in UTF-8, and the SHA-256 of that, hex. */
export function canonicalContent(content: Content): { bytes: Buffer; hash: string } {
  const bytes = Buffer.from(canonicalJson(content));
  return { bytes, hash: contentHash(bytes) };
}

/** SHA-256 of canonical bytes, hex: an example's hash. */
export const contentHash = (bytes: Uint8Array) => hash('sha256', bytes, 'hex');

/** What a contributor signs: all that makes a contribution theirs. `datanet` is the Datanet's name. */
export function signedStatement(
  contribution: Pick<Contribution, 'sha256' | 'licence' | 'source' | 'rights' | 'contributor'> & {
    datanet: string;
  },
): Buffer {
  const { datanet, sha256, licence, source, rights, contributor } = contribution;
  return Buffer.from(canonicalJson({ datanet, sha256, licence, source, rights, contributor }));
}

/** The DER before the 32 bytes of an Ed25519 public key (RFC 8410). */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

/** Whether `signature` (64 bytes, hex) is by `publicKey` (32 bytes, hex) over `message`: Ed25519, RFC 8032. */
export function verifySignature(publicKey: string, message: Uint8Array, signature: string): boolean {
  if (!/^[0-9a-f]{64}$/i.test(publicKey) || !/^[0-9a-f]{128}$/i.test(signature)) return false;
  const der = Buffer.concat([spkiPrefix, Buffer.from(publicKey, 'hex')]);
  try {
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
    return verify(null, message, key, Buffer.from(signature, 'hex'));
  } catch {
    return false; // Not a point of the curve.
  }
}
