/** Files that are small and would become large, and one that is large, written where tests ask for them. */
import { createWriteStream, writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip, gzipSync } from 'node:zlib';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';

const mebibyte = 2 ** 20;

/** A line of JSON of at least so many bytes, and the line `after`. */
export async function writeGiantLine(path: string, bytes: number, after: string): Promise<void> {
  const piece = Buffer.alloc(mebibyte, 'a');
  const content = function* () {
    yield '{"prompt":"';
    for (let written = 0; written < bytes; written += piece.length) yield piece;
    yield `","completion":"b"}\n${after}`;
  };
  await pipeline(Readable.from(content()), createWriteStream(path));
}

/** `content` again and again, up to so many bytes, by gzip. */
export async function writeGzipBomb(path: string, bytes: number, content: string): Promise<void> {
  const piece = Buffer.from(content.repeat(Math.ceil(mebibyte / content.length)));
  const pieces = function* () {
    for (let written = 0; written < bytes; written += piece.length) yield piece;
  };
  await pipeline(Readable.from(pieces()), createGzip({ level: 9 }), createWriteStream(path));
}

/** So many bytes 'a' by zstd (RFC 8878), in blocks of one byte and a count: Node 20 writes none. */
export function writeZstdBomb(path: string, bytes: number): void {
  const blockBytes = 128 * 1024;
  const blocks = Math.ceil(bytes / blockBytes);
  // A frame without its content's size, with a window of 128 KiB.
  const parts: Buffer[] = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38])];
  for (let i = 0; i < blocks; i++) {
    const isLast = i === blocks - 1 ? 1 : 0;
    const head = Buffer.alloc(4);
    head.writeUIntLE(isLast | (1 << 1) | (blockBytes << 3), 0, 3);
    head[3] = 0x61;
    parts.push(head);
  }
  writeFileSync(path, Buffer.concat(parts));
}

function writeParquet(
  path: string,
  texts: string[],
  options: object = {},
  lie?: (of: ParquetWriter) => void,
) {
  const writer = new ByteWriter();
  const schema = [
    { name: 'root', num_children: 1 },
    { name: 'text', type: 'BYTE_ARRAY' as const, converted_type: 'UTF8' as const },
  ];
  const parquet = new ParquetWriter({ writer, schema, ...options });
  parquet.write({ columnData: [{ name: 'text', data: texts }] });
  lie?.(parquet);
  parquet.finish();
  writeFileSync(path, writer.getBytes());
}

export const parquetBombs: Record<string, (path: string, bytes: number) => void> = {
  'a text of its dictionary in every row': (path, bytes) => {
    writeParquet(path, Array(Math.ceil(bytes / 50_000)).fill('a'.repeat(50_000)));
  },
  'a page that becomes more than its header says': (path, bytes) => {
    const bomb = gzipSync(Buffer.alloc(bytes));
    writeParquet(path, ['a', 'b'], { codec: 'GZIP', compressors: { GZIP: () => bomb } });
  },
  'a page that says how much it becomes': (path, bytes) => {
    const codec = { codec: 'GZIP', compressors: { GZIP: (input: Uint8Array) => gzipSync(input) } };
    // Nothing of it is shared, so that it is in the page as it is.
    writeParquet(path, ['a'.repeat(Math.min(bytes, 2 ** 28))], { ...codec, statistics: false });
  },
  'rows without end, of nothing': (path) => writeParquet(path, Array(300_000).fill('')),
  'a trillion rows that are not there': (path) => {
    writeParquet(path, ['a', 'b'], {}, (parquet) => {
      parquet.row_groups[0]!.num_rows = 10n ** 12n;
      parquet.num_rows = 10n ** 12n;
    });
  },
};
