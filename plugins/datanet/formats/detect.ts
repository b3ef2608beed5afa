/** What a file is, by what was said of it, by its first bytes and by its name. */
import type { FormatName, FormatOptions } from '../model.ts';
import { unknownFormat } from './refusal.ts';

/** `json`: rows of JSON whose keys tell their format. */
export type FileFormat = FormatName | 'json';

const formatOfExtension: Readonly<Record<string, FileFormat>> = {
  jsonl: 'json',
  ndjson: 'json',
  json: 'json',
  csv: 'csv',
  tsv: 'csv',
  parquet: 'parquet',
  txt: 'text',
  text: 'text',
  md: 'markdown',
  markdown: 'markdown',
};

/** Containers that are often sent and are no format of rows, by their first bytes. */
const foreign: ReadonlyArray<[string, number[]]> = [
  ['a ZIP archive (or an office document)', [0x50, 0x4b, 0x03, 0x04]],
  ['a PDF document', [0x25, 0x50, 0x44, 0x46]],
  ['compressed with xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['compressed with bzip2', [0x42, 0x5a, 0x68]],
  ['an Arrow file', [0x41, 0x52, 0x52, 0x4f, 0x57, 0x31]],
  ['UTF-16 text; save it as UTF-8', [0xff, 0xfe]],
  ['UTF-16 text; save it as UTF-8', [0xfe, 0xff]],
];

const begins = (head: Uint8Array, magic: readonly number[]) => magic.every((byte, i) => head[i] === byte);

export const isParquet = (head: Uint8Array) => begins(head, [0x50, 0x41, 0x52, 0x31]);

/** Bytes of the mark that UTF-8 may begin with. */
export const markBytes = (head: Uint8Array) => (begins(head, [0xef, 0xbb, 0xbf]) ? 3 : 0);

/** The format of uncompressed bytes that begin with `head`. */
export function detectFormat(head: Uint8Array, filename: string, { format }: FormatOptions): FileFormat {
  if (isParquet(head)) {
    if (format === undefined || format === 'parquet') return 'parquet';
    throw unknownFormat(filename, `it is Parquet, and not ${format} as was said`);
  }
  if (format === 'parquet') throw unknownFormat(filename, 'it is not Parquet: it does not begin with PAR1');
  const other = foreign.find(([, magic]) => begins(head, magic));
  if (other) throw unknownFormat(filename, `it is ${other[0]}`);
  if (format !== undefined) return format;
  const extension = /\.([a-z]+)$/.exec(filename.toLowerCase().replace(/\.(gz|zst)$/, ''))?.[1] ?? '';
  if (extension === 'parquet')
    throw unknownFormat(filename, 'it is not Parquet: it does not begin with PAR1');
  if (Object.hasOwn(formatOfExtension, extension)) return formatOfExtension[extension]!;
  if (/^\s*[{[]/.test(Buffer.from(head.subarray(markBytes(head))).toString('latin1'))) return 'json';
  throw unknownFormat(
    filename,
    `neither its name nor its first bytes say what it is; name its format: chat, completion, alpaca, sharegpt, csv, parquet, text or markdown`,
  );
}
