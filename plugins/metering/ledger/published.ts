/** A ledger's folder as it is published, or a copy of it: `checkpoint` and the tiles below `tile/`. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { hashBytes } from '../../datanet/snapshots/merkle.ts';
import { parseBundle, type TileName, tilePath, tileWidth } from './tiles.ts';
import type { TileSource } from './tree.ts';

export const checkpointFile = 'checkpoint';

/** Nothing of a ledger's folder is longer: a bundle of the longest entries. */
const longestFile = tileWidth * (2 + 0xffff);

export class PublishedLedger implements TileSource {
  readonly fanout = tileWidth;
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Undefined where nothing is published yet. */
  checkpoint(): string | undefined {
    return read(join(this.folder, checkpointFile))?.toString();
  }

  /** A file as it is; undefined where there is none. */
  file(name: TileName): Buffer | undefined {
    return read(join(this.folder, tilePath(name)));
  }

  tile(level: number, number: number, width: number): Buffer {
    return this.#found({ level, number, width }, (bytes) =>
      bytes.length % hashBytes === 0 && bytes.length >= width * hashBytes
        ? bytes.subarray(0, width * hashBytes)
        : undefined,
    );
  }

  /** The first `width` entries of a bundle. */
  bundle(number: number, width: number): Buffer[] {
    return this.#found({ level: 'entries', number, width }, (bytes) => {
      const entries = parseBundle(bytes);
      return entries && entries.length >= width ? entries.slice(0, width) : undefined;
    });
  }

  /** Of that width, else of any greater one: a partial tile goes once a wider one is there. */
  #found<Read>(name: TileName, parse: (bytes: Buffer) => Read | undefined): Read {
    for (const width of [name.width, ...this.#wider(name)]) {
      const bytes = this.file({ ...name, width });
      const found = bytes && parse(bytes);
      if (found) return found;
      if (bytes)
        throw new Error(
          `${tilePath({ ...name, width })} is damaged: its ${bytes.length} bytes are not ${name.level === 'entries' ? 'entries' : 'hashes'}, ${name.width} or more.`,
        );
    }
    throw new Error(`${tilePath(name)} is missing.`);
  }

  #wider(name: TileName): number[] {
    if (name.width === tileWidth) return [];
    let partial: string[] = [];
    try {
      partial = readdirSync(dirname(join(this.folder, tilePath(name))));
    } catch {}
    const widths = partial.map(Number).filter((width) => width > name.width && width < tileWidth);
    return [tileWidth, ...widths.sort((a, b) => a - b)];
  }
}

function read(path: string): Buffer | undefined {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > longestFile)
      throw new Error(`${path} has ${bytes.length} bytes, more than it can have.`);
    return bytes;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
