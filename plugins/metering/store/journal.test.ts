/** What the journal said it has is there, in order and once, wherever the process ends; what is missing is named. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { faultOfRecord } from './fault.ts';
import { headBytes, Journal, recordsAfter } from './journal.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-journal-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const file = (at: number) => join(folder, `journal-${at}`);
const texts = (records: Uint8Array[]) => records.map((record) => Buffer.from(record).toString());
const append = async (journal: Journal, ...said: string[]) => {
  for (const text of said) await journal.append(Buffer.concat([Buffer.alloc(headBytes), Buffer.from(text)]));
};

test('whatever is applied, forgotten and begun again, what was not applied is read back', async () => {
  const action = fc.oneof(
    { weight: 6, arbitrary: fc.string({ maxLength: 60 }).map((said) => ({ said })) },
    { weight: 3, arbitrary: fc.nat(8).map((left) => ({ left })) },
    { weight: 1, arbitrary: fc.constant({ forget: true as const }) },
    { weight: 1, arbitrary: fc.nat(8).map((left) => ({ restart: left })) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
      rmSync(folder, { recursive: true, force: true });
      folder = mkdtempSync(join(tmpdir(), 'colophon-journal-'));
      let journal = new Journal(folder, 0, 150);
      const all: string[] = [];
      let applied = 0;
      for (const one of actions) {
        if ('said' in one) {
          await append(journal, one.said);
          all.push(one.said);
        } else if ('left' in one) {
          applied = Math.max(applied, all.length - one.left);
          journal.applied(applied);
        } else if ('restart' in one) {
          journal.close();
          applied = all.length;
          journal = new Journal(folder, applied, 150);
        } else journal.forget();
        expect(texts(journal.pending.records)).toEqual(all.slice(applied));
        expect(journal.pending.last).toBe(all.length);
        expect(texts(recordsAfter(folder, applied))).toEqual(all.slice(applied));
      }
      journal.close();
    }),
    { numRuns: 60 },
  );
});

test('files are written over, and grow only while nothing is applied', async () => {
  const journal = new Journal(folder, 0, 1000);
  for (let number = 1; number <= 400; number++) {
    await append(journal, 'x'.repeat(72));
    if (number % 5 === 0) journal.applied(number);
  }
  for (const at of [0, 1]) expect(statSync(file(at)).size).toBeLessThanOrEqual(1600);
  journal.close();
});

test('wherever the last write was torn, the others are there, and the next go on from them', async () => {
  const journal = new Journal(folder, 6);
  await append(journal, 'seven', 'eight', 'nine');
  journal.close();
  const bytes = readFileSync(file(0));
  const end = bytes.indexOf('nine') + 'nine'.length;
  for (let size = end - 'nine'.length - headBytes; size < end; size++) {
    writeFileSync(file(0), bytes.subarray(0, size));
    expect(texts(recordsAfter(folder, 6))).toEqual(['seven', 'eight']);
    writeFileSync(file(0), Buffer.concat([bytes.subarray(0, size), Buffer.alloc(bytes.length - size)]));
    expect(texts(recordsAfter(folder, 6))).toEqual(['seven', 'eight']);
  }
  const next = new Journal(folder, 8);
  await append(next, 'NINE');
  expect(texts(recordsAfter(folder, 8))).toEqual(['NINE']);
  next.close();
});

test('a file grows by many records at once', async () => {
  const journal = new Journal(folder, 0);
  await append(journal, 'one');
  const { size } = statSync(file(0));
  await append(journal, ...Array.from({ length: 100 }, () => 'x'.repeat(1000)));
  expect([statSync(file(0)).size, size > 200_000]).toEqual([size, true]);
  journal.close();
  expect(recordsAfter(folder, 0).length).toBe(101);
});

test('a bit that turned in a record with others after it is named, in whichever byte but those of its length', async () => {
  const journal = new Journal(folder, 0);
  await append(journal, 'one', 'two', 'three');
  journal.close();
  const bytes = readFileSync(file(0));
  const second = bytes.indexOf('two');
  for (let at = second - headBytes; at < second + 3; at++) {
    if (at >= second - headBytes + 4 && at < second - headBytes + 8) continue;
    const turned = Buffer.from(bytes);
    turned[at]! ^= 4;
    writeFileSync(file(0), turned);
    expect(() => recordsAfter(folder, 0)).toThrow(
      /record 3, and record 2 is missing: the database ends at 0/,
    );
  }
});

test('a database of another time is named', async () => {
  const journal = new Journal(folder, 10);
  await append(journal, 'eleven', 'twelve');
  journal.close();
  expect(texts(recordsAfter(folder, 11))).toEqual(['twelve']);
  expect(recordsAfter(folder, 40)).toEqual([]);
  expect(() => recordsAfter(folder, 3)).toThrow(/journal-0 has record 11, and record 4 is missing/);
});

test('a record that cannot be written is tried again where the disk is full, and else ends the process', () => {
  const of = (code: string) =>
    faultOfRecord(Object.assign(new Error(`${code}: no, write`), { code, syscall: 'write' }));
  expect(of('EROFS')).toEqual({
    kind: 'broken',
    sentence: 'What is answered cannot be recorded: EROFS: no, write.',
  });
  for (const code of ['EBADF', 'EDQUOT', 'EIO']) expect(of(code).kind).toBe('broken');
  expect(of('ENOSPC').kind).toBe('full');
});
