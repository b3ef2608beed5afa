import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { ObjectStore } from './object_store.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'colophon-store-'));
  folders.push(folder);
  return folder;
}

test('an object outlasts the process and belongs to its tenant and kind', () => {
  const folder = temporary();
  const store = new ObjectStore(folder);
  store.put('response', 'a', 'r1', { id: 'r1', text: 'ä"\u0000' });
  store.close();
  const again = new ObjectStore(folder);
  expect(again.get('response', 'a', 'r1')).toEqual({ id: 'r1', text: 'ä"\u0000' });
  expect(again.get('response', 'b', 'r1')).toBeUndefined();
  expect(again.get('file', 'a', 'r1')).toBeUndefined();
  expect(again.delete('response', 'b', 'r1')).toBe(false);
  expect(again.delete('response', 'a', 'r1')).toBe(true);
  expect(again.get('response', 'a', 'r1')).toBeUndefined();
  again.close();
});

test('pages go both ways, and a replaced object keeps its place', () => {
  const store = new ObjectStore(':memory:');
  for (let i = 0; i < 7; i++) store.put('file', 'a', `f${i}`, { id: `f${i}` });
  store.put('file', 'b', 'other', { id: 'other' });
  store.put('file', 'a', 'f3', { id: 'f3', again: true });
  const ids = (page: { data: unknown[] }) => page.data.map((body) => (body as { id: string }).id);
  const first = store.list('file', 'a', { limit: 3, order: 'desc' });
  expect(ids(first)).toEqual(['f6', 'f5', 'f4']);
  expect(first.hasMore).toBe(true);
  const second = store.list('file', 'a', { limit: 4, order: 'desc', after: 'f4' });
  expect(ids(second)).toEqual(['f3', 'f2', 'f1', 'f0']);
  expect(second.hasMore).toBe(false);
  expect(ids(store.list('file', 'a', { limit: 9, order: 'asc', after: 'f1', before: 'f4' }))).toEqual([
    'f2',
    'f3',
  ]);
  expect(() => store.list('file', 'a', { limit: 1, order: 'asc', after: 'other' })).toThrow(
    /no file with the id/,
  );
  store.close();
});

test('filters read the body, whatever the names are', () => {
  const store = new ObjectStore(':memory:');
  store.put('chat_completion', 'a', '1', { model: 'm', metadata: { 'a.b"]': 'x' } });
  store.put('chat_completion', 'a', '2', { model: 'n', metadata: { 'a.b"]': 'y' } });
  const found = store.list('chat_completion', 'a', {
    limit: 9,
    order: 'asc',
    where: { 'metadata.a.b"]': 'y' },
  });
  expect(found.data).toEqual([{ model: 'n', metadata: { 'a.b"]': 'y' } }]);
  expect(
    store.list('chat_completion', 'a', { limit: 9, order: 'asc', where: { model: 'm' } }).data,
  ).toHaveLength(1);
  store.close();
});

test('what has expired is gone, and change() is all or nothing', () => {
  const store = new ObjectStore(':memory:');
  store.put('response', 'a', 'old', { n: 1 }, 1);
  store.put('response', 'a', 'new', { n: 1 }, Math.floor(Date.now() / 1000) + 1000);
  expect(store.get('response', 'a', 'old')).toBeUndefined();
  expect(store.change('response', 'a', 'new', (body: { n: number }) => ({ n: body.n + 1 }))).toEqual({
    n: 2,
  });
  expect(() =>
    store.change('response', 'a', 'new', () => {
      throw new Error('no');
    }),
  ).toThrow('no');
  expect(store.get('response', 'a', 'new')).toEqual({ n: 2 });
  expect(store.change('response', 'a', 'none', (body: object) => body)).toBeUndefined();
  expect(store.purge()).toEqual([{ kind: 'response', tenant: 'a', id: 'old' }]);
  expect(store.count('response')).toBe(1);
  store.close();
});
