/** Bytes of a cell that must be text. */
import { isUtf8 } from 'node:buffer';

/** Bytes that are not UTF-8. */
export class NotText {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

export function textOf(bytes: Uint8Array | undefined): unknown {
  if (bytes === undefined) return undefined;
  if (!isUtf8(bytes)) return new NotText(bytes.slice(0, 100));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
