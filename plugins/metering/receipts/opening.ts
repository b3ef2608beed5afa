/**
 * Commitments to token ids, and to the grammar of an answer that was kept to one. A receipt has no text and nothing that a text could be guessed from; who holds the opening (the salt and
 * they) can show what was said, and nobody else can.
 */
import { createHash } from 'node:crypto';
import { bytesOf } from '../store/token_lists.ts';

/** What of an answer is committed to. */
export type Committed = 'prompt' | 'output';

/**
 * SHA-256, hex, of: "colophon-tokens-v1", what it is of and its number, a zero byte, the answer's salt (32 bytes, given in hex), the ids
 * as little-endian 32-bit words.
 */
export function commitTo(salt: string, what: Committed, number: number, ids: readonly number[]): string {
  return hashOf(salt, `colophon-tokens-v1 ${what} ${number}`, bytesOf(Int32Array.from(ids)));
}

/** The same of a grammar's text: "colophon-grammar-v1", a zero byte, the salt, the text in UTF-8. */
export function commitToGrammar(salt: string, text: string): string {
  return hashOf(salt, 'colophon-grammar-v1', Buffer.from(text));
}

function hashOf(salt: string, head: string, bytes: Uint8Array): string {
  return createHash('sha256')
    .update(`${head}\0`)
    .update(Buffer.from(salt, 'hex'))
    .update(bytes)
    .digest('hex');
}
