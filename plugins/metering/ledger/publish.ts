/** Writes a log's tiles and then its checkpoint, so that whoever reads the checkpoint finds all that it covers. */
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { syncFolder, writeDurably, writeFileDurably } from '../durable_files.ts';
import type { Checkpoint } from './checkpoint.ts';
import { checkpointFile, PublishedLedger } from './published.ts';
import { LedgerRefused } from './refused.ts';
import { newTiles, type TileName, tilePath, tileWidth, writeBundle } from './tiles.ts';

export interface LogSource {
  /** Hashes of a tile of 256, as many. */
  tile(level: number, number: number, width: number): Buffer;
  /** Entries of a bundle, as many. */
  bundle(number: number, width: number): Buffer[];
}

/**
 * Goes on from `before` (size of what is published) to `checkpoint`, which begins as that did. Whatever a crash left is either right or
 * made again. A file that is there with other bytes is never replaced: throws LedgerRefused.
 */
export function publishTiles(
  folder: string,
  source: LogSource,
  before: number,
  checkpoint: Checkpoint,
): void {
  const published = new PublishedLedger(folder);
  /** Folders with new files, to be synced once. */
  const touched = new Set<string>();
  const touchAll = (path: string) => {
    for (let at = dirname(path); at.length >= folder.length; at = dirname(at)) touched.add(at);
  };
  const full: TileName[] = [];
  if (mkdirSync(folder, { recursive: true }) !== undefined) touched.add(dirname(folder));
  for (const name of newTiles(before, checkpoint.size)) {
    const { level, number, width } = name;
    if (width === tileWidth) full.push(name);
    const bytes =
      level === 'entries' ? writeBundle(source.bundle(number, width)) : source.tile(level, number, width);
    const there = published.file(name);
    const path = join(folder, tilePath(name));
    if (there?.equals(bytes)) {
      // By a process that ended before it could sync them.
      touchAll(path);
      continue;
    }
    if (there)
      throw new LedgerRefused(
        `${path} was published with other bytes than the ledger's database has. One of both was changed: nothing more is published.`,
      );
    if (mkdirSync(dirname(path), { recursive: true }) !== undefined) touchAll(path);
    writeDurably(path, bytes);
    touched.add(dirname(path));
  }
  for (const one of touched) syncFolder(one);
  writeFileDurably(join(folder, checkpointFile), checkpoint.text);
  // Partial tiles may go once the full one is there (tlog-tiles, "Partial Tiles").
  for (const name of full) rmSync(join(folder, `${tilePath(name)}.p`), { recursive: true, force: true });
}
