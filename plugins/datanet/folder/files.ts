/** Files of folders that are described by their hashes; of one that somebody else made never a file outside it. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { lstat, open, readdir, realpath } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CliError } from '../../../gateway/cli/failure.ts';
import type { ByteSource } from '../formats/format.ts';

/** The path of a file within a folder. What leads out of it, by its name or by links, is refused. */
export async function fileIn(folder: string, name: string): Promise<string> {
  const refused = (why: string) =>
    new CliError(`The folder names the file ${JSON.stringify(name.slice(0, 200))}, ${why}.`);
  if (name === '' || name.startsWith('/') || /[\\\0:]/.test(name) || name.split('/').includes('..'))
    throw refused('which is not a path within it');
  const path = join(folder, name);
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) throw refused('which is not there');
  const inside = relative(await realpath(folder), await realpath(path));
  if (
    found.isSymbolicLink() ||
    inside.startsWith('..') ||
    inside !== name.split('/').filter(Boolean).join(sep)
  )
    throw refused('which is a link or lies behind one');
  if (!found.isFile()) throw refused('which is no file');
  return path;
}

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

/** Writes a file and tells what its description has to say of it. */
export async function writeHashed(
  file: string,
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  const told = async function* () {
    for await (const chunk of chunks) {
      hash.update(chunk);
      bytes += chunk.length;
      yield chunk;
    }
  };
  await pipeline(Readable.from(told()), createWriteStream(file));
  return { sha256: hash.digest('hex'), bytes };
}

/** Paths of all files in a folder, relative and with slashes, sorted; links are passed over. */
export async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

/** A file as the readers of formats want it; close it at the end. */
export async function openSource(path: string): Promise<ByteSource & { close(): Promise<void> }> {
  const handle = await open(path);
  const { size } = await handle.stat();
  return {
    size,
    stream: () => createReadStream(path),
    slice: async (offset, bytes) => {
      const buffer = Buffer.alloc(bytes);
      const { bytesRead } = await handle.read(buffer, 0, bytes, offset);
      return buffer.subarray(0, bytesRead);
    },
    close: () => handle.close(),
  };
}
