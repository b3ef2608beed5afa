/** Undoes gzip and zstd on the way, within limits. */
import { pipeline, Readable, type Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import type { ReadLimits } from './format.ts';
import { damagedFile, expandsTooMuch, unknownFormat } from './refusal.ts';

export type Compression = 'gzip' | 'zstd';

/** What any file may become, whatever the ratio: small ones of repeated rows compress very well. */
const alwaysAllowed = 2 ** 20;

export function compressionOf(head: Uint8Array): Compression | undefined {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return 'zstd';
  return undefined;
}

/** How many bytes a file of `size` may become. */
export function expandedLimit(size: number, { ratio, expandedBytes }: ReadLimits): number {
  return Math.min(expandedBytes, Math.max(ratio * size, alwaysAllowed));
}

/** The uncompressed bytes; what would become more than the limit is refused when it does, not when it has. */
export async function* expand(
  chunks: AsyncIterable<Uint8Array>,
  compression: Compression,
  { filename, size, limits }: { filename: string; size: number; limits: ReadLimits },
): AsyncGenerator<Uint8Array> {
  const decompressor = newDecompressor(compression, filename);
  const most = expandedLimit(size, limits);
  let bytes = 0;
  pipeline(Readable.from(chunks), decompressor, () => {});
  try {
    for await (const chunk of decompressor as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > most) {
        throw expandsTooMuch(filename, `its ${size} bytes become more than ${most}, the most that they may`);
      }
      yield chunk;
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (!code?.startsWith('Z_') && !code?.startsWith('ZSTD_')) throw error;
    throw damagedFile(filename, `its ${compression} data cannot be uncompressed (${message})`, error);
  } finally {
    decompressor.destroy();
  }
}

function newDecompressor(compression: Compression, filename: string): Transform {
  if (compression === 'gzip') return zlib.createGunzip();
  // Since Node 22.15.
  const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform };
  if (createZstdDecompress) return createZstdDecompress();
  throw unknownFormat(
    filename,
    `it is compressed with zstd, which Node ${process.versions.node} cannot undo; use gzip`,
  );
}
