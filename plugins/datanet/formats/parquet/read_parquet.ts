/** Rows of a Parquet file, of the columns that are used alone, a thousand at a time. */
import type { SchemaTree } from 'hyparquet';
import { assembleNested } from 'hyparquet/src/assemble.js';
import { DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import { getTreePath } from 'hyparquet/src/schema.js';
import { ColophonError } from '../../../../gateway/contract/index.ts';
import type { ColumnMapping } from '../../model.ts';
import { expandedLimit } from '../expand.ts';
import type { ByteSource, ReadLimits, Row } from '../format.ts';
import { checkValue, type JsonObject, type Path, spelled } from '../json_row.ts';
import { type TableReader, tableReader } from '../mapped.ts';
import {
  damagedFile,
  expandsTooMuch,
  quote,
  Refusal,
  rawText,
  refusedRow,
  unknownFormat,
} from '../refusal.ts';
import { isCodec } from './codecs.ts';
import { ColumnCursor } from './column_cursor.ts';
import { leafOf } from './decode_page.ts';
import { type Footer, type RowGroup, readFooter } from './footer.ts';
import { NotText } from './text.ts';

const batchRows = 1000;
/** What a row counts at least towards the limit of what a file may become. */
const rowBytes = 16;

export async function* readParquet(
  file: ByteSource,
  filename: string,
  mapping: ColumnMapping | undefined,
  limits: ReadLimits,
): AsyncGenerator<Row[]> {
  try {
    yield* readGroups(file, filename, mapping, limits);
  } catch (error) {
    if (error instanceof ColophonError || error instanceof Refusal) throw error;
    if (isFromSource(error)) throw error;
    throw damagedFile(filename, (error as Error).message, error);
  }
}

/** Whether reading the file failed, and not what is in it: errors of the system have a number. */
const isFromSource = (error: unknown) => (error as NodeJS.ErrnoException).syscall !== undefined;

async function* readGroups(
  file: ByteSource,
  filename: string,
  mapping: ColumnMapping | undefined,
  limits: ReadLimits,
): AsyncGenerator<Row[]> {
  const footer = await readFooter(file);
  const names = footer.schema.children.map(({ element }) => element.name);
  const reader = readerOf(names, mapping, filename);
  const columns = footer.schema.children.filter(({ element }) => reader.columns.includes(element.name));
  for (const column of columns) checkColumn(column, filename);
  const most = expandedLimit(file.size, limits);
  const tooMuch = (bytes: number) =>
    expandsTooMuch(
      filename,
      `its ${file.size} bytes become ${bytes} or more, and ${most} are the most that they may`,
    );
  const declared = declaredBytes(footer, columns);
  if (declared > most) throw tooMuch(declared);
  let pages = 0;
  let values = 0;
  let line = 0;
  for (const group of footer.rowGroups) {
    const table = new Table(file, group, columns, filename, (bytes) => {
      pages += bytes;
      if (pages > most) throw tooMuch(pages);
    });
    for (let left = group.rows; left > 0; ) {
      const batch = await table.next(Math.min(left, batchRows));
      if (batch.length === 0) throw new Error(`a row group has ${left} rows less than it says`);
      left -= batch.length;
      const rows: Row[] = [];
      for (const row of batch) {
        const read = readRow(row, ++line, reader, limits);
        values += read.bytes + rowBytes;
        rows.push(read.row);
      }
      // A dictionary can repeat a text as often as it likes.
      if (values > most) throw tooMuch(values);
      yield rows;
    }
  }
}

function readerOf(names: string[], mapping: ColumnMapping | undefined, filename: string): TableReader {
  const missing = Object.values(mapping ?? {}).find((name) => !names.includes(name));
  if (missing !== undefined) {
    throw unknownFormat(filename, `it has no column ${quote(missing)}; it has ${quote(names.join(', '))}`);
  }
  const reader = tableReader(names, mapping);
  if (reader !== undefined) return reader;
  const why = `its columns are ${quote(names.join(', '))}; say in columns which is the prompt, the completion or the text`;
  throw unknownFormat(filename, why);
}

/** Types of leaves that a row can be made of; all others are no text, no number and no list or struct of these. */
const types = ['BYTE_ARRAY', 'BOOLEAN', 'INT32', 'INT64', 'FLOAT', 'DOUBLE'];
const foreign = [
  'DECIMAL',
  'BSON',
  'INTERVAL',
  'DATE',
  'TIME_MILLIS',
  'TIME_MICROS',
  'TIMESTAMP_MILLIS',
  'TIMESTAMP_MICROS',
];

function checkColumn(column: SchemaTree, filename: string): void {
  for (const child of column.children) checkColumn(child, filename);
  const { type, converted_type: converted } = column.element;
  const isLeaf = column.children.length === 0;
  if (!isLeaf && type === undefined) return;
  if (isLeaf && types.includes(type ?? '') && !foreign.includes(converted ?? '')) return;
  const name = quote(column.path.join('.'));
  throw unknownFormat(
    filename,
    `its column ${name} is of the type ${converted ?? type ?? 'none'}, which is neither a text, a number nor a list`,
  );
}

function declaredBytes({ rowGroups }: Footer, columns: SchemaTree[]): number {
  const names = new Set(columns.map(({ element }) => element.name));
  return rowGroups
    .flatMap((group) => group.columns.filter(({ path }) => names.has(path[0] ?? '')))
    .reduce((sum, { uncompressed }) => sum + uncompressed, 0);
}

/** The used columns of a row group, which go forward together. */
class Table {
  readonly #columns: Array<{ column: SchemaTree; cursors: Array<{ path: string; cursor: ColumnCursor }> }>;

  constructor(
    file: ByteSource,
    group: RowGroup,
    columns: SchemaTree[],
    filename: string,
    expands: (bytes: number) => void,
  ) {
    this.#columns = columns.map((column) => ({
      column,
      cursors: leavesOf(column).map((leaf) => {
        const chunk = group.columns.find(({ path }) => path.join('.') === leaf.path.join('.'));
        if (chunk === undefined)
          throw new Error(`a row group lacks the column ${quote(leaf.path.join('.'))}`);
        if (!isCodec(chunk.codec)) {
          throw unknownFormat(
            filename,
            `it is compressed with ${chunk.codec}; write it with zstd, snappy, gzip or brotli`,
          );
        }
        const root: SchemaTree = { children: columns, count: 0, element: { name: 'root' }, path: [] };
        const cursor = new ColumnCursor(file, chunk, leafOf(getTreePath(root, leaf.path)), expands);
        return { path: leaf.path.join('.'), cursor };
      }),
    }));
  }

  async next(most: number): Promise<JsonObject[]> {
    let rows = most;
    for (const { cursors } of this.#columns) {
      for (const { cursor } of cursors) rows = Math.min(rows, await cursor.ready());
    }
    const batch = Array.from({ length: rows }, (): JsonObject => Object.create(null));
    for (const { column, cursors } of this.#columns) {
      const leaves = new Map(cursors.map(({ path, cursor }) => [path, cursor.take(rows)]));
      const name = column.element.name;
      if (rows > 0) assembleNested(leaves, column, DEFAULT_PARSERS);
      const values = leaves.get(name);
      if (values !== undefined) for (let i = 0; i < rows; i++) batch[i]![name] = values[i];
    }
    return batch;
  }
}

function leavesOf(column: SchemaTree): SchemaTree[] {
  return column.children.length === 0 ? [column] : column.children.flatMap(leavesOf);
}

function readRow(
  row: JsonObject,
  line: number,
  reader: TableReader,
  limits: ReadLimits,
): { row: Row; bytes: number } {
  const size = { bytes: 0 };
  try {
    for (const [name, value] of Object.entries(row)) row[name] = plainValue(value, [name], size);
    if (size.bytes > limits.rowBytes) {
      throw new Refusal(null, `Row is longer than ${limits.rowBytes} bytes`, `: it has ${size.bytes}`);
    }
    checkValue(row);
    return { row: { line, example: reader.read(row) }, bytes: size.bytes };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { row: refusedRow(error, line, rawRow(row), 'row'), bytes: size.bytes };
  }
}

/** A value as JSON has it, lists and structs changed where they are; `size` adds up its bytes. */
function plainValue(value: unknown, path: Path, size: { bytes: number }): unknown {
  if (value === undefined) return null;
  size.bytes += typeof value === 'string' ? Buffer.byteLength(value) : 8;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof NotText) {
    const bytes = Buffer.from(value.bytes.subarray(0, 8)).toString('hex');
    throw new Refusal(spelled(path), 'Text is not UTF-8', `: it begins with the bytes 0x${bytes}`);
  }
  const steps = Array.isArray(value) ? value.keys() : Object.keys(value);
  const parts = value as Record<string | number, unknown>;
  for (const step of steps) {
    path.push(step);
    parts[step] = plainValue(parts[step], path, size);
    path.pop();
  }
  return value;
}

function rawRow(row: JsonObject): string {
  const json = JSON.stringify(row, (_, value) =>
    typeof value === 'bigint'
      ? String(value)
      : value instanceof NotText
        ? Buffer.from(value.bytes).toString('latin1')
        : value,
  );
  return rawText(Buffer.from(json));
}
