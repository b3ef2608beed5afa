/** What verifying commands read and show. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import type { Output } from '../../../gateway/cli/output.ts';
import type { Config } from '../../../gateway/config/index.ts';
import { installationKeys } from '../keys/installation_keys.ts';
import { PublicKeys } from '../keys/public_keys.ts';
import type { Finding } from '../ledger/finding.ts';

export function readGiven(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CliError(`${path} cannot be read: ${(error as Error).message}`, exitCodes.usage, error);
  }
}

/** Those of a file, or of this installation. */
export function knownKeys(file: string | undefined, config: () => Config): PublicKeys {
  try {
    if (file !== undefined) return PublicKeys.parse(readGiven(file).toString());
    const folder = join(config().paths.data, 'metering');
    // Checking makes no keys: those of nobody would say nothing.
    if (existsSync(join(folder, 'keys'))) return installationKeys(folder).known;
    throw new Error(`There are no keys in ${folder}. Say with --keys FILE by which the signer is known.`);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError((error as Error).message, exitCodes.config, error);
  }
}

/** One a line; the exit code. */
export function showFindings(what: string, findings: Finding[], output: Output): number {
  const ok = findings.every((finding) => finding.ok);
  const lines = findings.map(({ check, ok, sentence }) => {
    const mark = ok ? output.paint('green', 'ok  ') : output.paint('red', 'FAIL');
    return `${mark} ${check}: ${sentence}`;
  });
  output.result({ ok, findings }, [...lines, ok ? `${what} holds.` : `${what} does not hold.`].join('\n'));
  return ok ? exitCodes.ok : exitCodes.failure;
}
