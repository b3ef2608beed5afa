/**
 * Snappy's block format (google/snappy, format_description.txt). Ours, since what there is in JavaScript runs for ever on a
 * literal whose length is above 2^31.
 */

/** Exactly `size` bytes, or an error. */
export function snappyUncompress(input: Uint8Array, size: number): Uint8Array {
  const output = new Uint8Array(size);
  let at = 0;
  let out = 0;
  const byte = () => {
    const value = input[at++];
    if (value === undefined) throw new Error('Snappy data ends too early');
    return value;
  };
  const integer = (bytes: number) => {
    let value = 0;
    for (let i = 0; i < bytes; i++) value += byte() * 2 ** (8 * i);
    return value;
  };
  // The length that it says it has: the page's header has said it already.
  while (byte() >= 128);
  while (at < input.length) {
    const tag = byte();
    const kind = tag & 3;
    if (kind === 0) {
      const length = (tag >> 2 < 60 ? tag >> 2 : integer((tag >> 2) - 59)) + 1;
      if (at + length > input.length || out + length > size)
        throw new Error('a literal of Snappy data is too long');
      output.set(input.subarray(at, at + length), out);
      at += length;
      out += length;
      continue;
    }
    const length = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
    const offset = kind === 1 ? (tag >> 5) * 256 + byte() : integer(kind === 2 ? 2 : 4);
    if (offset === 0 || offset > out || out + length > size)
      throw new Error('a copy of Snappy data is out of bounds');
    // Where they overlap, what was just copied is copied again.
    if (offset >= length) output.copyWithin(out, out - offset, out - offset + length);
    else for (let i = 0; i < length; i++) output[out + i] = output[out + i - offset]!;
    out += length;
  }
  if (out !== size) throw new Error('Snappy data ends too early');
  return output;
}
