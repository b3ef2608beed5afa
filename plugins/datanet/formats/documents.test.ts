import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { contents, examples, refused, rowsOf, sourceOf } from './testing/rows.ts';

const texts = async (file: string, name: string, options: object) =>
  contents(await rowsOf(file, name, options)).map((content) => (content as { text: string }).text);

describe('documents', () => {
  test('that are short are one chunk, whose source is the document', async () => {
    expect(examples(await rowsOf('\ufeff\n# A\r\n\r\nb\r\n', 'a.md'))).toEqual([
      { content: { text: '# A\n\nb' }, source: 'a.md' },
    ]);
  });

  test('are cut at headings before paragraphs, and at paragraphs before lines', async () => {
    const section =
      '# One\n\nfirst line\nsecond line\n\nthird line\n\n## Two\n\nfourth line\nfifth line\n\nsixth line';
    expect(await texts(section, 'a.md', { chunkCharacters: 64 })).toEqual([
      '# One\n\nfirst line\nsecond line\n\nthird line',
      '## Two\n\nfourth line\nfifth line\n\nsixth line',
    ]);
    expect(await texts('aaaa\nbbbb\n\ncccc\ndddd', 'a.txt', { chunkCharacters: 17 })).toEqual([
      'aaaa\nbbbb',
      'cccc\ndddd',
    ]);
    expect(await texts('aaaa\nbbbb\ncccc\ndddd', 'a.txt', { chunkCharacters: 10 })).toEqual([
      'aaaa\nbbbb',
      'cccc\ndddd',
    ]);
  });

  test('are not cut at what looks like a heading in a block of code', async () => {
    const file = 'before this block there is text\n\n```sh\n# no heading\nls\n```\nafter\n';
    expect(await texts(file, 'a.md', { chunkCharacters: 60 })).toEqual([
      'before this block there is text',
      '```sh\n# no heading\nls\n```\nafter',
    ]);
  });

  test('have long lines cut behind sentences, else between words, never through a character', async () => {
    expect(await texts('One two. Three four five six.', 'a.txt', { chunkCharacters: 12 })).toEqual([
      'One two.',
      'Three four',
      'five six.',
    ]);
    expect(await texts('😀'.repeat(5), 'a.txt', { chunkCharacters: 3 })).toEqual(Array(5).fill('😀'));
  });

  test('overlap by whole lines', async () => {
    const file = 'aaaa\nbbbb\ncccc\ndddd\neeee';
    expect(await texts(file, 'a.txt', { chunkCharacters: 20, chunkOverlap: 5 })).toEqual([
      'aaaa\nbbbb\ncccc\ndddd',
      'dddd\neeee',
    ]);
  });

  test('of any text lose nothing and have no chunk that is too long', async () => {
    const line = fc.string({
      unit: fc.constantFrom('a', 'b', '. ', ' ', '#', '😀', 'é', '`'),
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(line),
        fc.integer({ min: 2, max: 50 }),
        fc.integer({ min: 1, max: 30 }),
        async (lines, chunkCharacters, bytes) => {
          const file = `x\n${lines.join('\n')}`;
          const rows = await rowsOf(sourceOf(file, bytes), 'a.md', { chunkCharacters });
          const all = contents(rows).map((content) => (content as { text: string }).text);
          expect(all.join('').replace(/\s/g, '')).toBe(file.replace(/\s/g, ''));
          for (const text of all) expect(text.length).toBeLessThanOrEqual(chunkCharacters);
          const at = rows.map((row) => row.line);
          expect([...at].sort((a, b) => a - b)).toEqual(at);
        },
      ),
    );
  });

  test('with a line that is broken or too long go on behind it', async () => {
    const file = Buffer.concat([
      Buffer.from('a\n'),
      Buffer.from([0xff]),
      Buffer.from(`\nb\0\n${'c'.repeat(200)}\nd\n`),
    ]);
    const rows = await rowsOf(file, 'a.txt', { chunkCharacters: 100 }, { rowBytes: 100 });
    expect(contents(rows)).toEqual([{ text: 'a\nd' }]);
    expect(refused(rows).map(({ reason }) => reason)).toEqual([
      'Text is not UTF-8 on line 2: byte 0xFF at offset 2 of the file begins no character.',
      'Text has a NUL character on line 3.',
      'Line is longer than 100 bytes on line 4: it has 200.',
    ]);
  });

  test.each([
    { chunkCharacters: 0 },
    { chunkCharacters: 1.5 },
    { chunkCharacters: 10, chunkOverlap: 3 },
    { chunkOverlap: -1 },
  ])('are not cut by %j', async (options) => {
    await expect(rowsOf('a', 'a.txt', options)).rejects.toMatchObject({ code: 'unknown_format' });
  });
});
