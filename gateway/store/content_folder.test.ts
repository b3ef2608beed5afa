import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ContentFolder } from './content_folder.ts';

let folder: string;
let contents: ContentFolder;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-contents-'));
  contents = new ContentFolder(folder);
  await contents.open(() => true);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function* chunks(...given: Array<string | Error>) {
  for (const chunk of given) {
    if (chunk instanceof Error) throw chunk;
    yield Buffer.from(chunk);
  }
}

test('a content is whole, with its size and hash', async () => {
  const stored = await contents.write('a', chunks('ab', 'c'));
  expect(stored).toEqual({
    bytes: 3,
    sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  });
  const { stream, bytes } = (await contents.read('a'))!;
  expect(bytes).toBe(3);
  expect(await new Response(stream as never).text()).toBe('abc');
  expect(await contents.measure(contents.path('a'))).toEqual(stored);
});

test('what fails leaves nothing; a full disk says so', async () => {
  const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
  await expect(contents.write('a', chunks('ab', full))).rejects.toMatchObject({
    status: 507,
    code: 'disk_full',
  });
  await expect(contents.write('a', chunks('ab', new Error('gone')))).rejects.toThrow('gone');
  expect(readdirSync(folder)).toEqual([]);
  expect(await contents.read('a')).toBeUndefined();
});

test('a start throws away what is unfinished and what nobody knows', async () => {
  for (const name of ['a', 'b', 'b.part']) writeFileSync(join(folder, name), 'x');
  await contents.open((name) => name === 'a');
  expect(readdirSync(folder)).toEqual(['a']);
});

test('ids are no paths', async () => {
  for (const id of ['..', '../a', 'a/b', '', 'a.part', 'a\0']) {
    await expect(contents.write(id, chunks('x')), id).rejects.toThrow('is no id of a content');
  }
});
