/** Lists of token ids as the database keeps them: 32-bit words, of each list its length and then its ids. */

export function packLists(lists: ReadonlyArray<ArrayLike<number>>): Buffer {
  const words = new Int32Array(lists.reduce((sum, { length }) => sum + 1 + length, 0));
  let at = 0;
  for (const list of lists) {
    words[at] = list.length;
    words.set(list, at + 1);
    at += 1 + list.length;
  }
  return bytesOf(words);
}

export function unpackLists(bytes: Buffer): number[][] {
  const words = wordsOf(bytes);
  const lists: number[][] = [];
  for (let at = 0; at < words.length; at += 1 + words[at]!)
    lists.push(Array.from(words.subarray(at + 1, at + 1 + words[at]!)));
  return lists;
}

/** The bytes of words, and back; the same on every machine that the engine runs on. */
export const bytesOf = ({ buffer, byteOffset, byteLength }: Int32Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

export const wordsOf = (bytes: Buffer): Int32Array =>
  new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
