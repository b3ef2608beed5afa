import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { mustStop, writeFileDurably } from './durable_files.ts';

const folder = mkdtempSync(join(tmpdir(), 'colophon-durable-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a file is replaced whole, with what a crash left beside it', () => {
  const path = join(folder, 'file');
  writeFileSync(`${path}.tmp`, 'half of somethi');
  writeFileDurably(path, 'one', 0o600);
  writeFileDurably(path, Buffer.alloc(100_000, 2), 0o600);
  expect(readFileSync(path)).toEqual(Buffer.alloc(100_000, 2));
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual(['file']);
});

test('what cannot be written leaves what was there', () => {
  const path = join(folder, 'kept');
  writeFileDurably(path, 'kept');
  expect(() => writeFileDurably(join(folder, 'none', 'kept'), 'x')).toThrow('ENOENT');
  expect(readFileSync(path, 'utf8')).toBe('kept');
});

test.each([
  [{ code: 'SQLITE_IOERR_FSYNC' }, true],
  [{ code: 'SQLITE_IOERR_WRITE' }, true],
  [{ code: 'SQLITE_CORRUPT' }, true],
  [{ code: 'EIO', syscall: 'write' }, true],
  [{ code: 'ENOSPC', syscall: 'fsync' }, true],
  [{ code: 'EDQUOT', syscall: 'fdatasync' }, true],
  [{ code: 'SQLITE_FULL' }, false],
  [{ code: 'ENOSPC', syscall: 'write' }, false],
  [{ code: 'SQLITE_BUSY' }, false],
  [new Error('x'), false],
])('%j: the process has to end: %s', (error, stops) => {
  expect(mustStop(error)).toBe(stops);
});
