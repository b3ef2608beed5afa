import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeDemoAdapters } from './demo.ts';
import { temporaryFolder } from './testing/temporary.ts';

test('another base gets none, with a sentence', async () => {
  const folder = temporaryFolder();
  const file = join(folder, 'x.gguf');
  await writeFile(file, 'this is no model');
  await expect(makeDemoAdapters(file, join(folder, 'adapters'), async () => ({}))).rejects.toThrow('no GGUF');
  await expect(makeDemoAdapters(folder, join(folder, 'adapters'), async () => ({}))).rejects.toThrow(
    'base is none',
  );
});
