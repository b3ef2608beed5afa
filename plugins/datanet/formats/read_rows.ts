/** A file's bytes to rows: undoes compression, finds the format, reads it. */
import type { ColumnMapping, FormatOptions } from '../model.ts';
import { readCsv } from './csv.ts';
import { detectFormat, type FileFormat, markBytes } from './detect.ts';
import { readDocument } from './documents.ts';
import { compressionOf, expand } from './expand.ts';
import type { ByteSource, ReadLimits, ReadRows, Row } from './format.ts';
import type { Frame } from './frames.ts';
import { readArray } from './json_array.ts';
import { isJsonFormat, type JsonFormat, readJsonRow } from './json_formats.ts';
import { parseRow } from './json_row.ts';
import { readLines } from './lines.ts';
import { checkMapping, readMapped } from './mapped.ts';
import { readParquet } from './parquet/read_parquet.ts';
import { damagedFile, emptyFile, Refusal, rawText, refusedRow, unknownFormat } from './refusal.ts';
import { decodeUtf8 } from './utf8.ts';

/** Bytes that show what a file is. */
const headBytes = 64 * 1024;

export const readRows: ReadRows = async function* (bytes, filename, options, limits) {
  if (bytes.size === 0) throw emptyFile(filename);
  let rows = 0;
  for await (const batch of readFile(bytes, filename, options, limits)) {
    rows += batch.length;
    yield batch;
  }
  if (rows === 0) throw emptyFile(filename);
};

async function* readFile(
  bytes: ByteSource,
  filename: string,
  options: FormatOptions,
  limits: ReadLimits,
): AsyncGenerator<Row[]> {
  const why = options.columns === undefined ? undefined : checkMapping(options.columns);
  if (why !== undefined) throw unknownFormat(filename, why);
  const file = await withHead(bytes.stream());
  try {
    const compression = compressionOf(file.head);
    if (compression === undefined) {
      yield* readPlain(file, bytes, filename, options, limits);
      return;
    }
    const plain = await withHead(expand(file.chunks, compression, { filename, size: bytes.size, limits }));
    try {
      const again = compressionOf(plain.head);
      if (again !== undefined) {
        throw unknownFormat(filename, `it is compressed twice: there is ${again} in ${compression}`);
      }
      yield* readPlain(plain, undefined, filename, options, limits);
    } finally {
      await plain.close();
    }
  } finally {
    await file.close();
  }
}

/** `file`: undefined where it was compressed, and is there as a stream alone. */
async function* readPlain(
  { head, chunks }: { head: Buffer; chunks: AsyncGenerator<Uint8Array> },
  file: ByteSource | undefined,
  filename: string,
  options: FormatOptions,
  limits: ReadLimits,
): AsyncGenerator<Row[]> {
  const { columns } = options;
  const format = detectFormat(head, filename, options);
  if (format === 'parquet') {
    if (file !== undefined) yield* readParquet(file, filename, columns, limits);
    else
      throw unknownFormat(
        filename,
        'it is Parquet inside a compressed file; send it as it is, it is compressed by itself',
      );
    return;
  }
  const start = markBytes(head);
  const text = start === 0 ? chunks : withoutFirst(chunks, start);
  if (format === 'csv') {
    yield* readCsv(text, { filename, head: head.subarray(start), start, columns }, limits);
  } else if (format === 'text' || format === 'markdown') {
    yield* readDocument(text, { filename, markdown: format === 'markdown', start, options }, limits);
  } else {
    // A first line that is a list is a broken row where the name says that rows are lines.
    const isArray =
      !/\.(jsonl|ndjson)(\.|$)/i.test(filename) && /^\s*\[/.test(head.toString('latin1', start));
    const frames = (isArray ? readArray : readLines)(text, limits.rowBytes, start);
    yield* readJson(frames, filename, format, columns, limits);
  }
}

async function* readJson(
  frames: AsyncIterable<Frame[]>,
  filename: string,
  format: FileFormat,
  columns: ColumnMapping | undefined,
  limits: ReadLimits,
): AsyncGenerator<Row[]> {
  const named = isJsonFormat(format) ? format : undefined;
  try {
    for await (const batch of frames) {
      const rows = batch.flatMap((frame) => readFrame(frame, named, columns, limits) ?? []);
      if (rows.length > 0) yield rows;
    }
  } catch (error) {
    if (error instanceof Refusal) throw damagedFile(filename, error.message, error);
    throw error;
  }
}

/** Nothing of a line that is blank. */
function readFrame(
  { line, offset, bytes, size }: Frame,
  format: JsonFormat | undefined,
  columns: ColumnMapping | undefined,
  limits: ReadLimits,
): Row | undefined {
  try {
    if (size > limits.rowBytes) {
      throw new Refusal(null, `Row is longer than ${limits.rowBytes} bytes`, `: it has ${size}`);
    }
    const text = decodeUtf8(bytes, offset);
    if (text.trim() === '') return undefined;
    const row = parseRow(text);
    return { line, example: columns ? readMapped(row, columns) : readJsonRow(row, format) };
  } catch (error) {
    if (error instanceof Refusal) return refusedRow(error, line, rawText(bytes));
    throw error;
  }
}

/** The first bytes of a stream, the stream with them, and what ends it wherever it is. */
async function withHead(source: AsyncIterable<Uint8Array>) {
  const iterator = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let size = 0;
  while (size < headBytes) {
    const { done, value } = await iterator.next();
    if (done) break;
    first.push(value);
    size += value.length;
  }
  async function* chunks(): AsyncGenerator<Uint8Array> {
    while (first.length > 0) yield first.shift()!;
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
  }
  const head = Buffer.concat(first).subarray(0, headBytes);
  return { head, chunks: chunks(), close: async () => void (await iterator.return?.()) };
}

async function* withoutFirst(chunks: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let left = bytes;
  for await (const chunk of chunks) {
    const rest = chunk.subarray(Math.min(left, chunk.length));
    left -= chunk.length - rest.length;
    if (rest.length > 0) yield rest;
  }
}
