/** The keys that an installation signs with: its receipts, its ledger's checkpoints, the bundles of its adapters. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurably } from '../durable_files.ts';
import { KeyFolder } from './key_folder.ts';

/**
 * In the data folder's `metering`; made at the first use. `wanted`: what the ledger is to be called. Throws an Error with a sentence
 * where it is called otherwise, or a key is not to be used.
 */
export function installationKeys(metering: string, wanted?: string): KeyFolder {
  mkdirSync(metering, { recursive: true });
  return new KeyFolder(join(metering, 'keys'), ledgerName(metering, wanted));
}

/** A ledger keeps the name that it began with: it is in every checkpoint that anyone holds. */
function ledgerName(folder: string, wanted: string | undefined): string {
  const path = join(folder, 'ledger_name');
  let kept: string | undefined;
  try {
    kept = readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  if (kept !== undefined && wanted !== undefined && wanted !== kept)
    throw new Error(
      `The ledger in ${folder} is called "${kept}", plugins.metering.ledger_name says "${wanted}". A ledger keeps its name: put that back, or begin another in another data folder.`,
    );
  const name = kept ?? wanted ?? `colophon-${randomBytes(6).toString('hex')}`;
  if (kept === undefined) writeFileDurably(path, `${name}\n`);
  return name;
}
