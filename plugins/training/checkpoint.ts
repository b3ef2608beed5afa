/**
 * What a run needs to go on: the adapter's values, the optimiser's moments, where it was. One file, whole or not there, its
 * bytes checked by a hash: a JSON line, then the floats of values and both moments, then SHA-256 of all before it.
 */
import { createHash } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { endianness } from 'node:os';
import { dirname } from 'node:path';

export interface Checkpoint<State> {
  state: State;
  values: Float32Array;
  optimizer: { steps: number; first: Float32Array; second: Float32Array };
}

const magic = 'colophon training checkpoint 1';
if (endianness() !== 'LE') throw new Error('Checkpoints are little-endian; this machine is not.');

/** Durable when it resolves; what fails (a full disk) leaves the one before. */
export async function writeCheckpoint<State>(path: string, checkpoint: Checkpoint<State>): Promise<void> {
  const { state, values, optimizer } = checkpoint;
  const head = JSON.stringify({ magic, count: values.length, steps: optimizer.steps, state });
  const parts = [Buffer.from(`${head}\n`), ...[values, optimizer.first, optimizer.second].map(bytesOf)];
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  const part = `${path}.${process.pid}.part`;
  try {
    const file = await open(part, 'w');
    try {
      for (const bytes of [...parts, hash.digest()]) await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  const folder = await open(dirname(path));
  await folder.sync().finally(() => folder.close());
}

/** Undefined where there is none. Throws where it is damaged, saying how. */
export async function readCheckpoint<State>(path: string): Promise<Checkpoint<State> | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const body = bytes.subarray(0, Math.max(0, bytes.length - 32));
  if (!createHash('sha256').update(body).digest().equals(bytes.subarray(body.length)))
    throw new Error(`The checkpoint ${path} is damaged: its hash is not that of its bytes.`);
  const end = body.indexOf(10);
  const { magic: found, count, steps, state } = JSON.parse(body.toString('utf8', 0, end));
  if (found !== magic) throw new Error(`${path} is no checkpoint of this version.`);
  const floats = (index: number) => {
    const from = end + 1 + index * count * 4;
    return new Float32Array(body.buffer.slice(body.byteOffset + from, body.byteOffset + from + count * 4));
  };
  return { state, values: floats(0), optimizer: { steps, first: floats(1), second: floats(2) } };
}

function bytesOf(floats: Float32Array): Buffer {
  return Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength);
}
