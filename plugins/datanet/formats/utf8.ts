/** Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing beyond U+10FFFF. */
import { isUtf8 } from 'node:buffer';
import { Refusal } from './refusal.ts';

/** The text of a row that begins at `offset` of its file; refuses it naming the first byte that is wrong. */
export function decodeUtf8(bytes: Uint8Array, offset: number): string {
  if (isUtf8(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const at = firstInvalid(bytes);
  const byte = bytes[at]!.toString(16).toUpperCase().padStart(2, '0');
  throw new Refusal(
    null,
    'Text is not UTF-8',
    `: byte 0x${byte} at offset ${offset + at} of the file begins no character`,
  );
}

/** Offset of the first byte that begins no character; the length where there is none. */
export function firstInvalid(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    const length = characterLength(bytes, at);
    if (length === 0) return at;
    at += length;
  }
  return at;
}

/** Bytes of the character at `at`, by RFC 3629's table; 0 where there is none. */
function characterLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  for (let i = 1; i < length; i++) {
    const byte = bytes[at + i];
    if (byte === undefined || byte < (i === 1 ? low : 0x80) || byte > (i === 1 ? high : 0xbf)) return 0;
  }
  return length;
}
