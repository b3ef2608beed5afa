/** `colophon verify bundle`: asks no server, and no network. */
import { join, resolve } from 'node:path';
import { adapterFolder } from '../../../gateway/cli/adapter_folder.ts';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import type { Output } from '../../../gateway/cli/output.ts';
import { configOf, type ServeFlags } from '../../../gateway/cli/server_flags.ts';
import { knownKeys } from '../../metering/cli/findings.ts';
import { keysFile } from '../bundle.ts';
import { checkBundle, readManifest } from '../check_bundle.ts';

export async function verifyBundle(
  folder: string,
  flags: ServeFlags & { adapter?: string; keys?: string },
  output: Output,
): Promise<number> {
  const target = resolve(folder);
  const { adapter, withdrawn } = await readManifest(target);
  const config = configOf(flags);
  // Named by whoever asks it has to be there; by the bundle alone it may be elsewhere.
  const at = await adapterFolder(flags.adapter ?? adapter.name, config).catch((error) => {
    if (flags.adapter !== undefined || !(error instanceof CliError)) throw error;
    return undefined;
  });
  const faults = await checkBundle(target, {
    adapter: at,
    keys: () => knownKeys(flags.keys ?? join(target, keysFile), () => config),
  });
  const ok = faults.length === 0;
  output.result(
    { folder: target, ok, adapter, compared: at ?? null, trusted_keys: flags.keys !== undefined, faults },
    ok
      ? `${folder} is whole and signed${at ? `, and names the files of ${adapter.name} as they are` : ''}.`
      : [`${folder} is not what it says:`, ...faults.map((one) => `  ${one}`)].join('\n'),
  );
  if (ok && !at)
    output.say(
      `The adapter ${adapter.name} is not here: its files were not compared. Name its folder with --adapter.`,
    );
  if (ok && flags.keys === undefined)
    output.say(
      'It is as good as its own keys: compare keys.json with what was published, or give that with --keys.',
    );
  if (ok) for (const sentence of withdrawn) output.say(sentence);
  return ok ? exitCodes.ok : exitCodes.failure;
}
