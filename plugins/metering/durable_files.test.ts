import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { isFull, mustStop, writeFileDurably } from './durable_files.ts';

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
  [{ code: 'SQLITE_IOERR_FSYNC' }, true, false],
  [{ code: 'SQLITE_IOERR_WRITE' }, true, false],
  [{ code: 'SQLITE_CORRUPT' }, true, false],
  [{ code: 'EIO', syscall: 'write' }, true, false],
  [{ code: 'ENOSPC', syscall: 'fsync' }, true, false],
  [{ code: 'EDQUOT', syscall: 'fdatasync' }, true, false],
  [{ code: 'SQLITE_FULL' }, false, true],
  [{ code: 'ENOSPC', syscall: 'write' }, false, true],
  [{ code: 'SQLITE_BUSY' }, false, false],
  [new Error('x'), false, false],
])('%j: the process has to end: %s; it is for want of room: %s', (error, stops, full) => {
  expect([mustStop(error), isFull(error)]).toEqual([stops, full]);
});
