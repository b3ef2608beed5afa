/** Rows of a CSV table with a header; the delimiter is that of the header: a comma, a semicolon or a tab. */
import type { ColumnMapping } from '../model.ts';
import { type CsvRecord, readCsvRecords } from './csv_records.ts';
import type { ReadLimits, Row } from './format.ts';
import { checkValue, type JsonObject } from './json_row.ts';
import { type TableReader, tableReader } from './mapped.ts';
import { key, quote, Refusal, rawText, refusedRow, unknownFormat } from './refusal.ts';
import { decodeUtf8 } from './utf8.ts';

export async function* readCsv(
  chunks: AsyncIterable<Uint8Array>,
  {
    filename,
    head,
    start,
    columns,
  }: { filename: string; head: Uint8Array; start: number; columns?: ColumnMapping },
  limits: ReadLimits,
): AsyncGenerator<Row[]> {
  let header: { names: string[]; used: Array<[number, string]>; reader: TableReader } | undefined;
  for await (const batch of readCsvRecords(chunks, delimiterOf(head), limits.rowBytes, start)) {
    const rows: Row[] = [];
    for (const record of batch) {
      if (header === undefined) header = readHeader(record, columns, filename, limits);
      else rows.push(readRecord(record, header, limits));
    }
    if (rows.length > 0) yield rows;
  }
}

/** The one that is most often in the first line, outside quotes. */
function delimiterOf(head: Uint8Array): number {
  const [line = ''] = Buffer.from(head).toString('latin1').split('\n', 1);
  const bare = line.replace(/"[^"]*"/g, '');
  const count = (delimiter: string) => bare.split(delimiter).length;
  const [first] = [',', ';', '\t'].sort((a, b) => count(b) - count(a));
  return first!.charCodeAt(0);
}

function readHeader(
  record: CsvRecord,
  mapping: ColumnMapping | undefined,
  filename: string,
  limits: ReadLimits,
) {
  let names: string[];
  try {
    names = fieldsOf(record, limits).map((name) => name.trim());
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw unknownFormat(filename, `the header of the table is broken: ${error.message}${error.detail}`);
  }
  const twice = names.find((name, i) => names.indexOf(name) !== i && name !== '');
  if (twice !== undefined) throw unknownFormat(filename, `two columns have the name ${quote(twice)}`);
  const missing = Object.values(mapping ?? {}).find((name) => !names.includes(name));
  if (missing !== undefined) {
    throw unknownFormat(filename, `it has no column ${quote(missing)}; it has ${quote(names.join(', '))}`);
  }
  const reader = tableReader(names, mapping);
  if (reader === undefined) {
    const why = `its columns are ${quote(names.join(', '))}; say in columns which is the prompt, the completion or the text`;
    throw unknownFormat(filename, why);
  }
  const used = reader.columns.map((name): [number, string] => [names.indexOf(name), name]);
  return { names, used, reader };
}

function readRecord(
  record: CsvRecord,
  { names, used, reader }: { names: string[]; used: Array<[number, string]>; reader: TableReader },
  limits: ReadLimits,
): Row {
  try {
    const fields = fieldsOf(record, limits);
    if (fields.length !== names.length) {
      throw new Refusal(null, `Row has ${fields.length} fields, and the header ${names.length},`);
    }
    const row: JsonObject = Object.create(null);
    for (const [i, name] of used) {
      const field = fields[i]!;
      if (isFormula(field)) {
        const detail = `: ${quote(field)}; write it without the ${quote(field.trimStart()[0])} if it is a text`;
        throw new Refusal(key(name), 'Cell is a formula that a spreadsheet would run', detail);
      }
      row[name] = field;
    }
    checkValue(row);
    return { line: record.line, example: reader.read(row) };
  } catch (error) {
    if (error instanceof Refusal) return refusedRow(error, record.line, rawText(record.bytes));
    throw error;
  }
}

function fieldsOf(record: CsvRecord, limits: ReadLimits): string[] {
  if (record.broken !== undefined) throw new Refusal(null, 'Row is not CSV', `: ${record.broken}`);
  if (record.size > limits.rowBytes) {
    throw new Refusal(null, `Row is longer than ${limits.rowBytes} bytes`, `: it has ${record.size}`);
  }
  decodeUtf8(record.bytes, record.offset);
  return record.fields.map((field) => field.toString('utf8'));
}

/**
 * Whether a spreadsheet would compute something from a cell that is opened in it (OWASP, "CSV injection"): an = before an
 * operand, a call of a function behind = + - or @, or a DDE command. A text that merely begins with such a character (a list
 * item, a phone number, a handle, an arrow) is kept as it is.
 */
export function isFormula(cell: string): boolean {
  const start = cell.trimStart();
  if (!/^[=+\-@]/.test(start)) return false;
  const end = start.slice(0, 1000);
  return (
    /^=\s*[\w$'"(+\-@{[]/.test(end) ||
    /^[=+\-@][\s=+\-@(]*[A-Za-z_][\w.]*\(/.test(end) ||
    /^[=+\-@][^|\n]*\|[^!\n]*!/.test(end)
  );
}
