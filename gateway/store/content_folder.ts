/**
 * Contents of files on disk, by id. A content is whole or not there: it is written beside its place, made durable, and
 * renamed. What a crash leaves of unfinished ones is thrown away by the next start.
 */
import { createHash } from 'node:crypto';
import { createReadStream, type ReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ColophonError } from '../contract/index.ts';

export interface Stored {
  bytes: number;
  /** Hex. */
  sha256: string;
}

const unfinished = '.part';

/** Ids are the gateway's own; this keeps anything else from becoming a path. */
const idPattern = /^[A-Za-z0-9_-]{1,100}$/;

export class ContentFolder {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes the folder and forgets what was never finished, and what `known` does not know. */
  async open(known: (id: string) => boolean): Promise<void> {
    await this.make();
    for (const name of await readdir(this.#folder)) {
      if (!known(name)) await rm(join(this.#folder, name), { force: true, recursive: true });
    }
  }

  async make(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
  }

  path(id: string): string {
    if (!idPattern.test(id)) throw new Error(`"${id}" is no id of a content`);
    return join(this.#folder, id);
  }

  /**
   * Writes a content. `onBytes` is told of each chunk before it is written, and may throw to end it. Where anything fails
   * nothing is left; a full disk is a ColophonError.
   */
  async write(
    id: string,
    source: AsyncIterable<Uint8Array>,
    onBytes: (count: number) => void = () => {},
  ): Promise<Stored> {
    const path = this.path(id);
    const part = path + unfinished;
    const hash = createHash('sha256');
    let bytes = 0;
    let file: FileHandle | undefined;
    try {
      file = await open(part, 'wx', 0o600);
      for await (const chunk of source) {
        onBytes(chunk.length);
        bytes += chunk.length;
        hash.update(chunk);
        await file.writeFile(chunk);
      }
      await file.sync();
      await file.close();
      file = undefined;
      await rename(part, path);
      await this.#sync();
      return { bytes, sha256: hash.digest('hex') };
    } catch (error) {
      await file?.close().catch(() => {});
      await rm(part, { force: true }).catch(() => {});
      throw diskError(error);
    }
  }

  /** Takes a durable file of the same file system in as a content. */
  async adopt(id: string, from: string): Promise<void> {
    await rename(from, this.path(id));
    await this.#sync();
  }

  /** What a file would be as a content; undefined where there is none. */
  async measure(path: string): Promise<Stored | undefined> {
    const hash = createHash('sha256');
    let bytes = 0;
    try {
      for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
        hash.update(chunk);
        bytes += chunk.length;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    return { bytes, sha256: hash.digest('hex') };
  }

  /** Opened, so that a failure is told before the first byte; undefined where it is gone. */
  async read(id: string): Promise<{ stream: ReadStream; bytes: number } | undefined> {
    try {
      const file = await open(this.path(id), 'r');
      const { size } = await file.stat();
      return { stream: file.createReadStream(), bytes: size };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async delete(id: string): Promise<void> {
    await rm(this.path(id), { force: true });
  }

  /** A rename outlasts a power cut only once its folder is on disk. */
  async #sync(): Promise<void> {
    const folder = await open(this.#folder, 'r');
    await folder.sync().finally(() => folder.close());
  }
}

/** The error of a disk that takes no more, for clients; others as they are. */
export function diskError(error: unknown): unknown {
  const { code } = (error ?? {}) as NodeJS.ErrnoException;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new ColophonError(
    'The disk of the server is full, so that nothing was stored. Delete files that are no longer needed, or ask its operator for room.',
    { type: 'service_unavailable_error', status: 507, code: 'disk_full', cause: error },
  );
}
