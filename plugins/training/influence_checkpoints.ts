/**
 * influence.checkpoints, beside an influence index of several: the adapter's values at each of them before the last, which is the adapter
 * itself. An answer's gradients are taken there too. A line of JSON that says what follows, then float32 values, little-endian.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { influenceCheckpointsFile } from '../../gateway/contract/index.ts';
import { writeWhole } from './job_folders.ts';

interface Head {
  format: 1;
  /** The adapter's hash. */
  adapter: string;
  checkpoints: number;
  /** Of each checkpoint. */
  values: number;
  /** Of all values, hex. */
  sha256: string;
}

/** Durable when it resolves. */
export async function writeInfluenceCheckpoints(
  folder: string,
  adapter: string,
  checkpoints: readonly Float32Array[],
): Promise<void> {
  const content = Buffer.concat(checkpoints.map(bytesOf));
  const head: Head = {
    format: 1,
    adapter,
    checkpoints: checkpoints.length,
    values: checkpoints[0]!.length,
    sha256: createHash('sha256').update(content).digest('hex'),
  };
  await writeWhole(
    join(folder, influenceCheckpointsFile),
    Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), content]),
  );
}

/** In their order; none where there is no file. Rejects with a sentence where it is damaged or another adapter's. */
export async function readInfluenceCheckpoints(folder: string, adapter: string): Promise<Float32Array[]> {
  const path = join(folder, influenceCheckpointsFile);
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const end = bytes.subarray(0, 4096).indexOf(0x0a);
  const content = bytes.subarray(end + 1);
  const head = headOf(bytes.toString('utf8', 0, Math.max(end, 0)));
  if (!head || content.length !== head.checkpoints * head.values * 4)
    throw new Error(`${path} is no file of an adapter's checkpoints, or not all of it.`);
  if (head.adapter !== adapter)
    throw new Error(`${path} is of another adapter: of ${head.adapter}, not ${adapter}.`);
  const found = createHash('sha256').update(content).digest('hex');
  if (found !== head.sha256)
    throw new Error(`${path} is damaged: the SHA-256 of its values is ${found}, not ${head.sha256}.`);
  const { buffer } = Uint8Array.from(content);
  return Array.from(
    { length: head.checkpoints },
    (_, i) => new Float32Array(buffer, i * head.values * 4, head.values),
  );
}

function headOf(line: string): Head | undefined {
  try {
    const head = JSON.parse(line) as Head;
    const whole = [head.checkpoints, head.values].every((count) => Number.isSafeInteger(count) && count > 0);
    return head.format === 1 && whole ? head : undefined;
  } catch {
    return undefined;
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);
