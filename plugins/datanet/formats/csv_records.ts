/**
 * Records of CSV (RFC 4180) from a stream: quotes, doubled quotes, line breaks inside quotes. Ours and no library's, since those
 * hold a field whose quote is never closed, or lose what follows a record that is too long.
 */
import { type Frame, FrameBuffer } from './frames.ts';

const LF = 10;
const CR = 13;
const QUOTE = 34;

/** Fields of a record: what is a longer one is a row of nothing but delimiters. */
const mostFields = 10_000;

/** Where a byte is: before a field, in one without quotes, in quotes, behind the quote that may be their end. */
type Place = 'start' | 'plain' | 'quoted' | 'quote';

export interface CsvRecord extends Frame {
  /** What is wrong with its quotes or delimiters. */
  broken?: string;
  /** Its fields, of UTF-8 bytes; empty where it is broken or too long. */
  fields: Buffer[];
}

/**
 * Records in batches, without those that have no character. A quote where none may be ends the record, refused, at the end of
 * that line: the next line is a record again.
 */
export async function* readCsvRecords(
  chunks: AsyncIterable<Uint8Array>,
  delimiter: number,
  limit: number,
  start = 0,
): AsyncGenerator<CsvRecord[]> {
  const row = new FrameBuffer(limit);
  let line = 1;
  let offset = start;
  let place: Place = 'start';
  let broken: string | undefined;
  /** Offsets in the record behind each of its fields. */
  let ends: number[] = [];
  row.begin(line, offset);

  const take = (): CsvRecord[] => {
    const frame = row.take();
    const record = { ...frame, ...(broken === undefined ? {} : { broken }) };
    const fields = broken === undefined && frame.size === frame.bytes.length ? cut(frame.bytes, ends) : [];
    broken = undefined;
    ends = [];
    place = 'start';
    const blank = frame.size === 0 || (frame.size === 1 && frame.bytes[0] === CR);
    return blank ? [] : [{ ...record, fields }];
  };

  for await (const chunk of chunks) {
    const batch: CsvRecord[] = [];
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (byte === LF) {
        line++;
        if (place === 'quoted' && broken === undefined) {
          // A quote that was never closed would have swallowed the rest of the file.
          if (row.size + at - from <= limit) continue;
          broken = `a quote is opened and not closed up to line ${line - 1}, which would make the row too long`;
        }
        row.add(chunk.subarray(from, at));
        ends.push(row.size);
        batch.push(...take());
        from = at + 1;
        row.begin(line, offset + from);
        continue;
      }
      if (broken !== undefined) continue;
      if (place === 'quoted') {
        if (byte === QUOTE) place = 'quote';
      } else if (byte === delimiter) {
        place = 'start';
        if (ends.length < mostFields) ends.push(row.size + at - from);
        else broken = `a row has more than ${mostFields} fields`;
      } else if (place === 'start') {
        place = byte === QUOTE ? 'quoted' : 'plain';
      } else if (place === 'quote') {
        if (byte === QUOTE) place = 'quoted';
        else if (byte !== CR) broken = 'a character follows a closing quote';
      } else if (byte === QUOTE) {
        broken = 'a quote is inside a field that does not begin with one';
      }
    }
    row.add(chunk.subarray(from));
    offset += chunk.length;
    if (batch.length > 0) yield batch;
  }
  if (place === 'quoted') broken ??= 'a quote is opened and not closed before the file ends';
  ends.push(row.size);
  const last = take();
  if (last.length > 0) yield last;
}

/** Fields between their ends; the last one is without the CR of its line. */
function cut(bytes: Buffer, ends: number[]): Buffer[] {
  let from = 0;
  return ends.map((end, i) => {
    const last = i === ends.length - 1 && bytes[end - 1] === CR ? end - 1 : end;
    const field = bytes.subarray(from, last);
    from = end + 1;
    return field[0] === QUOTE ? unquoted(field) : field;
  });
}

function unquoted(field: Buffer): Buffer {
  const inner = field.subarray(1, -1);
  return inner.includes(QUOTE)
    ? Buffer.from(inner.toString('latin1').replaceAll('""', '"'), 'latin1')
    : inner;
}
