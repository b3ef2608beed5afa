/** Tiles of a log (c2sp.org/tlog-tiles): 256 hashes of one height, and bundles of 256 entries. */
import { hashBytes } from '../../datanet/snapshots/merkle.ts';

export const tileWidth = 256;

/** The height of what a tile has: level 0 the hashes of entries, each above of 256 times as many; or the entries. */
export type TileLevel = number | 'entries';

export interface TileName {
  level: TileLevel;
  number: number;
  /** 1 to 256, which is full. */
  width: number;
}

/** `tile/<L>/<N>[.p/<W>]`, N as x001/x234/067. */
export function tilePath({ level, number, width }: TileName): string {
  const digits = String(number).padStart(Math.ceil(String(number).length / 3) * 3, '0');
  const parts = digits.match(/\d{3}/g)!;
  const path = parts.map((part, at) => (at < parts.length - 1 ? `x${part}` : part)).join('/');
  return `tile/${level}/${path}${width === tileWidth ? '' : `.p/${width}`}`;
}

/** Undefined of whatever tilePath would not write. */
export function parseTilePath(path: string): TileName | undefined {
  const match = /^tile\/(entries|\d{1,2})\/((?:x\d{3}\/){0,5}\d{3})(?:\.p\/(\d{1,3}))?$/.exec(path);
  if (!match) return undefined;
  const [, level, digits, width] = match;
  const name = {
    level: level === 'entries' ? level : Number(level),
    number: Number(digits!.replace(/[x/]/g, '')),
    width: width === undefined ? tileWidth : Number(width),
  } as const;
  if (typeof name.level === 'number' && name.level > 63) return undefined;
  if (!Number.isSafeInteger(name.number) || name.width < 1) return undefined;
  return tilePath(name) === path ? name : undefined;
}

/** How many hashes of a level a tree of `size` entries has. */
export const hashesAt = (level: number, size: number): number => Math.floor(size / tileWidth ** level);

/** How wide a tile is in a tree of `size` entries; 0: it is not there. */
export function widthIn(size: number, level: TileLevel, number: number): number {
  const hashes = hashesAt(level === 'entries' ? 0 : level, size);
  return Math.max(0, Math.min(tileWidth, hashes - number * tileWidth));
}

/** The tiles that a tree of `size` entries has and one of `before` has not, as wide, from the leaves upwards. */
export function* newTiles(before: number, size: number): Generator<TileName> {
  for (let level = 0; hashesAt(level, size) > 0; level++) {
    const from = hashesAt(level, before);
    if (hashesAt(level, size) === from) continue;
    for (let number = Math.floor(from / tileWidth); ; number++) {
      const width = widthIn(size, level, number);
      if (width === 0) break;
      if (level === 0) yield { level: 'entries', number, width };
      yield { level, number, width };
    }
  }
}

/** Hashes of a tile, one after the other. */
export const hashOf = (tile: Uint8Array, at: number): Buffer =>
  Buffer.from(tile.buffer, tile.byteOffset + at * hashBytes, hashBytes);

/** Most bytes of an entry: its length is written in 16 bits. */
export const longestEntry = 0xffff;

/** Each entry after its length (16 bits, big-endian). */
export function writeBundle(entries: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    entries.flatMap((entry) => {
      if (entry.length > longestEntry)
        throw new RangeError(`An entry has ${entry.length} bytes; at most ${longestEntry} can be logged.`);
      return [Buffer.of(entry.length >> 8, entry.length & 0xff), entry];
    }),
  );
}

/** Undefined where the bytes do not end with an entry. */
export function parseBundle(bytes: Buffer): Buffer[] | undefined {
  const entries: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 2 > bytes.length) return undefined;
    const end = at + 2 + bytes.readUInt16BE(at);
    if (end > bytes.length) return undefined;
    entries.push(bytes.subarray(at + 2, end));
    at = end;
  }
  return entries;
}
