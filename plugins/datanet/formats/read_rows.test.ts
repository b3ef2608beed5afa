import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import * as zlib from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { contents, refusalOf, refused, rowsOf, sourceOf } from './testing/rows.ts';
import { firstInvalid } from './utf8.ts';

const row = (text: string) => JSON.stringify({ text });

describe('lines', () => {
  test('end with LF or CR LF, and nowhere else', async () => {
    const file = `\ufeff${row('a')}\r\n\r\n  \n${row('b\u2028c\u0085d')}\n{"text":\r"e"}\n${row('f')}`;
    const rows = await rowsOf(file, 'a.jsonl');
    expect(rows.map(({ line }) => line)).toEqual([1, 4, 5, 6]);
    expect(contents(rows)).toEqual(['a', 'b\u2028c\u0085d', 'e', 'f'].map((text) => ({ text })));
  });

  test('are the same however the file comes in chunks', async () => {
    const file = Buffer.from(
      `\ufeff${row('ä€😀')}\r\n[1]\n${row('x'.repeat(200))}\n{"text":"\xff"}\n`,
      'utf8',
    );
    const whole = await rowsOf(file, 'a.jsonl', {}, { rowBytes: 100 });
    expect(whole).toHaveLength(4);
    for (let chunk = 1; chunk < 40; chunk++) {
      expect(await rowsOf(sourceOf(file, chunk), 'a.jsonl', {}, { rowBytes: 100 })).toEqual(whole);
    }
  });

  test('that are too long are refused and passed over', async () => {
    const file = `${row('a')}\n${row('b'.repeat(70_000))}\n${row('c')}\n`;
    const rows = await rowsOf(file, 'a.jsonl', {}, { rowBytes: 1000 });
    expect(contents(rows)).toEqual([{ text: 'a' }, { text: 'c' }]);
    expect(refused(rows)).toEqual([
      {
        line: 2,
        field: null,
        reason: 'Row is longer than 1000 bytes on line 2: it has 70011.',
        raw: row('b'.repeat(70_000)).slice(0, 65536),
      },
    ]);
  });

  test('of which one has 300 MB are read in bounded memory', async () => {
    const megabyte = Buffer.alloc(2 ** 20, 'x');
    async function* stream() {
      yield Buffer.from(`${row('before')}\n{"text":"`);
      for (let i = 0; i < 300; i++) yield megabyte;
      yield Buffer.from(`"}\n${row('after')}\n`);
    }
    const before = process.memoryUsage().rss;
    let most = 0;
    const watched = async function* () {
      for await (const chunk of stream()) {
        most = Math.max(most, process.memoryUsage().rss);
        yield chunk;
      }
    };
    const source = {
      size: 300 * 2 ** 20,
      stream: watched,
      slice: () => Promise.reject(new Error('not needed')),
    };
    const rows = await rowsOf(source, 'a.jsonl');
    expect(contents(rows)).toEqual([{ text: 'before' }, { text: 'after' }]);
    expect(refused(rows)[0]!.reason).toBe('Row is longer than 1048576 bytes on line 2: it has 314572811.');
    expect(most - before).toBeLessThan(64 * 2 ** 20);
  });
});

describe('text', () => {
  test('that is not UTF-8 is refused by the offset of its byte', async () => {
    const file = Buffer.concat([
      Buffer.from(`${row('a')}\n{"text":"`),
      Buffer.from([0xc3, 0x28]),
      Buffer.from(`"}\n${row('b')}`),
    ]);
    const rows = await rowsOf(file, 'a.jsonl');
    expect(contents(rows)).toEqual([{ text: 'a' }, { text: 'b' }]);
    expect(refused(rows)[0]).toEqual({
      line: 2,
      field: null,
      reason: 'Text is not UTF-8 on line 2: byte 0xC3 at offset 22 of the file begins no character.',
      raw: '{"text":"\ufffd("}',
    });
  });

  test('is UTF-8 exactly where a decoder that fails says so', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 12 }),
        fc.string({ unit: 'grapheme', maxLength: 4 }),
        (noise, text) => {
          const bytes = Buffer.concat([Buffer.from(text), noise]);
          const at = firstInvalid(bytes);
          const decodes = (part: Uint8Array) => {
            try {
              return new TextDecoder('utf-8', { fatal: true }).decode(part) !== undefined;
            } catch {
              return false;
            }
          };
          expect(decodes(bytes.subarray(0, at))).toBe(true);
          if (at < bytes.length) {
            for (let end = at + 1; end <= Math.min(at + 4, bytes.length); end++)
              expect(decodes(bytes.subarray(at, end))).toBe(false);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('of UTF-16 and other containers is an error of the file', async () => {
    const files: Array<[Buffer, string]> = [
      [Buffer.from(`\ufeff${row('a')}`, 'utf16le'), 'UTF-16'],
      [Buffer.from('PK\x03\x04...'), 'ZIP'],
      [Buffer.from('%PDF-1.7'), 'PDF'],
      [Buffer.from('BZh91AY'), 'bzip2'],
    ];
    for (const [file, word] of files) {
      await expect(rowsOf(file, 'a.jsonl')).rejects.toMatchObject({
        code: 'unknown_format',
        message: expect.stringContaining(word),
      });
    }
  });
});

describe('JSON', () => {
  const wrong: Array<[string, string]> = [
    ['{"text": "a"', 'null: Row is not JSON on line 1: '],
    ['[1]x', 'null: Row is not JSON on line 1: '],
    ['[1]', 'null: Row must be a JSON object on line 1, not [1].'],
    ['"a"', 'null: Row must be a JSON object on line 1, not "a".'],
    ['{"text":"a","text":"b"}', 'text: Key "text" is there twice on line 1.'],
    [
      '{"messages":[{"role":"user","content":"\\":","role":"user"}]}',
      'role: Key "role" is there twice on line 1.',
    ],
    ['{"text":"a","te\\u0078t":"b"}', 'text: Key "text" is there twice on line 1.'],
    ['{"text":"\\ud800"}', 'text: Text has half of a surrogate pair on line 1.'],
    ['{"text":"\\u0000"}', 'text: Text has a NUL character on line 1.'],
    ['{"text":"a","__proto__":{"x":1}}', '__proto__: Key "__proto__" is not allowed on line 1.'],
    [
      '{"text":"a","source":1e999}',
      'source: Number is too large to be held exactly on line 1; write it as a string.',
    ],
    [
      '{"text":"a","source":9007199254740993}',
      'source: Number is too large to be held exactly on line 1; write it as a string.',
    ],
    [`{"text":${'['.repeat(100)}${']'.repeat(100)}}`, 'text[0]'],
    ['{"text":"a\0b"}', 'null: Row is not JSON on line 1: '],
  ];
  test.each(wrong)('%j is refused', async (text, sentence) => {
    expect(await refusalOf(text)).toContain(sentence);
  });

  test('that is nested a hundred thousand deep is refused', async () => {
    const deep = `{"text":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    expect(await refusalOf(deep)).toMatch(/Row is nested more than 64 deep on line 1\.$/);
  });

  test('never changes prototypes', async () => {
    await rowsOf(
      '{"__proto__":{"polluted":1}}\n{"text":"a","constructor":{"prototype":{"polluted":1}}}',
      'a.jsonl',
    );
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  test('of any texts is read as it was written', async () => {
    const texts = fc.array(
      fc
        .string({ unit: 'binary', minLength: 1 })
        .filter((text) => text.trim() !== '' && !text.includes('\0')),
      { minLength: 1 },
    );
    await fc.assert(
      fc.asyncProperty(texts, fc.integer({ min: 1, max: 50 }), async (all, chunk) => {
        const read = await rowsOf(sourceOf(Buffer.from(all.map(row).join('\n')), chunk), 'a.jsonl');
        expect(contents(read)).toEqual(all.map((text) => ({ text })));
        const array = await rowsOf(
          sourceOf(
            Buffer.from(
              JSON.stringify(
                all.map((text) => ({ text })),
                null,
                1,
              ),
            ),
            chunk,
          ),
          'a.json',
        );
        expect(contents(array)).toEqual(all.map((text) => ({ text })));
      }),
    );
  });
});

describe('a JSON array', () => {
  test('is read row by row, each at its line', async () => {
    const file = `\n [\n  {"text": "a,]"},\n  {\n   "text": "b"\n  }, 7\n , {"text":"c"} ]\n\n`;
    const rows = await rowsOf(file, 'a.json');
    expect(rows.map(({ line }) => line)).toEqual([3, 4, 6, 7]);
    expect(contents(rows)).toEqual([{ text: 'a,]' }, { text: 'b' }, { text: 'c' }]);
    expect(refused(rows)[0]!.reason).toBe('Row must be a JSON object on line 6, not 7.');
  });

  test('has no row that is held beyond the limit', async () => {
    const file = `[{"text":"a"},{"text":"${'b'.repeat(5000)}"},{"text":"c"}]`;
    const rows = await rowsOf(sourceOf(file, 100), 'a.json', {}, { rowBytes: 1000 });
    expect(contents(rows)).toEqual([{ text: 'a' }, { text: 'c' }]);
    expect(refused(rows)[0]!.reason).toBe('Row is longer than 1000 bytes on line 1: it has 5011.');
  });

  const broken: Array<[string, string]> = [
    ['[{"text":"a"}', 'the array has no end; the file ends on line 1'],
    ['[{"text":"a"},]', 'an element of the array is missing on line 1'],
    ['[,{"text":"a"}]', 'an element of the array is missing on line 1'],
    ['[{"text":"a"}]\n{"text":"b"}', 'something follows the end of the array on line 2'],
  ];
  test.each(broken)('%j is damaged', async (file, why) => {
    await expect(rowsOf(file, 'a.json')).rejects.toMatchObject({
      code: 'damaged_file',
      message: expect.stringContaining(why),
    });
  });
});

describe('a file', () => {
  test.each(['', '\n', ' \r\n\n', '\ufeff', '[]'])('of no rows (%j) is empty', async (file) => {
    await expect(rowsOf(file, 'a.json')).rejects.toMatchObject({
      code: 'empty_file',
      message: 'The file "a.json" has no rows.',
    });
  });

  test('of no known name is known by its first bytes, or not at all', async () => {
    expect(contents(await rowsOf(row('a'), 'upload'))).toEqual([{ text: 'a' }]);
    await expect(rowsOf('hello', 'upload')).rejects.toMatchObject({
      code: 'unknown_format',
      message: expect.stringContaining('name its format'),
    });
    expect(contents(await rowsOf('hello', 'upload', { format: 'text' }))).toEqual([{ text: 'hello' }]);
  });

  test('that is not read to its end is closed', async () => {
    const file = createReadStream(import.meta.filename, { highWaterMark: 16 });
    const source = { size: 100, stream: () => file, slice: () => Promise.reject(new Error('not needed')) };
    await expect(rowsOf(source, 'upload')).rejects.toMatchObject({ code: 'unknown_format' });
    if (!file.closed) await once(file, 'close');
    expect(file.destroyed).toBe(true);
  });
});

describe('zstd', () => {
  // The frame of {"text":"a"}, not compressed, as zstd writes it.
  const file = Buffer.concat([Buffer.from('28b52ffd200c610000', 'hex'), Buffer.from(row('a'))]);

  test.runIf('createZstdDecompress' in zlib)('is undone where Node can', async () => {
    expect(contents(await rowsOf(file, 'a.jsonl.zst'))).toEqual([{ text: 'a' }]);
    await expect(rowsOf(file.subarray(0, 12), 'a.jsonl.zst')).rejects.toMatchObject({ code: 'damaged_file' });
  });

  test.runIf(!('createZstdDecompress' in zlib))('is told where Node cannot', async () => {
    await expect(rowsOf(file, 'a.jsonl.zst')).rejects.toMatchObject({
      code: 'unknown_format',
      message: expect.stringContaining('use gzip'),
    });
  });
});

describe('gzip', () => {
  test('is undone, whatever the name', async () => {
    const file = zlib.gzipSync(`${row('a')}\n`);
    expect(contents(await rowsOf(file, 'a.jsonl.gz'))).toEqual([{ text: 'a' }]);
    expect(contents(await rowsOf(Buffer.concat([file, file]), 'a.jsonl'))).toEqual([
      { text: 'a' },
      { text: 'a' },
    ]);
  });

  test('that is a bomb is stopped at the limit', async () => {
    const rows = (megabytes: number) => zlib.gzipSync(Buffer.alloc(megabytes * 2 ** 20, `${row('a')}\n`));
    const bomb = rows(100);
    let read = 0;
    const { size, slice } = sourceOf(bomb, 1024);
    const stream = async function* () {
      for await (const chunk of sourceOf(bomb, 1024).stream()) {
        read += chunk.length;
        yield chunk;
      }
    };
    await expect(rowsOf({ size, slice, stream }, 'a.jsonl.gz', {}, { ratio: 20 })).rejects.toMatchObject({
      code: 'file_expands_too_much',
      status: 413,
    });
    expect(read).toBeLessThan(bomb.length);
    const small = rows(4);
    await expect(
      rowsOf(small, 'a.jsonl.gz', {}, { ratio: 10_000, expandedBytes: 2 ** 20 }),
    ).rejects.toMatchObject({
      code: 'file_expands_too_much',
    });
    expect(await rowsOf(small, 'a.jsonl.gz', {}, { ratio: 10_000 })).toHaveLength(
      Math.ceil((4 * 2 ** 20) / 13),
    );
  });

  test('that is cut off, damaged or twice there is an error of the file', async () => {
    const file = zlib.gzipSync(
      Buffer.from(Array.from({ length: 100 }, (_, i) => row(String(i * 7919))).join('\n')),
    );
    await expect(rowsOf(file.subarray(0, -10), 'a.jsonl.gz')).rejects.toMatchObject({ code: 'damaged_file' });
    const flipped = Buffer.from(file);
    flipped[100]! ^= 0xff;
    await expect(rowsOf(flipped, 'a.jsonl.gz')).rejects.toMatchObject({ code: 'damaged_file' });
    await expect(rowsOf(zlib.gzipSync(file), 'a.jsonl.gz')).rejects.toMatchObject({
      code: 'unknown_format',
      message: expect.stringContaining('compressed twice'),
    });
  });
});
