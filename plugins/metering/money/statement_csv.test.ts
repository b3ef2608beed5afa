import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type StatementRow, statementsCsv } from './statement_csv.ts';

const row = (change: Partial<StatementRow> = {}): StatementRow => ({
  epoch: 3,
  account: 'contributor:ada',
  currency: 'microUSD',
  receipts: 2,
  carried_in: '-30',
  earned: '12',
  adjusted: '0',
  paid: '0',
  carried_out: '-18',
  address: null,
  ...change,
});
const headings =
  'epoch,account,currency,receipts,carried_in,earned,corrections,corrected,adjusted,paid,carried_out,address';

test('a heading, a line for each, and amounts below 0 as numbers', () => {
  const corrected = row({ epoch: 4, corrections: 2, corrected: '-7', carried_out: '-25', address: '0xfB69' });
  expect(statementsCsv([row(), corrected])).toBe(
    `${headings}\r\n3,contributor:ada,microUSD,2,-30,12,0,0,0,0,-18,\r\n4,contributor:ada,microUSD,2,-30,12,2,-7,0,0,-25,0xfB69\r\n`,
  );
});

test('what a spreadsheet would run is text', () => {
  for (const text of ['=1+1', '+1', '-1+1', '@SUM(A1)', '\t=1', '\r=1', '=cmd|"/c calc"!A1', '-', '--1'])
    expect(statementsCsv([row({ account: text })])).toContain(
      `3,"'${text.replaceAll('"', '""')}",microUSD,2`,
    );
});

/** By the grammar of RFC 4180. */
function read(csv: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [];
  for (const [, quoted, plain, end] of csv.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    record.push(quoted === undefined ? plain! : quoted.replaceAll('""', '"'));
    if (end === ',') continue;
    records.push(record);
    record = [];
  }
  return records;
}

test('any name comes back, and none begins as a formula', () => {
  const name = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('"', ',', '\r', '\n', '=', '-', '@', '\t', "'", 'a', '1') }),
  );
  fc.assert(
    fc.property(name, (account) => {
      const records = read(statementsCsv([row({ account })]));
      expect(records.map(({ length }) => length)).toEqual([12, 12]);
      const shown = records[1]![1]!;
      if (shown !== account) expect(shown).toBe(`'${account}`);
      if (/^[=+\-@\t\r]/.test(shown)) expect(shown).toMatch(/^-\d+$/);
    }),
  );
});
