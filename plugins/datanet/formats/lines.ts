/** The lines of a stream. They end with LF or CR LF, and nowhere else: U+2028 and a lone CR are characters of a line. */
import { type Frame, FrameBuffer } from './frames.ts';

const LF = 10;
const CR = 13;

/** Lines without their ends, in batches; the last one need not end. */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
  limit: number,
  start = 0,
): AsyncGenerator<Frame[]> {
  const row = new FrameBuffer(limit);
  let line = 1;
  let offset = start;
  row.begin(line, offset);
  for await (const chunk of chunks) {
    const batch: Frame[] = [];
    let from = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, from)) {
      row.add(chunk.subarray(from, end));
      batch.push(withoutCarriageReturn(row.take()));
      from = end + 1;
      row.begin(++line, offset + from);
    }
    row.add(chunk.subarray(from));
    offset += chunk.length;
    if (batch.length > 0) yield batch;
  }
  if (row.size > 0) yield [withoutCarriageReturn(row.take())];
}

function withoutCarriageReturn(frame: Frame): Frame {
  const { bytes, size } = frame;
  if (bytes.length !== size || bytes[size - 1] !== CR) return frame;
  return { ...frame, bytes: bytes.subarray(0, -1), size: size - 1 };
}
