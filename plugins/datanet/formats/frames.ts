/** Cuts a stream into the bytes of its rows, none of which is held beyond a limit. */
import { rawBytes } from './refusal.ts';

/** The bytes of a row. */
export interface Frame {
  /** Line on which it begins, from 1. */
  line: number;
  /** Of its first byte, in the uncompressed file. */
  offset: number;
  /** All of it, or, where it is longer than a row may be, no more than its beginning. */
  bytes: Buffer;
  /** How long it is. */
  size: number;
}

/** Collects one row that comes in pieces. */
export class FrameBuffer {
  readonly #limit: number;
  #pieces: Uint8Array[] = [];
  #held = 0;
  #size = 0;
  #line = 0;
  #offset = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  begin(line: number, offset: number): void {
    this.#line = line;
    this.#offset = offset;
  }

  /** Keeps the piece as it is, without a copy: its bytes must not change before the row is taken. */
  add(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#size += piece.length;
    if (this.#size <= this.#limit) {
      this.#pieces.push(piece);
      this.#held += piece.length;
      return;
    }
    // Too long: its beginning is for whoever wants to know which row it was.
    if (this.#held > rawBytes) {
      this.#pieces = [Buffer.from(Buffer.concat(this.#pieces).subarray(0, rawBytes))];
    } else if (this.#held < rawBytes) {
      this.#pieces.push(Buffer.from(piece.subarray(0, rawBytes - this.#held)));
    }
    this.#held = Math.min(rawBytes, this.#size);
  }

  take(): Frame {
    const [first] = this.#pieces;
    const bytes =
      this.#pieces.length === 1
        ? Buffer.from(first!.buffer, first!.byteOffset, first!.byteLength)
        : Buffer.concat(this.#pieces);
    const frame = { line: this.#line, offset: this.#offset, bytes, size: this.#size };
    this.#pieces = [];
    this.#held = 0;
    this.#size = 0;
    return frame;
  }
}
