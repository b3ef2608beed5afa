import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { crc32, createInflateRaw } from 'node:zlib';
import { ModelError } from './errors.ts';

/** One file of an archive, as its central directory has it. */
export interface ZipMember {
  name: string;
  /** 0: stored, 8: deflated. */
  method: number;
  crc: number;
  compressed: number;
  size: number;
  /** Of its local header, from the archive's start. */
  offset: number;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const END64_LOCATOR = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
/** A 16-bit or 32-bit field of this value has its real one in the zip64 records. */
const SEE64_16 = 0xffff;
const SEE64 = 0xffffffff;

/** A zip file opened for reading single members; wheels are such files. Every offset is checked against the file's size. */
export class ZipFile {
  readonly members: ReadonlyMap<string, ZipMember>;
  readonly #file: FileHandle;
  readonly #path: string;

  private constructor(file: FileHandle, path: string, members: Map<string, ZipMember>) {
    this.#file = file;
    this.#path = path;
    this.members = members;
  }

  static async open(path: string): Promise<ZipFile> {
    const file = await open(path, 'r');
    try {
      return new ZipFile(file, path, await readDirectory(file, path));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** The content of a member in chunks. Fails when its size or CRC-32 is not what the directory says. */
  async *read(member: ZipMember): AsyncGenerator<Buffer> {
    if (member.method !== 0 && member.method !== 8) {
      throw broken(
        this.#path,
        `its member ${member.name} is compressed by method ${member.method}, only 0 and 8 are known`,
      );
    }
    const header = await readAt(this.#file, this.#path, member.offset, 30);
    if (header.readUInt32LE(0) !== LOCAL)
      throw broken(this.#path, `the header of ${member.name} is not where it should be`);
    const start = member.offset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
    const packed = Readable.from(chunks(this.#file, this.#path, start, member.compressed));
    const content = member.method === 0 ? packed : packed.compose(createInflateRaw());
    let size = 0;
    let crc = 0;
    try {
      for await (const chunk of content as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > member.size) break;
        crc = crc32(chunk, crc);
        yield chunk;
      }
    } catch (error) {
      if (String((error as NodeJS.ErrnoException).code).startsWith('Z_')) {
        throw broken(this.#path, `${member.name} cannot be decompressed`);
      }
      throw error;
    }
    if (size !== member.size)
      throw broken(this.#path, `${member.name} does not have the ${member.size} bytes it should have`);
    if (crc !== member.crc) throw broken(this.#path, `the checksum of ${member.name} is wrong`);
  }
}

function broken(path: string, what: string): ModelError {
  return new ModelError('integrity', `The archive ${path} is damaged: ${what}. Remove it and try again.`);
}

async function readAt(file: FileHandle, path: string, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  const { bytesRead } = await file.read(buffer, 0, length, offset);
  if (bytesRead !== length) throw broken(path, 'it ends too early');
  return buffer;
}

async function* chunks(
  file: FileHandle,
  path: string,
  start: number,
  length: number,
): AsyncGenerator<Buffer> {
  for (let at = 0; at < length; ) {
    const take = Math.min(1 << 18, length - at);
    yield await readAt(file, path, start + at, take);
    at += take;
  }
}

/** Where the central directory is: from the end record, or its zip64 form. */
async function locateDirectory(file: FileHandle, path: string, size: number) {
  // The end record is last, followed only by a comment of at most 65,535 bytes.
  const tailLength = Math.min(size, 22 + 0xffff);
  const tail = await readAt(file, path, size - tailLength, tailLength);
  let end = tailLength - 22;
  while (end >= 0 && tail.readUInt32LE(end) !== END) end--;
  if (end < 0) throw broken(path, 'it is not a zip file, or its end is missing');
  const found = {
    entries: tail.readUInt16LE(end + 10),
    length: tail.readUInt32LE(end + 12),
    offset: tail.readUInt32LE(end + 16),
  };
  if (found.entries !== SEE64_16 && found.length !== SEE64 && found.offset !== SEE64) return found;
  const locator = end - 20;
  if (locator < 0 || tail.readUInt32LE(locator) !== END64_LOCATOR) return found;
  const end64 = await readAt(file, path, Number(tail.readBigUInt64LE(locator + 8)), 56);
  if (end64.readUInt32LE(0) !== END64) throw broken(path, 'its zip64 end record is missing');
  return {
    entries: Number(end64.readBigUInt64LE(32)),
    length: Number(end64.readBigUInt64LE(40)),
    offset: Number(end64.readBigUInt64LE(48)),
  };
}

async function readDirectory(file: FileHandle, path: string): Promise<Map<string, ZipMember>> {
  const { size } = await file.stat();
  if (size < 22) throw broken(path, 'it is too short for a zip file');
  const { entries, length, offset } = await locateDirectory(file, path, size);
  if (offset + length > size) throw broken(path, 'its directory points past its end');
  const directory = await readAt(file, path, offset, length);
  const members = new Map<string, ZipMember>();
  let at = 0;
  for (let i = 0; i < entries; i++) {
    if (at + 46 > length || directory.readUInt32LE(at) !== CENTRAL)
      throw broken(path, 'its directory is cut short');
    const nameLength = directory.readUInt16LE(at + 28);
    const extraLength = directory.readUInt16LE(at + 30);
    const next = at + 46 + nameLength + extraLength + directory.readUInt16LE(at + 32);
    if (next > length) throw broken(path, 'its directory is cut short');
    const member: ZipMember = {
      name: directory.toString('utf8', at + 46, at + 46 + nameLength),
      method: directory.readUInt16LE(at + 10),
      crc: directory.readUInt32LE(at + 16),
      compressed: directory.readUInt32LE(at + 20),
      size: directory.readUInt32LE(at + 24),
      offset: directory.readUInt32LE(at + 42),
    };
    widen(member, directory.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength));
    if (member.offset + 30 + member.compressed > size)
      throw broken(path, `${member.name} points past its end`);
    members.set(member.name, member);
    at = next;
  }
  return members;
}

/** Takes the fields that do not fit 32 bits from the zip64 extra field, in the format's order. */
function widen(member: ZipMember, extra: Buffer): void {
  for (let at = 0; at + 4 <= extra.length; ) {
    const id = extra.readUInt16LE(at);
    const end = at + 4 + extra.readUInt16LE(at + 2);
    if (id === 1 && end <= extra.length) {
      let field = at + 4;
      for (const key of ['size', 'compressed', 'offset'] as const) {
        if (member[key] !== SEE64 || field + 8 > end) continue;
        member[key] = Number(extra.readBigUInt64LE(field));
        field += 8;
      }
    }
    at = end;
  }
}
