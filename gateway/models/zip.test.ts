import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fakeGguf } from './testing.ts';
import { ZipFile } from './zip.ts';

const content = fakeGguf(700_000);
const text = Buffer.from('a colophon ends a book\n'.repeat(5000));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'colophon-zip-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function open(bytes: Uint8Array): Promise<ZipFile> {
  const path = join(folder, `${Math.random()}.zip`);
  await writeFile(path, bytes);
  return ZipFile.open(path);
}

async function contentOf(zip: ZipFile, name: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of zip.read(zip.members.get(name)!)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const archive = () =>
  Buffer.from(
    zipSync({ stored: [content, { level: 0 }], 'a/deflated': [text, { level: 9 }], empty: new Uint8Array() }),
  );

/** The same archive with the fields of its first member moved to zip64 records. */
function asZip64(bytes: Buffer): Buffer {
  const end = bytes.length - 22;
  const entries = bytes.readUInt16LE(end + 10);
  const offset = bytes.readUInt32LE(end + 16);
  const directory = bytes.subarray(offset, end);
  const nameLength = directory.readUInt16LE(28);
  const extra = Buffer.alloc(28);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(24, 2);
  extra.writeBigUInt64LE(BigInt(directory.readUInt32LE(24)), 4);
  extra.writeBigUInt64LE(BigInt(directory.readUInt32LE(20)), 12);
  extra.writeBigUInt64LE(BigInt(directory.readUInt32LE(42)), 20);
  const first = Buffer.from(directory.subarray(0, 46 + nameLength));
  for (const at of [20, 24, 42]) first.writeUInt32LE(0xffffffff, at);
  const oldExtra = directory.readUInt16LE(30);
  first.writeUInt16LE(28, 30);
  const wide = Buffer.concat([first, extra, directory.subarray(46 + nameLength + oldExtra)]);
  const end64 = Buffer.alloc(56);
  end64.writeUInt32LE(0x06064b50, 0);
  end64.writeBigUInt64LE(BigInt(entries), 32);
  end64.writeBigUInt64LE(BigInt(wide.length), 40);
  end64.writeBigUInt64LE(BigInt(offset), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(offset + wide.length), 8);
  const tail = Buffer.from(bytes.subarray(end));
  tail.writeUInt16LE(0xffff, 10);
  tail.writeUInt32LE(0xffffffff, 16);
  return Buffer.concat([bytes.subarray(0, offset), wide, end64, locator, tail]);
}

describe('ZipFile', () => {
  it.each([
    ['plain', (bytes: Buffer) => bytes],
    ['zip64', asZip64],
    [
      'with a comment',
      (bytes: Buffer) => {
        bytes.writeUInt16LE(5, bytes.length - 2);
        return Buffer.concat([bytes, Buffer.from('hello')]);
      },
    ],
  ])('reads members of a %s archive', async (_name, change) => {
    const zip = await open(change(archive()));
    expect([...zip.members.keys()]).toEqual(['stored', 'a/deflated', 'empty']);
    expect((await contentOf(zip, 'stored')).equals(content)).toBe(true);
    expect((await contentOf(zip, 'a/deflated')).equals(text)).toBe(true);
    expect(await contentOf(zip, 'empty')).toHaveLength(0);
    await zip.close();
  });

  it('finds damage in the content', async () => {
    const bytes = archive();
    bytes[5000]! ^= 1;
    const zip = await open(bytes);
    await expect(contentOf(zip, 'stored')).rejects.toThrow('checksum of stored is wrong');
    await zip.close();
  });

  it('refuses what is cut short or lies about itself', async () => {
    const bytes = archive();
    await expect(open(bytes.subarray(0, bytes.length - 40))).rejects.toThrow('not a zip file');
    await expect(open(Buffer.from('PK'))).rejects.toThrow('too short');
    const far = Buffer.from(bytes);
    far.writeUInt32LE(0x7fffffff, far.length - 22 + 16);
    await expect(open(far)).rejects.toThrow('points past its end');
    const wrongSize = Buffer.from(bytes);
    wrongSize.writeUInt32LE(10, wrongSize.readUInt32LE(wrongSize.length - 22 + 16) + 24);
    const zip = await open(wrongSize);
    await expect(contentOf(zip, 'stored')).rejects.toThrow('does not have the 10 bytes');
    await zip.close();
  });
});
