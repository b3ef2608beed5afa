/**
 * Checks the encodings of a page (apache/parquet-format, Encodings.md) before hyparquet decodes them: it trusts the lengths that
 * are written there, and would fill the memory or never end where they lie.
 */
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js';

const bad = () => new Error('the values of a page are damaged');

/** ULEB128 of at most `bytes` bytes and 53 bits. */
function varint(bytes: Uint8Array, at: number, most: number): { value: number; at: number } {
  let value = 0;
  for (let i = 0; i < most; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) throw bad();
    value += (byte & 127) * 2 ** (7 * i);
    if (byte < 128) return { value, at: at + i + 1 };
  }
  throw bad();
}

export const bitWidth = (largest: number) => 32 - Math.clz32(largest);

/** `count` values in runs and packed groups (RLE / bit-packing hybrid) that begin at `start` and end before `end`. */
export function checkRuns(bytes: Uint8Array, start: number, end: number, width: number, count: number): void {
  if (width === 0 || width > 32 || end > bytes.length) throw bad();
  let at = start;
  for (let seen = 0; seen < count; ) {
    const head = varint(bytes, at, 5);
    if (head.value > 2 ** 31 - 1) throw bad();
    at = head.at;
    const run = head.value >>> 1;
    if (head.value & 1) {
      // Groups of eight, the last of which may be filled up; some writers fill up to 64 groups.
      // Of a run of no groups hyparquet would read a byte that is not its own.
      if (run === 0 || run * 8 > count - seen + 512) throw bad();
      seen += run * 8;
      at += run * width;
    } else {
      if (run > count - seen) throw bad();
      seen += run;
      at += (width + 7) >> 3;
    }
    // Of the last groups, those bytes may be missing that no value needs.
    if (at > end && !(head.value & 1 && seen >= count)) throw bad();
  }
}

/** DELTA_BINARY_PACKED; returns where it ends. */
export function checkDeltas(bytes: Uint8Array, start: number, count: number): number {
  const block = varint(bytes, start, 5);
  const miniblocks = varint(bytes, block.at, 5);
  const total = varint(bytes, miniblocks.at, 5);
  let { at } = varint(bytes, total.at, 10);
  const values = block.value / miniblocks.value;
  if (block.value > 2 ** 20 || miniblocks.value > 2 ** 12 || !Number.isInteger(values) || values % 8 !== 0)
    throw bad();
  for (let seen = 1; seen < count; ) {
    at = varint(bytes, at, 10).at;
    const widths = bytes.subarray(at, at + miniblocks.value);
    if (widths.length < miniblocks.value) throw bad();
    at += miniblocks.value;
    for (let i = 0; i < miniblocks.value && seen < count; i++, seen += values) {
      if (widths[i]! > 64) throw bad();
      at += (widths[i]! * values) / 8;
    }
  }
  if (at > bytes.length) throw bad();
  return at;
}

/** DELTA_BYTE_ARRAY repeats prefixes: the texts must not become longer than `most` bytes together. */
export function checkPrefixes(bytes: Uint8Array, start: number, count: number, most: number): void {
  const second = checkDeltas(bytes, start, count);
  checkDeltas(bytes, second, count);
  const prefixes = new Int32Array(count);
  const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: start };
  deltaBinaryUnpack(reader, count, prefixes);
  let sum = 0;
  for (const prefix of prefixes) {
    if (prefix < 0) throw bad();
    sum += prefix;
  }
  if (sum > most) throw bad();
}
