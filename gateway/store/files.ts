/** Files of tenants: what is known of them in the object store, their contents on disk. */
import { randomBytes } from 'node:crypto';
import type { ReadStream } from 'node:fs';
import { join } from 'node:path';
import type { ConfigValues } from '../config/index.ts';
import { ColophonError } from '../contract/index.ts';
import { ContentFolder, type Stored } from './content_folder.ts';
import type { ObjectStore, Page } from './object_store.ts';

/** OpenAI's file object; sha256 is ours. */
export interface FileObject {
  id: string;
  object: 'file';
  bytes: number;
  created_at: number;
  expires_at: number | null;
  filename: string;
  purpose: string;
  status: 'processed';
  status_details: null;
  sha256: string;
}

export interface FileDescription {
  filename: string;
  purpose: string;
  /** From its creation on; undefined: until it is deleted. */
  expiresAfterSeconds?: number | undefined;
}

/** A whole content that is no file yet. */
export interface Arrival {
  bytes: number;
  keep(description: FileDescription): FileObject;
  discard(): Promise<void>;
}

export class Files {
  readonly folder: ContentFolder;
  readonly #store: ObjectStore;
  readonly #limits: ConfigValues['store'];
  /** Bytes of contents that are no files yet, by tenant. */
  readonly #arriving = new Map<string, number>();
  /** Files that were kept since the start: sums that were read before the last one are old. */
  #kept = 0;

  constructor(store: ObjectStore, dataFolder: string, limits: ConfigValues['store']) {
    this.folder = new ContentFolder(join(dataFolder, 'files'));
    this.#store = store;
    this.#limits = limits;
  }

  /** Before anything else; throws away what a crash or an expiry left. */
  async open(): Promise<void> {
    this.#store.purge();
    const known = new Set(this.#store.all<FileObject>('file').map(({ body }) => body.id));
    await this.folder.open((name) => known.has(name));
  }

  /**
   * Writes a content as it comes, held to the size of one file and of all of a tenant's; a 413 beyond either. It is a file
   * only once it is kept, and has to be kept or discarded.
   */
  async receive(tenant: string, source: AsyncIterable<Uint8Array>): Promise<Arrival> {
    const { file_bytes, tenant_bytes } = this.#limits;
    const id = newFileId();
    let used = this.#store.sum('file', tenant, 'bytes');
    let readAt = this.#kept;
    let own = 0;
    const arriving = (change: number) => {
      own += change;
      const now = (this.#arriving.get(tenant) ?? 0) + change;
      if (now === 0) this.#arriving.delete(tenant);
      else this.#arriving.set(tenant, now);
      return now;
    };
    const onBytes = (count: number) => {
      const all = arriving(count);
      if (own > file_bytes) throw tooLarge(file_bytes);
      if (readAt !== this.#kept) {
        used = this.#store.sum('file', tenant, 'bytes');
        readAt = this.#kept;
      }
      if (used + all <= tenant_bytes) return;
      throw new ColophonError(
        `Your files would take more than the ${tenant_bytes} bytes that they may take together; ${used} bytes are in use. Delete files that are no longer needed.`,
        { status: 413, param: 'file', code: 'storage_limit_exceeded' },
      );
    };
    try {
      const stored = await this.folder.write(id, source, onBytes);
      return {
        bytes: stored.bytes,
        keep: (description) => {
          const file = this.keep(tenant, id, stored, description);
          arriving(-own);
          return file;
        },
        discard: async () => {
          arriving(-own);
          await this.folder.delete(id);
        },
      };
    } catch (error) {
      arriving(-own);
      throw error;
    }
  }

  /** Makes a stored content a file. */
  keep(tenant: string, id: string, stored: Stored, description: FileDescription): FileObject {
    const { filename, purpose, expiresAfterSeconds } = description;
    const created = Math.floor(Date.now() / 1000);
    const expires = expiresAfterSeconds === undefined ? undefined : created + expiresAfterSeconds;
    const file: FileObject = {
      id,
      object: 'file',
      bytes: stored.bytes,
      created_at: created,
      expires_at: expires ?? null,
      filename,
      purpose,
      status: 'processed',
      status_details: null,
      sha256: stored.sha256,
    };
    this.#store.put('file', tenant, id, file, expires);
    this.#kept++;
    return file;
  }

  /**
   * Makes a durable file of the data folder a tenant's. Doing it again, after a crash at any point of it, ends the same;
   * undefined where there is nothing, neither at `from` nor under that id.
   */
  async adopt(
    tenant: string,
    id: string,
    from: string,
    description: FileDescription,
  ): Promise<FileObject | undefined> {
    const known = this.find(tenant, id);
    const stored = await this.folder.measure(from);
    // What is known first: the next start throws away contents that nobody knows.
    const file = known ?? (stored && this.keep(tenant, id, stored, description));
    if (stored) await this.folder.adopt(id, from);
    return file;
  }

  /** A 404 where the tenant has none of that id. */
  get(tenant: string, id: string): FileObject {
    const file = this.find(tenant, id);
    if (file) return file;
    throw new ColophonError(`No such File object: ${id.slice(0, 100)}`, {
      type: 'not_found_error',
      param: 'id',
      code: 'file_not_found',
    });
  }

  find(tenant: string, id: string): FileObject | undefined {
    return this.#store.get<FileObject>('file', tenant, id);
  }

  list(
    tenant: string,
    page: { after?: string; limit: number; order: 'asc' | 'desc'; purpose?: string },
  ): Page<FileObject> {
    const { purpose, ...options } = page;
    return this.#store.list('file', tenant, { ...options, ...(purpose ? { where: { purpose } } : {}) });
  }

  async content(file: FileObject): Promise<{ stream: ReadStream; bytes: number }> {
    const content = await this.folder.read(file.id);
    if (content) return content;
    throw new ColophonError(`The content of the file ${file.id} is gone.`, {
      type: 'not_found_error',
      param: 'id',
      code: 'file_not_found',
    });
  }

  async delete(tenant: string, id: string): Promise<void> {
    this.get(tenant, id);
    this.#store.delete('file', tenant, id);
    await this.folder.delete(id);
  }

  /** Deletes what has expired; tells what it was, files or not. */
  async purge(): Promise<ReturnType<ObjectStore['purge']>> {
    const gone = this.#store.purge();
    for (const { kind, id } of gone) if (kind === 'file') await this.folder.delete(id);
    return gone;
  }
}

export function newFileId(): string {
  return `file-${randomBytes(16).toString('hex')}`;
}

export function tooLarge(limit: number): ColophonError {
  return new ColophonError(
    `The file is larger than the limit of ${limit} bytes. Send less, or raise store.file_bytes.`,
    { status: 413, param: 'file', code: 'file_too_large' },
  );
}
