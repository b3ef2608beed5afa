/**
 * Blobs as objects of an S3-compatible bucket: blobs/aa/bb/HASH. A blob is spooled to the local disk first: its key is its
 * hash, known only at the end, and a copy from a temporary key would move all bytes twice and is limited to 5 GB. An object
 * appears as a whole or not at all, a large one too, whose parts are joined at the end.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { blobDamaged, blobMissing, isHash, verified } from './blob_errors.ts';
import type { BlobStore } from './blob_store.ts';
import { S3Client, type S3Config } from './s3_client.ts';
import { emptySpool, type Spooled, spool } from './spool.ts';
import { storeError } from './store_error.ts';

/** At most so many bytes are held in memory, and sent at once. */
const partBytes = 16 * 2 ** 20;
/** Of an upload, by Amazon. */
const maxParts = 10_000;
/** Connections that may break while one blob is read. */
const maxBreaks = 5;
const prefix = 'blobs/';

export class S3Blobs implements BlobStore {
  readonly #client: S3Client;
  readonly #spool: string;

  private constructor(client: S3Client, folder: string) {
    this.#client = client;
    this.#spool = folder;
  }

  /** `folder`: this process's own, of the local disk, for blobs on their way; what is in it is thrown away. */
  static async open(config: S3Config, folder: string): Promise<S3Blobs> {
    await emptySpool(folder);
    return new S3Blobs(new S3Client(config), folder);
  }

  async write(source: AsyncIterable<Uint8Array>, limit?: number): Promise<{ sha256: string; bytes: number }> {
    const spooled = await spool(this.#spool, source, limit);
    try {
      const { sha256, bytes } = spooled;
      if ((await this.size(sha256)) !== bytes) await this.#upload(spooled);
      return { sha256, bytes };
    } finally {
      await rm(spooled.path, { force: true });
    }
  }

  async *read(sha256: string, range?: { offset: number; bytes: number }): AsyncGenerator<Uint8Array> {
    const size = await this.size(sha256);
    if (size === undefined) throw blobMissing(sha256);
    const from = range?.offset ?? 0;
    const end = Math.min(size, from + (range?.bytes ?? size));
    yield* verified(this.#stretch(sha256, from, end), sha256, range);
  }

  async size(sha256: string): Promise<number | undefined> {
    return isHash(sha256) ? this.#client.size(keyOf(sha256)) : undefined;
  }

  async delete(sha256: string): Promise<void> {
    if (isHash(sha256)) await this.#client.delete(keyOf(sha256));
  }

  async sweep(isUsed: (sha256: string) => Promise<boolean>): Promise<void> {
    for (const { key, uploadId } of await this.#client.uploads(prefix)) {
      await this.#client.abortUpload(key, uploadId);
    }
    for await (const key of this.#client.list(prefix)) {
      const sha256 = key.slice(key.lastIndexOf('/') + 1);
      if (isHash(sha256) && !(await isUsed(sha256))) await this.delete(sha256);
    }
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #upload({ path, sha256, bytes }: Spooled): Promise<void> {
    const key = keyOf(sha256);
    const file = await open(path, 'r');
    try {
      if (bytes <= partBytes) {
        await this.#client.put(key, await readPart(file, 0, bytes));
        return;
      }
      const size = Math.max(partBytes, Math.ceil(bytes / maxParts));
      const uploadId = await this.#client.beginUpload(key);
      try {
        const etags: string[] = [];
        for (let at = 0; at < bytes; at += size) {
          const part = await readPart(file, at, Math.min(size, bytes - at));
          etags.push(await this.#client.uploadPart(key, uploadId, etags.length + 1, part));
        }
        await this.#client.completeUpload(key, uploadId, etags);
      } catch (error) {
        await this.#client.abortUpload(key, uploadId).catch(() => {});
        throw error;
      }
    } finally {
      await file.close();
    }
  }

  /** Bytes from `from` up to `end`; goes on where a connection broke. */
  async *#stretch(sha256: string, from: number, end: number): AsyncGenerator<Uint8Array> {
    for (let at = from, breaks = 0; at < end; ) {
      const body = await this.#client.get(keyOf(sha256), at, end - 1);
      if (!body) throw blobMissing(sha256);
      const before = at;
      try {
        for await (const chunk of body) {
          at += chunk.length;
          yield chunk;
        }
        if (at === before) throw blobDamaged(sha256, `it ends at ${at} instead of ${end}`);
      } catch (error) {
        const told = storeError(error);
        if (told === error || ++breaks > maxBreaks) throw told;
      }
    }
  }
}

function keyOf(sha256: string): string {
  return `${prefix}${sha256.slice(0, 2)}/${sha256.slice(2, 4)}/${sha256}`;
}

async function readPart(file: FileHandle, offset: number, bytes: number): Promise<Uint8Array> {
  const part = Buffer.allocUnsafe(bytes);
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await file.read(part, at, bytes - at, offset + at);
    if (bytesRead === 0) throw new Error(`The spooled file ends at ${offset + at}`);
    at += bytesRead;
  }
  return part;
}
