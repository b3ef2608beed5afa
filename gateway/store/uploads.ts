/** Files that come in parts: each part is on disk before it is answered, and they become one file at the end. */
import { createHash, randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ColophonError } from '../contract/index.ts';
import { ContentFolder } from './content_folder.ts';
import type { FileDescription, FileObject, Files } from './files.ts';
import type { ObjectStore } from './object_store.ts';

export interface UploadObject {
  id: string;
  object: 'upload';
  /** Of the whole file, as it was announced. */
  bytes: number;
  created_at: number;
  expires_at: number;
  filename: string;
  purpose: string;
  status: 'pending' | 'completed' | 'cancelled';
  file: FileObject | null;
}

interface UploadRecord {
  upload: UploadObject;
  expiresAfterSeconds?: number;
  /** Bytes of each. */
  parts: Record<string, number>;
}

export interface UploadPart {
  id: string;
  object: 'upload.part';
  created_at: number;
  upload_id: string;
}

/** OpenAI's: an hour from its beginning to its end; parts of 64 MiB. */
const lifeSeconds = 3600;
export const partBytes = 64 * 2 ** 20;
/** Their parts are in nobody's sum until they are files. */
const pendingAtMost = 16;
const partsAtMost = 10_000;

export class Uploads {
  readonly #store: ObjectStore;
  readonly #files: Files;
  readonly #folder: string;
  /** Uploads that are being put together. */
  readonly #ending = new Set<string>();

  constructor(store: ObjectStore, files: Files, dataFolder: string) {
    this.#store = store;
    this.#files = files;
    this.#folder = join(dataFolder, 'uploads');
  }

  create(tenant: string, bytes: number, description: FileDescription): UploadObject {
    const pending = this.#store.list<UploadRecord>('upload', tenant, {
      limit: pendingAtMost,
      order: 'desc',
      where: { 'upload.status': 'pending' },
    });
    if (pending.data.length >= pendingAtMost) {
      throw new ColophonError(
        `You have ${pendingAtMost} uploads that are neither complete nor cancelled, the most at once. Complete or cancel one.`,
        { type: 'rate_limit_error', code: 'too_many_uploads' },
      );
    }
    const created = now();
    const upload: UploadObject = {
      id: `upload_${randomBytes(16).toString('hex')}`,
      object: 'upload',
      bytes,
      created_at: created,
      expires_at: created + lifeSeconds,
      filename: description.filename,
      purpose: description.purpose,
      status: 'pending',
      file: null,
    };
    const { expiresAfterSeconds } = description;
    const record: UploadRecord = {
      upload,
      parts: {},
      ...(expiresAfterSeconds === undefined ? {} : { expiresAfterSeconds }),
    };
    this.#store.put('upload', tenant, upload.id, record, upload.expires_at);
    return upload;
  }

  /** Keeps a part, which may not make the upload longer than it was announced. */
  async addPart(tenant: string, id: string, source: AsyncIterable<Uint8Array>): Promise<UploadPart> {
    const { upload } = this.#pending(tenant, id);
    const parts = this.#parts(id);
    await parts.make();
    const part = `part_${randomBytes(16).toString('hex')}`;
    let size = 0;
    const check = (more: number) => {
      size += more;
      if (size > Math.min(partBytes, upload.bytes)) throw tooMuch(upload);
    };
    const { bytes } = await parts.write(part, source, check).catch((error) => {
      // Its folder goes with an upload that is cancelled meanwhile.
      this.#pending(tenant, id);
      throw error;
    });
    try {
      this.#change(tenant, id, (record) => {
        record.parts[part] = bytes;
        const sum = Object.values(record.parts).reduce((total, one) => total + one, 0);
        if (sum > upload.bytes) throw tooMuch(upload);
        if (Object.keys(record.parts).length > partsAtMost) throw tooMuch(upload);
      });
    } catch (error) {
      await parts.delete(part);
      throw error;
    }
    return { id: part, object: 'upload.part', created_at: now(), upload_id: id };
  }

  async complete(
    tenant: string,
    id: string,
    partIds: string[],
    md5: string | undefined,
  ): Promise<UploadObject> {
    const { upload, parts, expiresAfterSeconds } = this.#pending(tenant, id);
    const unknown = partIds.find((part) => !Object.hasOwn(parts, part));
    if (unknown !== undefined) {
      throw wrong(`The upload has no part '${unknown.slice(0, 100)}'.`, 'part_ids');
    }
    const sum = partIds.reduce((total, part) => total + parts[part]!, 0);
    if (sum !== upload.bytes || new Set(partIds).size !== partIds.length) {
      throw wrong(
        `The parts have ${sum} bytes together, but the upload was announced with ${upload.bytes}; name each part once.`,
        'part_ids',
      );
    }
    this.#ending.add(id);
    try {
      const folder = this.#parts(id);
      const hash = createHash('md5');
      const arrival = await this.#files.receive(tenant, joined(folder, partIds, hash));
      if (md5 !== undefined && md5.toLowerCase() !== hash.digest('hex')) {
        await arrival.discard();
        throw wrong('The MD5 of the parts together is another.', 'md5');
      }
      const { filename, purpose } = upload;
      const file = arrival.keep({ filename, purpose, expiresAfterSeconds });
      return await this.#end(tenant, id, 'completed', file);
    } finally {
      this.#ending.delete(id);
    }
  }

  async cancel(tenant: string, id: string): Promise<UploadObject> {
    this.#pending(tenant, id);
    return this.#end(tenant, id, 'cancelled', null);
  }

  /** The parts of an upload that is over. */
  async discard(id: string): Promise<void> {
    await rm(join(this.#folder, id), { recursive: true, force: true });
  }

  /** At a start: throws away what belongs to no upload. */
  async open(): Promise<void> {
    const known = new Set(
      this.#store
        .all<UploadRecord>('upload')
        .filter(({ body }) => body.upload.status === 'pending')
        .map(({ body }) => body.upload.id),
    );
    await new ContentFolder(this.#folder).open((name) => known.has(name));
  }

  async #end(
    tenant: string,
    id: string,
    status: 'completed' | 'cancelled',
    file: FileObject | null,
  ): Promise<UploadObject> {
    const { upload } = this.#change(tenant, id, (record) => {
      Object.assign(record.upload, { status, file });
      record.parts = {};
    });
    await this.discard(id);
    return upload;
  }

  #parts(id: string): ContentFolder {
    return new ContentFolder(join(this.#folder, id));
  }

  #pending(tenant: string, id: string): UploadRecord {
    const record = this.#store.get<UploadRecord>('upload', tenant, id);
    if (!record) throw noUpload(id);
    const { status } = record.upload;
    if (status === 'pending' && !this.#ending.has(id)) return record;
    throw new ColophonError(`The upload '${id}' is ${status === 'pending' ? 'being completed' : status}.`, {
      type: 'conflict_error',
      code: 'upload_not_pending',
      param: 'upload_id',
    });
  }

  #change(tenant: string, id: string, change: (record: UploadRecord) => void): UploadRecord {
    const changed = this.#store.change<UploadRecord>('upload', tenant, id, (record) => {
      if (record.upload.status !== 'pending') throw noUpload(id);
      change(record);
      return record;
    });
    if (!changed) throw noUpload(id);
    return changed;
  }
}

async function* joined(folder: ContentFolder, ids: string[], hash: ReturnType<typeof createHash>) {
  for (const id of ids) {
    const part = await folder.read(id);
    if (!part) throw wrong(`The part '${id}' is gone; send it again.`, 'part_ids');
    for await (const chunk of part.stream as AsyncIterable<Buffer>) {
      hash.update(chunk);
      yield chunk;
    }
  }
}

function tooMuch({ bytes }: UploadObject): ColophonError {
  return new ColophonError(
    `The part is too large: a part may have ${partBytes} bytes, and all of this upload ${bytes}, as it was announced.`,
    { status: 413, param: 'data', code: 'part_too_large' },
  );
}

function noUpload(id: string): ColophonError {
  return new ColophonError(`No pending upload found with id '${id.slice(0, 100)}'.`, {
    type: 'not_found_error',
    param: 'upload_id',
    code: 'upload_not_found',
  });
}

function wrong(sentence: string, param: string): ColophonError {
  return new ColophonError(sentence, { param, code: 'invalid_value' });
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
