/** The one way from a file's bytes to rows; each format is a file beside this one. */
import type { Example, FormatOptions, RefusedRow } from '../model.ts';

export type Row = { line: number; example: Example } | { line: number; refused: RefusedRow };

export interface ReadLimits {
  /** Longest row, bytes; a longer one is refused (and passed over) without being held in memory. */
  rowBytes: number;
  /** Longest of what a compressed file may become: so many times its own size, and at all. */
  ratio: number;
  expandedBytes: number;
}

/**
 * Reads the rows of a file, in order, in bounded memory. A broken row is a refused row; a file that is broken as a whole
 * (no such format, a damaged container, a compression bomb, an empty file) rejects with a ColophonError that names `filename`.
 * gzip and zstd (where Node has it) are undone by themselves.
 */
export type ReadRows = (
  bytes: ByteSource,
  filename: string,
  options: FormatOptions,
  limits: ReadLimits,
) => AsyncIterable<Row[]>;

/** A file: Parquet is read from its end, all others in one stream. */
export interface ByteSource {
  size: number;
  stream(): AsyncIterable<Uint8Array>;
  slice(offset: number, bytes: number): Promise<Uint8Array>;
}
