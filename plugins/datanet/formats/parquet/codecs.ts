/** Uncompresses pages, into no more bytes than their headers have said. */
import * as zlib from 'node:zlib';
import { decompress as zstdDecompress } from 'fzstd';
import { snappyUncompress } from './snappy.ts';

type Codec = (input: Uint8Array, size: number) => Uint8Array;

const codecs: Readonly<Record<string, Codec>> = {
  UNCOMPRESSED: (input) => input,
  SNAPPY: snappyUncompress,
  GZIP: (input, size) => zlib.gunzipSync(input, { maxOutputLength: size }),
  BROTLI: (input, size) => zlib.brotliDecompressSync(input, { maxOutputLength: size }),
  ZSTD: (input, size) => zstdDecompress(input, new Uint8Array(size)),
};

export const isCodec = (name: string) => Object.hasOwn(codecs, name);

/** A page's bytes in a buffer of their own, so that what reads them cannot reach beyond. */
export function uncompress(codec: string, input: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const output = size === 0 ? new Uint8Array(0) : codecs[codec]!(input, size);
  if (output.length !== size)
    throw new Error(`a page has ${output.length} bytes, and its header says ${size}`);
  return new Uint8Array(output);
}
