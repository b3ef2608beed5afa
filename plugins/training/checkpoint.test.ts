import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readCheckpoint, writeCheckpoint } from './checkpoint.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-checkpoint-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const checkpoint = (first: number) => ({
  state: { step: first, names: ['ä', '\n'] },
  values: Float32Array.of(first, 1.5, -0),
  optimizer: { steps: 9, first: Float32Array.of(1, 2, 3), second: Float32Array.of(4, 5, 6) },
});

test('what is written is read, and the last one counts', async () => {
  const path = join(folder, 'checkpoint');
  expect(await readCheckpoint(path)).toBeUndefined();
  await writeCheckpoint(path, checkpoint(1));
  await writeCheckpoint(path, checkpoint(2));
  expect(await readCheckpoint(path)).toEqual(checkpoint(2));
  expect(readdirSync(folder)).toEqual(['checkpoint']);
});

test('any damaged byte is found', async () => {
  const path = join(folder, 'checkpoint');
  await writeCheckpoint(path, checkpoint(1));
  const whole = readFileSync(path);
  for (let at = 0; at < whole.length; at += 7) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 1;
    writeFileSync(path, damaged);
    await expect(readCheckpoint(path)).rejects.toThrow('damaged');
  }
  for (const length of [0, 10, whole.length - 1]) {
    writeFileSync(path, whole.subarray(0, length));
    await expect(readCheckpoint(path)).rejects.toThrow('damaged');
  }
});

test('what cannot be written leaves nothing', async () => {
  await expect(writeCheckpoint(join(folder, 'none', 'checkpoint'), checkpoint(1))).rejects.toThrow();
  expect(readdirSync(folder)).toEqual([]);
});
