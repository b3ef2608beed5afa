import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { toFile } from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from './testing.ts';

let server: TestServer;
let folder: string;
beforeAll(async () => {
  server = await startTestServer({
    change: (config) => {
      config.store.file_bytes = 1_000_000;
      folder = join(config.paths.data, 'uploads');
    },
  });
});
afterAll(() => server.close());

const begin = (bytes: number) =>
  server.openai.uploads.create({ bytes, filename: 'a.txt', mime_type: 'text/plain', purpose: 'user_data' });
const part = async (id: string, text: string) =>
  server.openai.uploads.parts.create(id, { data: await toFile(Buffer.from(text), 'part') });

test('parts become one file, in the order in which they are named', async () => {
  const { id, status } = await begin(6);
  expect(status).toBe('pending');
  const [one, two, three] = await Promise.all([part(id, 'ab'), part(id, 'cd'), part(id, 'ef')]);
  expect(one).toMatchObject({ object: 'upload.part', upload_id: id, id: expect.stringMatching(/^part_/) });
  const md5 = createHash('md5').update('cdabef').digest('hex');
  const part_ids = [two.id, one.id, three.id];
  await expect(server.openai.uploads.complete(id, { part_ids, md5: '0'.repeat(32) })).rejects.toMatchObject({
    status: 400,
    param: 'md5',
  });
  const done = await server.openai.uploads.complete(id, { part_ids, md5 });
  expect(done).toMatchObject({
    status: 'completed',
    file: { bytes: 6, filename: 'a.txt', purpose: 'user_data', expires_at: null },
  });
  expect(await (await server.openai.files.content(done.file!.id)).text()).toBe('cdabef');
  expect((await server.openai.files.list()).data).toEqual([done.file]);
  expect(existsSync(join(folder, id))).toBe(false);
  await expect(server.openai.uploads.complete(id, { part_ids })).rejects.toMatchObject({ status: 409 });
  await expect(part(id, 'x')).rejects.toMatchObject({ status: 409 });
});

test('no more comes than was announced, at once neither', async () => {
  await expect(begin(1_000_001)).rejects.toMatchObject({ status: 413 });
  const { id } = await begin(5);
  await expect(part(id, 'abcdef')).rejects.toMatchObject({ status: 413 });
  const both = await Promise.allSettled([part(id, 'abc'), part(id, 'abc')]);
  expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect(readdirSync(join(folder, id))).toHaveLength(1);
  const kept = both.find((result) => result.status === 'fulfilled') as PromiseFulfilledResult<{ id: string }>;
  for (const part_ids of [[kept.value.id], [kept.value.id, kept.value.id], ['part_none']]) {
    await expect(server.openai.uploads.complete(id, { part_ids })).rejects.toMatchObject({
      status: 400,
      param: 'part_ids',
    });
  }
  expect((await server.openai.uploads.cancel(id)).status).toBe('cancelled');
  expect(existsSync(join(folder, id))).toBe(false);
  await expect(server.openai.uploads.cancel(id)).rejects.toMatchObject({ status: 409 });
});

test('completed twice at once, it is one file', async () => {
  const { id } = await begin(2);
  const { id: only } = await part(id, 'ab');
  const before = (await server.openai.files.list()).data.length;
  const both = await Promise.allSettled(
    [1, 2].map(() => server.openai.uploads.complete(id, { part_ids: [only] })),
  );
  expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect((await server.openai.files.list()).data).toHaveLength(before + 1);
});

test('unknown uploads, and too many', async () => {
  await expect(part('upload_none', 'x')).rejects.toMatchObject({ status: 404 });
  await expect(server.openai.uploads.cancel('upload_none')).rejects.toMatchObject({ status: 404 });
  const made = await Promise.all(Array.from({ length: 16 }, () => begin(1)));
  await expect(begin(1)).rejects.toMatchObject({ status: 429, code: 'too_many_uploads' });
  for (const { id } of made) await server.openai.uploads.cancel(id);
  expect((await begin(1)).status).toBe('pending');
});
