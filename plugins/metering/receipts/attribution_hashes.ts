/** What of an adapter's folder says who taught it, by hash: a receipt's shares are made again from the same files. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import {
  attributionFiles,
  type CorpusHead,
  corpusFile,
  fidelityFile,
} from '../../../gateway/contract/index.ts';

/** By path and what changes with the content. */
const known = new LRUCache<string, string>({ max: 10_000 });

/** By name; empty where the folder has none, or they are of another adapter than the one that answered. */
export async function attributionHashes(
  folder: string,
  adapter: string | null,
): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  if ((await adapterOf(join(folder, corpusFile))) !== adapter || adapter === null) return hashes;
  for (const name of [...attributionFiles, fidelityFile]) {
    const found = await hashOf(join(folder, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
    if (found) hashes[name] = found;
  }
  return hashes;
}

/** As the first line of a corpus has it. */
async function adapterOf(path: string): Promise<string | undefined> {
  let file: Awaited<ReturnType<typeof open>> | undefined;
  try {
    file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    const [line] = buffer.toString('utf8', 0, bytesRead).split('\n', 1);
    return (JSON.parse(line!) as CorpusHead).adapter;
  } catch {
    return undefined;
  } finally {
    await file?.close();
  }
}

async function hashOf(path: string): Promise<string> {
  const { size, mtimeMs, ino } = await stat(path);
  const key = `${path}\0${size}\0${mtimeMs}\0${ino}`;
  let hash = known.get(key);
  if (hash === undefined) {
    const digest = createHash('sha256');
    for await (const part of createReadStream(path)) digest.update(part as Buffer);
    hash = digest.digest('hex');
    known.set(key, hash);
  }
  return hash;
}
