import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readAdapter } from '../../plugins/backends/native/peft.ts';
import { smol } from '../../plugins/backends/native/testing/shapes.ts';
import { makeRotatedAdapters } from './rotated_adapters.ts';

const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'colophon-'));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
};
const tensors = (path: string) => readFileSync(join(path, 'adapter_model.safetensors'));

test('adapters are whole, all different, the same everywhere, and made once', async () => {
  const here = folder();
  const made = makeRotatedAdapters(here, smol, 8, 5);
  const files = made.map(({ path }) => tensors(path));
  expect(new Set(files.map((file) => file.toString('base64'))).size).toBe(5);
  for (const file of files) {
    const length = Number(file.readBigUInt64LE(0));
    const header = JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<
      string,
      { data_offsets?: number[] }
    >;
    const ends = Object.values(header).map((tensor) => tensor.data_offsets?.[1] ?? 0);
    expect(8 + length + Math.max(...ends)).toBe(file.length);
    expect(Object.keys(header)).toHaveLength(1 + 2 * 2 * smol.layers);
  }
  const { spec } = await readAdapter(made[3]!.path, smol, made[3]!.name, async () => 'a'.repeat(64));
  expect(spec.modules).toHaveLength(2 * smol.layers);
  expect(spec.modules[0]).toMatchObject({ linear: 'q', rank: 8, scaling: 2 });

  const elsewhere = makeRotatedAdapters(folder(), smol, 8, 5);
  expect(
    elsewhere.map(({ path }) => tensors(path).equals(tensors(join(here, path.split('/').at(-1)!)))),
  ).toEqual([true, true, true, true, true]);
  const before = statSync(made[0]!.path).mtimeMs;
  expect(makeRotatedAdapters(here, smol, 8, 6)).toHaveLength(6);
  expect(statSync(made[0]!.path).mtimeMs).toBe(before);
});
