import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isFormula } from './csv.ts';
import { contents, examples, refused, rowsOf, sourceOf } from './testing/rows.ts';

const sentences = async (file: string | Uint8Array, rowBytes = 2 ** 20) =>
  refused(await rowsOf(file, 'a.csv', {}, { rowBytes })).map(({ field, reason }) => `${field}: ${reason}`);

describe('a CSV table', () => {
  test('has rows of its known columns', async () => {
    const file = '\ufeffprompt,"completion",id,source\r\n"a ""b""\r\nc",d,1,book\r\n\r\ne,"f,g",2,\n';
    const rows = await rowsOf(file, 'a.csv');
    expect(examples(rows)).toEqual([
      { content: { prompt: 'a "b"\r\nc', completion: 'd' }, source: 'book' },
      { content: { prompt: 'e', completion: 'f,g' } },
    ]);
    expect(rows.map(({ line }) => line)).toEqual([2, 5]);
  });

  test('may have other names, tabs and semicolons', async () => {
    const columns = { prompt: 'Frage', completion: 'Antwort' };
    const expected = [{ prompt: 'a, b', completion: 'c' }];
    expect(contents(await rowsOf('Frage;Antwort\na, b;c\n', 'a.csv', { columns }))).toEqual(expected);
    expect(contents(await rowsOf('Frage\tAntwort\na, b\tc', 'a.tsv', { columns }))).toEqual(expected);
  });

  test('may be Alpaca, or have messages as JSON', async () => {
    expect(contents(await rowsOf('id,instruction,output\n1,a,b\n', 'a.csv'))).toEqual([
      {
        messages: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: 'b' },
        ],
      },
    ]);
    const turns = JSON.stringify([
      { from: 'human', value: 'a', weight: null },
      { from: 'gpt', value: 'b' },
    ]);
    const table = `conversations,history\n"${turns.replaceAll('"', '""')}",\n[,\n`;
    const rows = await rowsOf(table, 'a.csv');
    expect(contents(rows)).toEqual([
      {
        messages: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: 'b' },
        ],
      },
    ]);
    expect(refused(rows)[0]!.reason).toBe('Column must be a list or its JSON on line 3, not "[".');
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ];
    const cell = JSON.stringify(messages).replaceAll('"', '""');
    expect(contents(await rowsOf(`messages\n"${cell}"\n`, 'a.csv'))).toEqual([{ messages }]);
  });

  test('is the same however it comes in chunks', async () => {
    const file = 'text,n\r\n"a ""x""\n",1\r\nb"c,2\n"d"e,3\nf,4,5\n"g\r\n\r\n",6\n,7\n"h';
    const whole = await rowsOf(file, 'a.csv');
    expect(contents(whole)).toEqual([{ text: 'a "x"\n' }, { text: 'g\r\n\r\n' }]);
    for (let chunk = 1; chunk < 30; chunk++) {
      expect(await rowsOf(sourceOf(file, chunk), 'a.csv')).toEqual(whole);
    }
    expect(refused(whole).map(({ field, reason }) => `${field}: ${reason}`)).toEqual([
      'null: Row is not CSV on line 4: a quote is inside a field that does not begin with one.',
      'null: Row is not CSV on line 5: a character follows a closing quote.',
      'null: Row has 3 fields, and the header 2, on line 6.',
      'text: Text is missing on line 10.',
      'null: Row is not CSV on line 11: a quote is opened and not closed before the file ends.',
    ]);
  });

  test('with a quote that is never closed loses one row, not the file', async () => {
    const lines = Array.from({ length: 1000 }, (_, i) => `line ${i}`);
    const rows = await rowsOf(`text\n"open\n${lines.join('\n')}\n`, 'a.csv', {}, { rowBytes: 100 });
    expect(refused(rows).map(({ line, reason }) => [line, reason])).toEqual([
      [
        2,
        'Row is not CSV on line 2: a quote is opened and not closed up to line 16, which would make the row too long.',
      ],
    ]);
    expect(contents(rows)).toEqual(lines.slice(14).map((text) => ({ text })));
  });

  test('with a row that is too long goes on behind it', async () => {
    const rows = await rowsOf(`text\na\n"${'b'.repeat(3000)}"\nc\n`, 'a.csv', {}, { rowBytes: 1000 });
    expect(contents(rows)).toEqual([{ text: 'a' }, { text: 'c' }]);
    expect(refused(rows)[0]!.reason).toBe('Row is longer than 1000 bytes on line 3: it has 3002.');
  });

  test('with a row of endless delimiters goes on behind it, in bounded memory', async () => {
    const commas = Buffer.alloc(2 ** 20, ',');
    async function* stream() {
      yield Buffer.from('text\na\n');
      for (let i = 0; i < 100; i++) yield commas;
      yield Buffer.from('\nc\n');
    }
    const before = process.memoryUsage().rss;
    let most = 0;
    const watched = async function* () {
      for await (const chunk of stream()) {
        most = Math.max(most, process.memoryUsage().rss);
        yield chunk;
      }
    };
    const source = { size: 2 ** 27, stream: watched, slice: () => Promise.reject(new Error('not needed')) };
    const rows = await rowsOf(source, 'a.csv');
    expect(contents(rows)).toEqual([{ text: 'a' }, { text: 'c' }]);
    expect(refused(rows)[0]!.reason).toBe('Row is not CSV on line 3: a row has more than 10000 fields.');
    expect(most - before).toBeLessThan(64 * 2 ** 20);
  });

  test('that is not UTF-8 is refused by the row', async () => {
    const file = Buffer.concat([Buffer.from('text\na\n'), Buffer.from([0xe4]), Buffer.from('\nb\n')]);
    expect(await sentences(file)).toEqual([
      'null: Text is not UTF-8 on line 3: byte 0xE4 at offset 7 of the file begins no character.',
    ]);
    expect(await sentences('text\na\0b\n')).toEqual(['text: Text has a NUL character on line 2.']);
  });

  test('of any fields is read as it was written', async () => {
    const cell = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0') && !isFormula(text));
    const filled = cell.filter((text) => text.trim() !== '');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(cell, filled), { minLength: 1 }),
        fc.integer({ min: 1, max: 60 }),
        async (rows, chunk) => {
          const written = rows.map((row) => row.map((text) => `"${text.replaceAll('"', '""')}"`).join(','));
          const file = Buffer.from(`prompt,completion\n${written.join('\n')}`);
          expect(contents(await rowsOf(sourceOf(file, chunk), 'a.csv'))).toEqual(
            rows.map(([prompt, completion]) => ({ prompt, completion })),
          );
        },
      ),
    );
  });

  const broken: Array<[string, string, object]> = [
    ['a,b\n1,2\n', 'say in columns which is the prompt', {}],
    ['text,text\na,b\n', 'two columns have the name', {}],
    ['"text\na\n', 'the header of the table is broken', {}],
    ['a,b\n1,2\n', 'it has no column \\"c\\"', { columns: { text: 'c' } }],
  ];
  test.each(broken)('%j is an error of the file', async (file, why, options) => {
    await expect(rowsOf(file, 'a.csv', options)).rejects.toMatchObject({
      code: 'unknown_format',
      message: expect.stringContaining(why.replaceAll('\\"', '"')),
    });
  });
});

describe('formulas', () => {
  test.each([
    '=1+1',
    '=A1',
    '= SUM(A1)',
    '=HYPERLINK("http://x","y")',
    '+SUM(A1:A2)',
    '-SUM(1)',
    '@SUM(1)',
    "=cmd|' /C calc'!A0",
    "+cmd|' /C calc'!A0",
    '="a"&B1',
    '\t=1+1',
    '=-A1',
    "-2+3+cmd|' /C calc'!A0",
    '={1}',
    "='Sheet 1'!A1",
  ])('%j is one', (cell) => {
    expect(isFormula(cell)).toBe(true);
  });

  test.each([
    '',
    '-5',
    '+1 555 0100',
    '- an item (of a list)',
    '-- a dash',
    '@handle: hello',
    '=> so',
    '== heading ==',
    '=)',
    'a=1',
    '+ plus',
    '@ 5',
    '-',
    '=',
  ])('%j is a text', (cell) => {
    expect(isFormula(cell)).toBe(false);
  });

  test('are refused in columns that are used, and only there', async () => {
    expect(await sentences('text,id\n"=HYPERLINK(""x"")",1\nb,=A1\n')).toEqual([
      'text: Cell is a formula that a spreadsheet would run on line 2: "=HYPERLINK(\\"x\\")"; write it without the "=" if it is a text.',
    ]);
  });
});
