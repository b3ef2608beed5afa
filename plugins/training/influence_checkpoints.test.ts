import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readInfluenceCheckpoints, writeInfluenceCheckpoints } from './influence_checkpoints.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-checkpoints-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const file = () => join(folder, 'influence.checkpoints');
const adapter = 'a'.repeat(64);
const checkpoints = [Float32Array.of(1, -2.5, 3e-9), Float32Array.of(0, 5, 6)];

test('values come back to the bit', async () => {
  await writeInfluenceCheckpoints(folder, adapter, checkpoints);
  expect(await readInfluenceCheckpoints(folder, adapter)).toEqual(checkpoints);
  const bytes = readFileSync(file());
  await writeInfluenceCheckpoints(folder, adapter, checkpoints);
  expect(readFileSync(file())).toEqual(bytes);
});

test('no file is none; another adapter’s, a cut one and a changed one are named', async () => {
  expect(await readInfluenceCheckpoints(folder, adapter)).toEqual([]);
  await writeInfluenceCheckpoints(folder, adapter, checkpoints);
  await expect(readInfluenceCheckpoints(folder, 'b'.repeat(64))).rejects.toThrow(
    /is of another adapter: of a{64}, not b{64}/,
  );
  const bytes = readFileSync(file());
  for (let size = 0; size < bytes.length; size++) {
    writeFileSync(file(), bytes.subarray(0, size));
    await expect(readInfluenceCheckpoints(folder, adapter), String(size)).rejects.toThrow(/not all of it/);
  }
  for (let at = 0; at < bytes.length; at++) {
    const turned = Buffer.from(bytes);
    turned[at]! ^= 1;
    writeFileSync(file(), turned);
    await expect(readInfluenceCheckpoints(folder, adapter), String(at)).rejects.toThrow(
      /not all of it|another adapter|damaged/,
    );
  }
});
