/** The elements of a JSON document that is one array of rows, as Alpaca and ShareGPT files are; no more than one is held. */
import { type Frame, FrameBuffer } from './frames.ts';
import { Refusal } from './refusal.ts';

const LF = 10;
const QUOTE = 34;
const COMMA = 44;
const OPEN = 91;
const BACKSLASH = 92;
const CLOSE = 93;

const isSpace = (byte: number) => byte === 32 || byte === LF || byte === 13 || byte === 9;

/**
 * Elements in batches, split by brackets and strings alone: whether one is JSON is for its reader to say. What is wrong with the
 * array itself (its end is missing, something follows it) is thrown as a Refusal at its line.
 */
export async function* readArray(
  chunks: AsyncIterable<Uint8Array>,
  limit: number,
  start = 0,
): AsyncGenerator<Frame[]> {
  const row = new FrameBuffer(limit);
  let line = 1;
  let offset = start;
  /** Of brackets that are open; 1: between elements, or in one that has none. */
  let depth = 0;
  let closed = false;
  let inString = false;
  let escaped = false;
  let begun = false;
  /** Whether an element must come: after a comma. */
  let wanted = false;

  for await (const chunk of chunks) {
    const batch: Frame[] = [];
    let from = 0;
    const end = (at: number) => {
      row.add(chunk.subarray(from, at));
      batch.push(trimmed(row.take()));
      begun = false;
    };
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (byte === LF) line++;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
        continue;
      }
      if (isSpace(byte)) continue;
      if (closed) throw broken(`something follows the end of the array on line ${line}`);
      if (depth === 0) {
        if (byte !== OPEN) throw broken('it does not begin with [');
        depth = 1;
        continue;
      }
      if (depth === 1 && (byte === COMMA || byte === CLOSE)) {
        if (begun) end(at);
        else if (byte === COMMA || wanted) throw broken(`an element of the array is missing on line ${line}`);
        wanted = byte === COMMA;
        closed = byte === CLOSE;
        continue;
      }
      if (!begun) {
        begun = true;
        wanted = false;
        from = at;
        row.begin(line, offset + at);
      }
      if (byte === QUOTE) inString = true;
      else if (byte === OPEN || byte === 123) depth++;
      else if (byte === CLOSE || byte === 125) depth--;
      if (depth === 0) throw broken(`a bracket is closed that is not open, on line ${line}`);
    }
    if (begun) {
      row.add(chunk.subarray(from));
    }
    offset += chunk.length;
    if (batch.length > 0) yield batch;
  }
  if (!closed) throw broken(`the array has no end; the file ends on line ${line}`);
}

function trimmed(frame: Frame): Frame {
  let size = frame.bytes.length;
  if (size !== frame.size) return frame;
  while (size > 0 && isSpace(frame.bytes[size - 1]!)) size--;
  return { ...frame, bytes: frame.bytes.subarray(0, size), size };
}

const broken = (why: string) => new Refusal(null, `The JSON is broken: ${why}`);
