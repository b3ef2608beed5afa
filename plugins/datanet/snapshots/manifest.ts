/**
 * A snapshot's manifest: a blob with one JSON line an entry, in the order of the leaves (ascending hash). All lines are filled
 * up with spaces to one length, so that the entry at a position is found without reading those before it.
 */
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { SnapshotEntry } from '../model.ts';
import type { BlobStore } from '../store/blob_store.ts';
import { hashBytes } from './merkle.ts';

/** Lines are written and read in pieces of about so many bytes. */
const pieceBytes = 256 * 1024;
/** No line is longer: names of contributions are ids. */
const maxLineBytes = 64 * 1024;

/** The manifest's bytes; `entry` is asked twice for each position, first for the length of lines. */
export async function* manifestBytes(
  count: number,
  entry: (at: number) => SnapshotEntry,
): AsyncGenerator<Buffer> {
  let width = 0;
  for (let at = 0; at < count; at++) width = Math.max(width, Buffer.byteLength(lineOf(entry(at))));
  if (width >= maxLineBytes) throw new RangeError(`A line of the manifest has ${width} bytes.`);
  const perPiece = Math.max(1, Math.floor(pieceBytes / (width + 1)));
  for (let from = 0; from < count; from += perPiece) {
    const piece = Buffer.alloc(Math.min(perPiece, count - from) * (width + 1), ' ');
    for (let at = from; at < Math.min(count, from + perPiece); at++) {
      const start = (at - from) * (width + 1);
      piece.write(lineOf(entry(at)), start);
      piece[start + width] = 0x0a;
    }
    yield piece;
  }
}

const lineOf = ({ hash, contribution, contributor, line, split, cluster }: SnapshotEntry) =>
  JSON.stringify({ hash, contribution, contributor, line, split, cluster });

/** A manifest in a blob store. */
export class Manifest {
  readonly #blobs: BlobStore;
  readonly #sha256: string;
  /** Of a line, its newline included. */
  readonly #width: number;
  readonly count: number;

  private constructor(blobs: BlobStore, sha256: string, width: number, count: number) {
    this.#blobs = blobs;
    this.#sha256 = sha256;
    this.#width = width;
    this.count = count;
  }

  /** Throws `damaged_manifest` where the blob is none. */
  static async open(blobs: BlobStore, sha256: string): Promise<Manifest> {
    const size = (await blobs.size(sha256)) ?? 0;
    const head = await collect(blobs.read(sha256, { offset: 0, bytes: Math.min(size, maxLineBytes) }));
    const width = head.indexOf(0x0a) + 1;
    if (width === 0 || size % width !== 0) throw damaged(sha256);
    return new Manifest(blobs, sha256, width, size / width);
  }

  /** Entries from a position on, in batches. */
  async *entries(from = 0, to = this.count): AsyncGenerator<SnapshotEntry[]> {
    const perPiece = Math.max(1, Math.floor(pieceBytes / this.#width));
    for (let at = from; at < Math.min(to, this.count); at += perPiece) {
      const lines = Math.min(perPiece, Math.min(to, this.count) - at);
      const bytes = await collect(
        this.#blobs.read(this.#sha256, { offset: at * this.#width, bytes: lines * this.#width }),
      );
      yield parseLines(bytes, this.#width, this.#sha256);
    }
  }

  /** Position of a hash, by bisection; undefined: it is not there. */
  async find(hash: string): Promise<{ at: number; entry: SnapshotEntry } | undefined> {
    let [low, high] = [0, this.count];
    while (low < high) {
      const at = Math.floor((low + high) / 2);
      const [entry] = (await this.entries(at, at + 1).next()).value as SnapshotEntry[];
      if (entry!.hash === hash) return { at, entry: entry! };
      if (entry!.hash < hash) low = at + 1;
      else high = at;
    }
    return undefined;
  }

  /** Hashes of all leaves (count × 32), for roots and proofs. */
  async leaves(): Promise<Buffer> {
    const leaves = Buffer.alloc(this.count * hashBytes);
    let at = 0;
    for await (const batch of this.entries()) {
      for (const { hash } of batch) leaves.write(hash, at++ * hashBytes, 'hex');
    }
    return leaves;
  }
}

function parseLines(bytes: Buffer, width: number, sha256: string): SnapshotEntry[] {
  const entries: SnapshotEntry[] = [];
  for (let start = 0; start < bytes.length; start += width) {
    try {
      entries.push(JSON.parse(bytes.toString('utf8', start, start + width)) as SnapshotEntry);
    } catch {
      throw damaged(sha256);
    }
  }
  return entries;
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

const damaged = (sha256: string) =>
  new ColophonError(`The blob ${sha256} is no manifest of a snapshot. Restore it from a copy.`, {
    type: 'server_error',
    code: 'damaged_manifest',
  });
