/** Files that are either there whole, and still there after a power cut, or not there. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Replaces a file: whoever reads it sees the old bytes or the new ones. Its folder is to be synced by the caller (syncFolder), once
 * for all its files. Where it throws, the old file stands; where it throws by fsync, what the disk holds is unknown (mustStop).
 */
export function writeDurably(path: string, bytes: string | Uint8Array, mode = 0o644): void {
  const pending = `${path}.tmp`;
  rmSync(pending, { force: true });
  const file = openSync(pending, 'wx', mode);
  try {
    const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
    for (let at = 0; at < data.length; ) at += writeSync(file, data, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(pending, path);
}

/** Makes durable which files a folder has. */
export function syncFolder(folder: string): void {
  const file = openSync(folder, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** A file alone, durable when it returns. */
export function writeFileDurably(path: string, bytes: string | Uint8Array, mode?: number): void {
  writeDurably(path, bytes, mode);
  syncFolder(dirname(path));
}

/**
 * Whether a failure leaves unknown what is on the disk. A second fsync may then succeed without having written what the first lost
 * (PostgreSQL's fsync failure of 2018), so the process has to end, and read at its next start what is there. A full disk is none.
 */
export function mustStop(error: unknown): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return (
    /^SQLITE_(IOERR|CORRUPT|NOTADB)/.test(code ?? '') ||
    code === 'EIO' ||
    /^f(data)?sync$/.test(syscall ?? '')
  );
}

/** Whether a failure is for want of room alone: what is on the disk is known, and it can be tried again. */
export function isFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return (code === 'ENOSPC' || code === 'SQLITE_FULL') && !mustStop(error);
}
