/** Blobs as files and on S3. */
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { describeBlobStore } from './conformance/blob_store.ts';
import { openBlobs } from './open_blobs.ts';
import { type S3Server, startS3 } from './testing/s3_server.ts';
import { hasS3 } from './testing/services.ts';

const folder = mkdtempSync(join(tmpdir(), 'colophon-blobs-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function filesIn(...folders: string[]): string[] {
  return folders
    .filter((one) => existsSync(one))
    .flatMap((one) => readdirSync(one, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function overwrite(path: string, bytes: Uint8Array): void {
  chmodSync(path, 0o600);
  writeFileSync(path, bytes);
}

const files = join(folder, 'files');
describeBlobStore('files', {
  open: () => openBlobs({ kind: 'files', folder: files }),
  contents: () => filesIn(files),
  damage: (hash, bytes) => overwrite(join(files, hash.slice(0, 2), hash.slice(2, 4), hash), bytes),
});

describe.skipIf(!hasS3)('with a server', () => {
  let server: S3Server;
  let opened = 0;
  beforeAll(async () => {
    server = await startS3();
  });
  afterAll(() => server.close());
  describeBlobStore('S3', {
    open: () => openBlobs({ kind: 's3', folder: join(folder, `s3-${opened++}`), ...server.config }),
    contents: () =>
      filesIn(server.folder, ...Array.from({ length: opened }, (_, n) => join(folder, `s3-${n}`))),
    damage: (hash, bytes) =>
      overwrite(join(server.folder, 'blobs', hash.slice(0, 2), hash.slice(2, 4), hash), bytes),
  });
});
