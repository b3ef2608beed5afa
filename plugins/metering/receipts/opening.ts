/**
 * Commitments to token ids. A receipt has no text and nothing that a text could be guessed from; who holds the opening (the salt and the
 * ids) can show what was said, and nobody else can.
 */
import { createHmac } from 'node:crypto';

/** What of an answer is committed to. */
export type Committed = 'prompt' | 'output';

/**
 * HMAC-SHA-256 under the answer's salt (hex, 32 bytes) of "colophon-tokens-v1", what it is of and its number, a zero byte, and the ids
 * as little-endian 32-bit words. Hex.
 */
export function commitTo(salt: string, what: Committed, number: number, ids: readonly number[]): string {
  const words = Buffer.alloc(ids.length * 4);
  for (const [at, id] of ids.entries()) words.writeUInt32LE(id, at * 4);
  return createHmac('sha256', Buffer.from(salt, 'hex'))
    .update(`colophon-tokens-v1 ${what} ${number}\0`)
    .update(words)
    .digest('hex');
}
