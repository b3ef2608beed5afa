/** Parquet that lies about how much it is. */
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import type { SchemaElement, SchemaTree } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { describe, expect, test } from 'vitest';
import { contents, refused, rowsOf } from '../testing/rows.ts';
import { uncompress } from './codecs.ts';
import { decodePage, leafOf } from './decode_page.ts';
import type { PageHeader } from './page_header.ts';
import { snappyUncompress } from './snappy.ts';
import { readThrift } from './thrift.ts';

const element = (change: Partial<SchemaElement>): SchemaElement => ({
  name: 'text',
  type: 'BYTE_ARRAY',
  ...change,
});
const node = (one: SchemaElement): SchemaTree => ({ children: [], count: 1, element: one, path: [one.name] });
const leaf = (...elements: Array<Partial<SchemaElement>>) =>
  leafOf([node({ name: 'root' }), ...elements.map((one) => node(element(one)))]);
const flat = leaf({ repetition_type: 'OPTIONAL' });
const header = (change: Partial<PageHeader>): PageHeader => ({
  kind: 'data',
  compressed: 0,
  uncompressed: 0,
  values: 10,
  encoding: 'PLAIN',
  nulls: 0,
  definitionBytes: 0,
  repetitionBytes: 0,
  isCompressed: true,
  ...change,
});
/** ULEB128. */
const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
const sized = (bytes: number[]) => [bytes.length, 0, 0, 0, ...bytes];
/** Definition levels of ten values that are there. */
const present = sized([...varint(20), 1]);

describe('a page', () => {
  const bombs: Array<[string, number[], Partial<PageHeader>]> = [
    ['a run of levels that is too long', sized([...varint(2 ** 31 - 2), 1]), {}],
    ['a run of levels of no length for ever', sized(Array(100).fill(0)), {}],
    ['levels that end too early', [200, 0, 0, 0, 20, 1], {}],
    [
      'a run of indices that is too long',
      [...present, 1, ...varint(2 ** 30), 0],
      { encoding: 'RLE_DICTIONARY' },
    ],
    ['packed indices for ever', [...present, 1, ...varint(2 ** 31 - 1)], { encoding: 'RLE_DICTIONARY' }],
    [
      'a run hidden behind one of no groups',
      [...present, 1, 1, 2, ...varint(2 ** 30), 0],
      { encoding: 'RLE_DICTIONARY' },
    ],
    ['indices of 255 bits', [...present, 255, ...varint(20), 0, 0, 0, 0, 0], { encoding: 'RLE_DICTIONARY' }],
    ['indices beyond the dictionary', [...present, 8, ...varint(20), 7], { encoding: 'RLE_DICTIONARY' }],
    [
      'a delta that is endless',
      [...present, 128, 1, 4, 10, ...Array(1_000_000).fill(255)],
      { encoding: 'DELTA_LENGTH_BYTE_ARRAY' },
    ],
    [
      'a block of two billion deltas',
      [...present, ...varint(2 ** 31), ...varint(2 ** 31), 10, 0, 0],
      { encoding: 'DELTA_LENGTH_BYTE_ARRAY' },
    ],
    ['a block of no deltas', [...present, 0, 0, 10, 0, 0], { encoding: 'DELTA_LENGTH_BYTE_ARRAY' }],
    ['a text that is longer than the page', [...present, 255, 255, 255, 127, 65], {}],
    ['texts that end too early', [...present, 1, 0, 0, 0, 65], {}],
    ['an encoding that is not read', present, { encoding: 'BYTE_STREAM_SPLIT' }],
  ];
  test.each(bombs)('of %s is damaged', (_, bytes, change) => {
    expect(() => decodePage(new Uint8Array(bytes), header(change), ['a'], flat)).toThrow();
  });

  test('of prefixes that repeat for ever is damaged', () => {
    // A text of 30,000 bytes, and ten thousand that begin with all of it.
    const count = 10_000;
    const deltas = (first: number, then: number) => {
      const blocks = Array.from({ length: Math.ceil((count - 1) / 128) }, (_, i) => [
        ...varint((i === 0 ? then : 0) * 2),
        0,
        0,
        0,
        0,
      ]);
      return [...varint(128), ...varint(4), ...varint(count), ...varint(first * 2), ...blocks.flat()];
    };
    const bytes = new Uint8Array([...deltas(0, 30_000), ...deltas(30_000, 0), ...Array(30_000).fill(65)]);
    const required = leaf({ repetition_type: 'REQUIRED' });
    expect(() =>
      decodePage(bytes, header({ values: count, encoding: 'DELTA_BYTE_ARRAY' }), undefined, required),
    ).toThrow('damaged');
  });

  test('of any bytes has its values or is damaged', () => {
    const nested = leaf(
      { name: 'a', type: undefined, repetition_type: 'OPTIONAL' },
      { name: 'b', repetition_type: 'REPEATED' },
    );
    const leaves = [
      flat,
      nested,
      leaf({ repetition_type: 'REQUIRED' }),
      leaf({ type: 'INT64' }),
      leaf({ type: 'INT32' }),
      leaf({ type: 'BOOLEAN', repetition_type: 'OPTIONAL' }),
    ];
    const encodings = [
      'PLAIN',
      'RLE',
      'RLE_DICTIONARY',
      'DELTA_BINARY_PACKED',
      'DELTA_LENGTH_BYTE_ARRAY',
      'DELTA_BYTE_ARRAY',
    ];
    const small = fc.oneof(fc.nat(4), fc.nat(255));
    fc.assert(
      fc.property(
        fc.array(small, { maxLength: 60 }),
        fc.constantFrom(...leaves),
        fc.record({
          kind: fc.constantFrom('data' as const, 'data v2' as const),
          encoding: fc.constantFrom(...encodings),
          values: fc.nat(100),
          nulls: fc.nat(4),
          definitionBytes: fc.nat(9),
          repetitionBytes: fc.nat(9),
        }),
        (bytes, of, change) => {
          let page: ReturnType<typeof decodePage>;
          try {
            page = decodePage(new Uint8Array(bytes), header(change), ['x', 'y'], of);
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
            return;
          }
          for (const list of [page.values, page.definitionLevels ?? [], page.repetitionLevels]) {
            expect(list.length).toBeLessThanOrEqual(change.values);
          }
        },
      ),
      { numRuns: 20_000 },
    );
  });

  test('never becomes more than its header says', () => {
    const big = Buffer.alloc(2 ** 24);
    expect(() => uncompress('GZIP', gzipSync(big), 1000)).toThrow();
    expect(() => uncompress('ZSTD', Buffer.from('28b52ffd', 'hex'), 1000)).toThrow();
    expect(() => uncompress('UNCOMPRESSED', big, 1000)).toThrow('its header says 1000');
  });
});

describe('Snappy', () => {
  test('is undone', () => {
    // Ten bytes: a literal "ab", and a copy of eight from two before.
    expect(Buffer.from(snappyUncompress(new Uint8Array([10, 4, 97, 98, 17, 2]), 10)).toString()).toBe(
      'ababababab',
    );
  });

  test.each([
    ['a literal of four billion bytes', [10, 252, 250, 255, 255, 255, 1]],
    ['a copy from before its begin', [10, 4, 97, 98, 17, 3]],
    ['a copy of nothing', [10, 4, 97, 98, 17, 0]],
    ['too little', [10, 4, 97, 98]],
    ['too much', [10, 40, ...Array(11).fill(97)]],
    ['nothing', []],
  ])('of %s is damaged', (_, bytes) => {
    expect(() => snappyUncompress(new Uint8Array(bytes), 10)).toThrow();
  });

  test('of any bytes ends', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(255), fc.constantFrom(252, 255, 1, 2, 3)), { maxLength: 60 }),
        fc.nat(100),
        (bytes, size) => {
          try {
            expect(snappyUncompress(new Uint8Array(bytes), size)).toHaveLength(size);
          } catch (error) {
            expect((error as Error).message).toMatch(/Snappy/);
          }
        },
      ),
      { numRuns: 20_000 },
    );
  });
});

describe('metadata', () => {
  test.each([
    ['a list of two billion', [0x19, 0xfc, 255, 255, 255, 255, 7]],
    ['a number without end', [0x16, ...Array(50).fill(255)]],
    ['a text of four billion bytes', [0x18, 255, 255, 255, 255, 15, 65]],
    ['structs in structs', Array(1000).fill(0x1c)],
    ['no end', [0x15, 2]],
    ['a type that there is not', [0x1d, 0]],
  ])('of %s is damaged', (_, bytes) => {
    expect(() => readThrift(new Uint8Array(bytes))).toThrow(/its metadata/);
  });
});

describe('a file', () => {
  const file = (texts: string[], options: object = {}) => {
    const writer = new ByteWriter();
    const parquet = new ParquetWriter({
      writer,
      schema: [
        { name: 'root', num_children: 1 },
        { name: 'text', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
      ],
      compressors: { GZIP: (input) => gzipSync(input) },
      ...options,
    });
    parquet.write({ columnData: [{ name: 'text', data: texts }] });
    parquet.finish();
    return Buffer.from(writer.getBytes());
  };

  test('that says it becomes too large is refused before anything of it is read', async () => {
    const bomb = file([`${'a'.repeat(2 ** 24)}`], { codec: 'GZIP' });
    expect(bomb.length).toBeLessThan(50_000);
    const reads: number[] = [];
    const source = {
      size: bomb.length,
      stream: async function* () {
        yield bomb;
      },
      slice: async (offset: number, bytes: number) => {
        reads.push(offset);
        return bomb.subarray(offset, offset + bytes);
      },
    };
    await expect(rowsOf(source, 'a.parquet')).rejects.toMatchObject({
      code: 'file_expands_too_much',
      status: 413,
    });
    // Its end and its footer.
    expect(reads).toHaveLength(2);
  });

  test('that repeats a text of its dictionary too often is refused on the way', async () => {
    const bomb = file(Array(20_000).fill('a'.repeat(50_000)));
    expect(bomb.length).toBeLessThan(50_000);
    await expect(rowsOf(bomb, 'a.parquet', {}, { expandedBytes: 2 ** 26 })).rejects.toMatchObject({
      code: 'file_expands_too_much',
    });
  });

  test('has rows that are too long refused, and the others read', async () => {
    const rows = await rowsOf(file(['a', 'b'.repeat(5000), 'c']), 'a.parquet', {}, { rowBytes: 1000 });
    expect(contents(rows)).toEqual([{ text: 'a' }, { text: 'c' }]);
    expect(refused(rows).map(({ reason }) => reason)).toEqual([
      'Row is longer than 1000 bytes on row 2: it has 5000.',
    ]);
  });

  test('has rows that are not UTF-8 refused', async () => {
    const bytes = file(['a', '\u0001marked', 'c'], { codec: 'UNCOMPRESSED', statistics: false });
    bytes[bytes.indexOf('\u0001marked')] = 0xff;
    const rows = await rowsOf(bytes, 'a.parquet');
    expect(contents(rows)).toEqual([{ text: 'a' }, { text: 'c' }]);
    expect(refused(rows)[0]).toMatchObject({
      line: 2,
      field: 'text',
      reason: 'Text is not UTF-8 on row 2: it begins with the bytes 0xff6d61726b6564.',
    });
  });

  test('of columns that are no texts is refused', async () => {
    const writer = new ByteWriter();
    const schema = [
      { name: 'root', num_children: 1 },
      { name: 'text', type: 'INT32' as const, converted_type: 'DATE' as const },
    ];
    const parquet = new ParquetWriter({ writer, schema });
    parquet.write({ columnData: [{ name: 'text', data: [new Date(0)] }] });
    parquet.finish();
    await expect(rowsOf(Buffer.from(writer.getBytes()), 'a.parquet')).rejects.toMatchObject({
      code: 'unknown_format',
      message: expect.stringContaining('its column "text" is of the type DATE'),
    });
  });

  test('of other columns says which it has', async () => {
    await expect(rowsOf(file(['a']), 'a.parquet', { columns: { text: 'body' } })).rejects.toMatchObject({
      message: 'The file "a.parquet" cannot be read: it has no column "body"; it has "text".',
    });
  });

  test('inside gzip, or of another name, is told what it is', async () => {
    await expect(rowsOf(gzipSync(file(['a'])), 'a.parquet.gz')).rejects.toMatchObject({
      message: expect.stringContaining('Parquet inside'),
    });
    await expect(rowsOf('hello', 'a.parquet')).rejects.toMatchObject({
      message: expect.stringContaining('not Parquet'),
    });
    await expect(rowsOf(file(['a']), 'a.csv', { format: 'csv' })).rejects.toMatchObject({
      message: expect.stringContaining('it is Parquet'),
    });
    expect(contents(await rowsOf(file(['a']), 'a.csv'))).toEqual([{ text: 'a' }]);
  });
});
