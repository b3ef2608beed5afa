/** A snapshot as a file: its lines, and who gave each. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Content } from './model.ts';
import { places } from './places.ts';
import type { OpenService } from './service.ts';
import { snapshotFiles } from './snapshot_files.ts';
import { canonicalContent } from './snapshots/canonical.ts';
import { Manifest } from './snapshots/manifest.ts';
import { accept, chat, freeze, give, open } from './testing/life.ts';

const folder = mkdtempSync(join(tmpdir(), 'colophon-snapshot-files-'));
let service: OpenService;
beforeAll(async () => {
  service = await open({ options: places(folder, {}), folders: [folder] });
});
afterAll(async () => {
  await service.close();
  rmSync(folder, { recursive: true, force: true });
});

const operator = { tenant: 'o', operator: true };
const files = () => snapshotFiles(async () => service);
const find = (id: string) => files().find(id, operator);

async function listed<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

test('each line has its origin, in every split', async () => {
  const { store, blobs } = service;
  const rows = (word: string) => Array.from({ length: 30 }, (_, i) => `${chat(`${word} ${i}`)}\n`).join('');
  const { net, contribution } = await give(service, rows('one'));
  const others = [await give(service, rows('two'), net.name), await give(service, rows('three'), net.name)];
  for (const given of [contribution, ...others.map((other) => other.contribution)])
    await accept(service, given);
  const id = (await freeze(service, net.id, [0.5, 0.3, 0.2])).snapshot as string;
  const manifest = await Manifest.open(blobs, (await store.snapshot(net.id, id))!.manifest);
  const all = (await listed(manifest.entries())).flat();
  expect(all).toHaveLength(90);
  for (const split of ['train', 'validation', 'test']) {
    const file = await find(`datanet:${net.name}@${id}:${split}`);
    const text = Buffer.concat(await listed(file.content())).toString();
    const origins = await listed(file.origins!());
    const lines = text.split('\n').filter((line) => line !== '');
    const hashes = lines.map((line) => canonicalContent(JSON.parse(line) as Content).hash);
    expect(origins.map(({ example }) => example)).toEqual(hashes);
    expect(origins).toEqual(
      all
        .filter((entry) => entry.split === split)
        .map(({ hash, contribution, contributor, cluster }) => ({
          example: hash,
          contribution,
          contributor,
          cluster: String(cluster),
          given: expect.any(Number),
        })),
    );
    for (const [at, { example }] of origins.entries())
      expect(await files().example!(file.id!, example, operator)).toBe(lines[at]);
    for (const { contribution, contributor } of origins)
      expect((await store.contribution(contribution))?.contributor).toBe(contributor);
    for (const { contribution, given } of origins)
      expect((await store.contribution(contribution))?.createdAt).toBe(given);
    await expect(files().example!(file.id!, 'f'.repeat(64), operator)).rejects.toThrow('There is no example');
  }
  // No near duplicate was looked for, so that each is alone.
  expect(new Set(all.map(({ cluster }) => cluster)).size).toBe(90);
});
