import { join } from 'node:path';
import type { Output } from '../../../gateway/cli/output.ts';
import { configOf, type ServeFlags } from '../../../gateway/cli/server_flags.ts';
import { verifyLedger } from '../ledger/verify_ledger.ts';
import { knownKeys, readGiven, showFindings } from './findings.ts';

export interface VerifyLedgerFlags extends ServeFlags {
  keys?: string;
  checkpoint?: string[];
}

/** Makes every hash of a copy again. Exit code 1 where anything is wrong. */
export async function verifyLedgerCopy(
  folder: string | undefined,
  flags: VerifyLedgerFlags,
  output: Output,
): Promise<number> {
  const config = () => configOf(flags);
  const path = folder ?? join(config().paths.data, 'metering', 'ledger');
  const checkpoints = new Map((flags.checkpoint ?? []).map((file) => [file, readGiven(file).toString()]));
  return showFindings(
    'The ledger',
    verifyLedger(path, { keys: knownKeys(flags.keys, config), checkpoints }),
    output,
  );
}
