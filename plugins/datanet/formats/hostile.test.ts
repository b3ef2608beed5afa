/** Whatever the bytes are, a file is read or refused with a sentence: it never crashes, hangs or fills the memory. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { FormatName } from '../model.ts';
import { rowsOf, sourceOf } from './testing/rows.ts';

const formats: Array<FormatName | undefined> = [
  undefined,
  'chat',
  'completion',
  'alpaca',
  'sharegpt',
  'csv',
  'parquet',
  'text',
  'markdown',
];
const codes = ['empty_file', 'unknown_format', 'damaged_file', 'file_expands_too_much'];

/** Rows, each with a line, or an error of the file. */
async function survives(
  bytes: Uint8Array,
  filename: string,
  format?: FormatName,
  chunk = 1000,
): Promise<string> {
  try {
    const rows = await rowsOf(
      sourceOf(bytes, chunk),
      filename,
      { format },
      { rowBytes: 4096, expandedBytes: 2 ** 24 },
    );
    for (const row of rows) {
      expect(row.line).toBeGreaterThan(0);
      if ('refused' in row) {
        expect(row.refused.reason).toMatch(/ on (line|row) \d+.*\.$/s);
        expect(row.refused.raw.length).toBeLessThanOrEqual(65536);
        expect(row.refused.raw).not.toContain('\0');
      }
    }
    return 'read';
  } catch (error) {
    if (!(error instanceof ColophonError)) throw error;
    expect(codes).toContain(error.code);
    return error.code!;
  }
}

const seeds: Buffer[] = [
  '{"messages":[{"role":"user","content":"a\\"\\u00e4"},{"role":"assistant","content":"b","weight":1}],"tools":[]}\n{"text":"😀"}\r\n',
  '[{"instruction":"a","output":"b"},\n {"conversations":[{"from":"human","value":"x"},{"from":"gpt","value":"y"}]}]',
  'prompt,completion\n"a ""b""\nc",d\ne;f,"=g"\n',
  '# A\n\nb c. d\n\n```\n# x\n```\n',
].map((text) => Buffer.from(text));
const folder = join(import.meta.dirname, 'parquet', 'fixtures');
const parquet = readdirSync(folder)
  .filter((file) => file.endsWith('.parquet'))
  .map((file) => [file, readFileSync(join(folder, file))] as const);

/** Bytes overwritten, cut out, doubled. */
const mutations = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    kind: fc.constantFrom('set', 'set', 'set', 'flip', 'cut', 'double', 'ones'),
    byte: fc.nat(255),
    length: fc.integer({ min: 1, max: 40 }),
  }),
  { minLength: 1, maxLength: 6 },
);

type Mutation = typeof mutations extends fc.Arbitrary<infer T> ? T : never;

function mutated(original: Buffer, all: Mutation, from = 0): Buffer {
  let bytes = Buffer.from(original);
  for (const { at, kind, byte, length } of all) {
    const place = from + Math.floor(at * (bytes.length - from));
    if (kind === 'set') bytes[place] = byte;
    else if (kind === 'flip') bytes[place] = (bytes[place] ?? 0) ^ (1 << (byte % 8));
    else if (kind === 'ones') bytes.fill(255, place, Math.min(bytes.length, place + length));
    else {
      const tail = kind === 'cut' ? place + length : place - length;
      bytes = Buffer.concat([bytes.subarray(0, place), bytes.subarray(Math.max(0, tail))]);
    }
  }
  return bytes;
}

describe('any bytes', () => {
  test('are read or refused in every format', async () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.string({ unit: 'binary', maxLength: 300 }).map((text) => Buffer.from(text)),
    );
    await fc.assert(
      fc.asyncProperty(
        bytes,
        fc.constantFrom(...formats),
        fc.integer({ min: 1, max: 300 }),
        async (noise, format, chunk) => {
          await survives(noise, 'upload', format, chunk);
          await survives(gzipSync(noise), 'upload.gz', format, chunk);
          await survives(Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0]), noise]), 'upload.gz', format, chunk);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('that were rows are read or refused', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...seeds),
        mutations,
        fc.constantFrom(...formats),
        fc.integer({ min: 1, max: 50 }),
        async (seed, changes, format, chunk) => {
          await survives(mutated(seed, changes), 'upload', format, chunk);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('that were gzip are read or refused', async () => {
    const file = gzipSync(Buffer.concat(Array(50).fill(seeds[0])));
    await fc.assert(
      fc.asyncProperty(mutations, async (changes) => {
        await survives(mutated(file, changes), 'upload');
      }),
      { numRuns: 300 },
    );
  });
});

describe('Parquet whose bytes were changed', () => {
  test.each(parquet)('%s is read or refused', async (name, original) => {
    const outcomes = new Map<string, number>();
    // The footer says where everything lies: half of the changes are in it.
    const footer = original.length - 8 - original.readUInt32LE(original.length - 8);
    await fc.assert(
      fc.asyncProperty(mutations, fc.boolean(), async (changes, inFooter) => {
        const outcome = await survives(mutated(original, changes, inFooter ? footer : 4), name);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }),
      { numRuns: 400 },
    );
    if (!name.includes('lz4')) expect(outcomes.get('read')).toBeGreaterThan(0);
    expect(outcomes.get('damaged_file')).toBeGreaterThan(0);
  });

  test.each(parquet)('%s is refused wherever it is cut off', async (name, original) => {
    for (let size = 1; size < original.length; size += 37) {
      expect(['damaged_file', 'unknown_format', 'empty_file']).toContain(
        await survives(original.subarray(0, size), name),
      );
    }
  });
});
