/** The trace index from JavaScript: what the columns hold, and what is refused. */
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { native } from './index.ts';

const adapter = 'ab'.repeat(32);
const ids = (...tokens: number[]) => Int32Array.from(tokens);

let folder: string;
let path: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-trace-'));
  path = join(folder, 'trace.index');
  const builder = native().createTraceIndexBuilder(10);
  builder.add(ids(7, 8, 7, 8));
  builder.add(ids(5, 7, 8, 9));
  await builder.write(path, adapter);
  await expect(async () => builder.write(path, adapter)).rejects.toThrow('has been written');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('runs of tokens are found with the examples that have them', async () => {
  const index = native().openTraceIndex(path, adapter);
  await index.check();
  expect(index.info()).toMatchObject({ tokens: 8, examples: 2 });
  const { length, row, count } = index.matches(ids(3, 5, 7, 8, 8, -1));
  expect([...length]).toEqual([0, 1, 2, 3, 1, 0]);
  expect([...count]).toEqual([0, 1, 1, 1, 3, 0]);
  expect([row[0], row[5]]).toEqual([0, 0]);
  const places = index.places(row[3]!, count[3]!);
  expect([...places.example]).toEqual([1]);
  expect([...places.offset]).toEqual([0]);
  const all = index.places(row[4]!, count[4]!);
  expect(Array.from(all.example, (example, at) => `${example}.${all.offset[at]}`).sort()).toEqual([
    '0.1',
    '0.3',
    '1.2',
  ]);
  expect([...index.counts(ids(8, 5, 0))]).toEqual([3, 1, 0]);
});

test('what is no index, or another adapter’s, is refused', () => {
  const { openTraceIndex, createTraceIndexBuilder } = native();
  expect(() => openTraceIndex(path, 'cd'.repeat(32))).toThrow(/is of another adapter/);
  expect(() => openTraceIndex(path, 'x')).toThrow(/64 hex digits/);
  expect(() => openTraceIndex(join(folder, 'none'), adapter)).toThrow(/No such file/);
  const index = openTraceIndex(path, adapter);
  expect(() => index.places(9, 2)).toThrow(/the trace index has 10/);
  expect(() => index.matches([1] as never)).toThrow(/an Int32Array of token ids is expected/);
  expect(() => createTraceIndexBuilder(3).add(ids(3))).toThrow(/the vocabulary has 3/);
  expect(() => createTraceIndexBuilder(3).add(ids(-1))).toThrow(/the vocabulary has 3/);
  truncateSync(path, 90);
  expect(() => openTraceIndex(path, adapter)).toThrow(/bytes where its header says/);
});
