/**
 * Blobs as files: aa/bb/HASH, read-only. One is whole or not there: it is written in `unfinished/`, made durable, and renamed;
 * what a crash leaves there is thrown away by the next sweep.
 */
import { createReadStream } from 'node:fs';
import { chmod, mkdir, open, opendir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { blobMissing, isHash, verified } from './blob_errors.ts';
import type { BlobStore } from './blob_store.ts';
import { emptySpool, spool } from './spool.ts';
import { storeError } from './store_error.ts';

const spoolName = 'unfinished';

export class FileBlobs implements BlobStore {
  readonly #folder: string;
  readonly #spool: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#spool = join(folder, spoolName);
  }

  /** The folder is made where it is not there. */
  static async open(folder: string): Promise<FileBlobs> {
    const blobs = new FileBlobs(folder);
    await mkdir(blobs.#spool, { recursive: true });
    return blobs;
  }

  async write(source: AsyncIterable<Uint8Array>, limit?: number): Promise<{ sha256: string; bytes: number }> {
    const { path, sha256, bytes } = await spool(this.#spool, source, limit);
    try {
      const target = this.#path(sha256);
      await chmod(path, 0o400);
      await mkdir(dirname(target), { recursive: true });
      await rename(path, target);
      // A rename outlasts a power cut only once its folder is on disk, and new folders once theirs are.
      for (let folder = dirname(target); ; folder = dirname(folder)) {
        await syncFolder(folder);
        if (folder === this.#folder) break;
      }
      return { sha256, bytes };
    } catch (error) {
      await rm(path, { force: true }).catch(() => {});
      throw storeError(error);
    }
  }

  async *read(sha256: string, range?: { offset: number; bytes: number }): AsyncGenerator<Uint8Array> {
    if ((await this.size(sha256)) === undefined) throw blobMissing(sha256);
    if (range?.bytes === 0) return;
    const part = range ? { start: range.offset, end: range.offset + range.bytes - 1 } : {};
    const stream = createReadStream(this.#path(sha256), { ...part, highWaterMark: 1 << 18 });
    try {
      yield* verified(stream as AsyncIterable<Buffer>, sha256, range);
    } catch (error) {
      throw isAbsent(error) ? blobMissing(sha256) : error;
    } finally {
      stream.destroy();
    }
  }

  async size(sha256: string): Promise<number | undefined> {
    if (!isHash(sha256)) return undefined;
    try {
      return (await stat(this.#path(sha256))).size;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw storeError(error);
    }
  }

  async delete(sha256: string): Promise<void> {
    if ((await this.size(sha256)) === undefined) return;
    const path = this.#path(sha256);
    await rm(path, { force: true });
    await syncFolder(dirname(path));
  }

  async sweep(isUsed: (sha256: string) => Promise<boolean>): Promise<void> {
    await emptySpool(this.#spool);
    for await (const entry of await opendir(this.#folder, { recursive: true })) {
      if (entry.isFile() && isHash(entry.name) && !(await isUsed(entry.name))) await this.delete(entry.name);
    }
  }

  async close(): Promise<void> {}

  #path(sha256: string): string {
    return join(this.#folder, sha256.slice(0, 2), sha256.slice(2, 4), sha256);
  }
}

function isAbsent(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}
