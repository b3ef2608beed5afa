/** Files of tests, and their rows. */
import type { Content, Example, FormatOptions, RefusedRow } from '../../model.ts';
import type { ByteSource, ReadLimits, Row } from '../format.ts';
import { readRows } from '../read_rows.ts';

export const limits: ReadLimits = { rowBytes: 2 ** 20, ratio: 100, expandedBytes: 2 ** 28 };

/** A file in memory, which comes in chunks of `chunkBytes`. */
export function sourceOf(content: string | Uint8Array, chunkBytes = 64 * 1024): ByteSource {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return {
    size: bytes.length,
    async *stream() {
      for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
    },
    slice: async (offset, length) => bytes.subarray(offset, offset + length),
  };
}

export async function rowsOf(
  file: string | Uint8Array | ByteSource,
  filename: string,
  options: FormatOptions = {},
  changed: Partial<ReadLimits> = {},
): Promise<Row[]> {
  const source = typeof file === 'string' || file instanceof Uint8Array ? sourceOf(file) : file;
  const rows: Row[] = [];
  for await (const batch of readRows(source, filename, options, { ...limits, ...changed }))
    rows.push(...batch);
  return rows;
}

export const examples = (rows: Row[]): Example[] =>
  rows.flatMap((row) => ('example' in row ? [row.example] : []));

export const contents = (rows: Row[]): Content[] => examples(rows).map(({ content }) => content);

export const refused = (rows: Row[]): RefusedRow[] =>
  rows.flatMap((row) => ('refused' in row ? [row.refused] : []));

/** The one refusal of a file of one row: "field: reason". */
export async function refusalOf(row: unknown, options: FormatOptions = {}): Promise<string> {
  const rows = await rowsOf(
    `${typeof row === 'string' ? row : JSON.stringify(row)}\n`,
    'rows.jsonl',
    options,
  );
  const [only] = refused(rows);
  return only ? `${only.field}: ${only.reason}` : 'accepted';
}
