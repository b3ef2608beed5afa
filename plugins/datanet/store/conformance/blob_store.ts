/** What every BlobStore must do, as vitest cases. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BlobStore } from '../blob_store.ts';
import { sha256 } from './samples.ts';

export interface BlobStoreUnderTest {
  /** Called more than once, of the same blobs; the kit closes what it gives. */
  open(): Promise<BlobStore>;
  /** Paths of all that lies in the store, unfinished ones included. */
  contents(): string[];
  /** Writes other bytes over a blob. */
  damage(hash: string, bytes: Uint8Array): void;
}

export async function* chunked(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const found: Uint8Array[] = [];
  for await (const chunk of chunks) found.push(chunk);
  return Buffer.concat(found);
}

export function describeBlobStore(name: string, { open, contents, damage }: BlobStoreUnderTest): void {
  describe(name, () => {
    let blobs: BlobStore;
    beforeAll(async () => {
      blobs = await open();
    });
    afterAll(() => blobs.close());

    test.each([
      0,
      1,
      65_537,
      40 * 2 ** 20,
    ])('gives %i bytes back as they came, whole or a part', async (length) => {
      const bytes = randomBytes(length);
      const written = await blobs.write(chunked(bytes));
      expect(written).toEqual({ sha256: sha256(bytes), bytes: length });
      expect(await blobs.size(written.sha256)).toBe(length);
      expect((await bytesOf(blobs.read(written.sha256))).equals(bytes)).toBe(true);
      const range = { offset: Math.floor(length / 3), bytes: Math.floor(length / 2) };
      const part = bytes.subarray(range.offset, range.offset + range.bytes);
      expect((await bytesOf(blobs.read(written.sha256, range))).equals(part)).toBe(true);
    });

    test('stores the same bytes once, however often and at once they come', async () => {
      const bytes = randomBytes(100_000);
      const before = contents().length;
      const written = await Promise.all(Array.from({ length: 6 }, () => blobs.write(chunked(bytes, 7_001))));
      expect(new Set(written.map((one) => one.sha256))).toEqual(new Set([sha256(bytes)]));
      expect(contents()).toHaveLength(before + 1);
    });

    test('refuses more than the limit, and a source that breaks, and leaves nothing of them', async () => {
      const before = contents();
      const bytes = randomBytes(200_000);
      await expect(blobs.write(chunked(bytes), 199_999)).rejects.toMatchObject({
        code: 'too_large',
        status: 413,
      });
      const broken = async function* () {
        yield bytes;
        throw new Error('the client went away');
      };
      await expect(blobs.write(broken())).rejects.toThrow('the client went away');
      expect(contents()).toEqual(before);
      await blobs.write(chunked(bytes), 200_000);
    });

    test('says that a blob is missing', async () => {
      for (const hash of [sha256('never written'), '../../etc/passwd', '']) {
        await expect(bytesOf(blobs.read(hash))).rejects.toMatchObject({ code: 'blob_missing' });
        expect(await blobs.size(hash)).toBeUndefined();
        await blobs.delete(hash);
      }
    });

    test('says that a blob is damaged, and that a part is not all there', async () => {
      const { sha256: hash } = await blobs.write(chunked(Buffer.from('what was given')));
      const range = { offset: 10, bytes: 5 };
      await expect(bytesOf(blobs.read(hash, range))).rejects.toMatchObject({ code: 'blob_damaged' });
      damage(hash, Buffer.from('what was taken'));
      await expect(bytesOf(blobs.read(hash))).rejects.toMatchObject({ code: 'blob_damaged', status: 500 });
      await blobs.delete(hash);
    });

    test('deletes a blob, and takes it again', async () => {
      const bytes = randomBytes(50);
      const before = contents();
      const { sha256: hash } = await blobs.write(chunked(bytes));
      await blobs.delete(hash);
      expect(contents()).toEqual(before);
      expect(await blobs.size(hash)).toBeUndefined();
      await blobs.write(chunked(bytes));
      expect((await bytesOf(blobs.read(hash))).equals(bytes)).toBe(true);
    });

    test('may be left in the middle of a read', async () => {
      const { sha256: hash } = await blobs.write(chunked(randomBytes(2_000_000)));
      for (let read = 0; read < 50; read++) for await (const _ of blobs.read(hash)) break;
      expect(await blobs.size(hash)).toBe(2_000_000);
    });

    test('sweeps away what nobody uses', async () => {
      const [kept, left] = [
        await blobs.write(chunked(Buffer.from('kept'))),
        await blobs.write(chunked(Buffer.from('left'))),
      ];
      const other = await open();
      await other.sweep(async (hash) => hash !== left.sha256);
      await other.close();
      expect(await blobs.size(left.sha256)).toBeUndefined();
      expect(await blobs.size(kept.sha256)).toBe(4);
      await blobs.sweep(async () => false);
      expect(contents()).toEqual([]);
    });
  });
}
