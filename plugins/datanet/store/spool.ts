/** Bytes of unknown length and hash on their way into a store: written to a file of their own, durable before they are told. */
import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { storeError } from './store_error.ts';

export interface Spooled {
  path: string;
  /** Hex. */
  sha256: string;
  bytes: number;
}

/** A new file in `folder`. What fails leaves none: a source that breaks, more than `limit` bytes (`too_large`), a full disk. */
export async function spool(
  folder: string,
  source: AsyncIterable<Uint8Array>,
  limit = Number.POSITIVE_INFINITY,
): Promise<Spooled> {
  const path = join(folder, randomUUID());
  const hash = createHash('sha256');
  let bytes = 0;
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'wx', 0o600);
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > limit) throw tooLarge(limit);
      hash.update(chunk);
      await file.writeFile(chunk);
    }
    await file.sync();
    await file.close();
    return { path, sha256: hash.digest('hex'), bytes };
  } catch (error) {
    await file?.close().catch(() => {});
    await rm(path, { force: true }).catch(() => {});
    throw storeError(error);
  }
}

/** Empties the folder of what a crash left, and makes it where it is not there. */
export async function emptySpool(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
}

/** What a source of more than `limit` bytes is refused with. */
export function tooLarge(limit: number): ColophonError {
  return new ColophonError(`The data is longer than ${limit} bytes, and that is as much as is taken here.`, {
    status: 413,
    code: 'too_large',
  });
}
