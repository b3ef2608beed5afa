/** Why a row is no example, or a file no file: sentences that say what is wrong, where, and with which value. */
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { RefusedRow } from '../model.ts';

/** Bytes of a refused row that are kept as they came. */
export const rawBytes = 64 * 1024;

/**
 * Thrown by what reads a row. The sentence is `what`, where the row is, and `detail` with the mark that joins it:
 * "Weight must be either 0 or 1 on line 17, not 2."
 */
export class Refusal extends Error {
  /** "messages[1].role"; null: the row as a whole. */
  readonly field: string | null;
  readonly detail: string;

  constructor(field: string | null, what: string, detail = '') {
    super(what);
    this.name = 'Refusal';
    this.field = field;
    this.detail = detail;
  }
}

/** A row in the words of its refusal; `unit` is what the format counts. */
export function refusedRow(
  { field, message, detail }: Refusal,
  line: number,
  raw: string,
  unit: 'line' | 'row' = 'line',
): { line: number; refused: RefusedRow } {
  return { line, refused: { line, field, reason: `${message} on ${unit} ${line}${detail}.`, raw } };
}

/** The first of a row's bytes as text that any store can hold: NUL and what is not UTF-8 become U+FFFD. */
export function rawText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, rawBytes))
    .toString('utf8')
    .replaceAll('\0', '\ufffd');
}

/** A value as a sentence shows it: JSON, not longer than a reader wants it. */
export function quote(value: unknown): string {
  const text = typeof value === 'string' ? value.slice(0, 81) : value;
  const json = JSON.stringify(text) ?? String(value);
  return (json.length > 82 ? `${json.slice(0, 80)}…` : json).replace(/\p{Surrogate}/gu, '\ufffd');
}

/** A name as part of a field's path. */
export function key(name: string): string {
  return /^[\w-]{1,60}$/.test(name) ? name : quote(name);
}

const shown = (filename: string) => quote(filename.slice(-80));

export function damagedFile(filename: string, why: string, cause?: unknown): ColophonError {
  return new ColophonError(`The file ${shown(filename)} is damaged: ${why}.`, {
    code: 'damaged_file',
    cause,
  });
}

export function unknownFormat(filename: string, why: string): ColophonError {
  return new ColophonError(`The file ${shown(filename)} cannot be read: ${why}.`, { code: 'unknown_format' });
}

export function emptyFile(filename: string): ColophonError {
  return new ColophonError(`The file ${shown(filename)} has no rows.`, { code: 'empty_file' });
}

export function expandsTooMuch(filename: string, why: string): ColophonError {
  return new ColophonError(`The file ${shown(filename)} becomes too large when it is uncompressed: ${why}.`, {
    code: 'file_expands_too_much',
    status: 413,
  });
}
