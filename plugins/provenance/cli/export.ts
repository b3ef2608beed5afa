/** `colophon provenance export`: the bundle of an adapter, made of what lies on this machine. */
import { join, resolve } from 'node:path';
import { adapterFolder } from '../../../gateway/cli/adapter_folder.ts';
import { exitCodes } from '../../../gateway/cli/failure.ts';
import type { Output } from '../../../gateway/cli/output.ts';
import { configOf, type ServeFlags } from '../../../gateway/cli/server_flags.ts';
import type { Config } from '../../../gateway/config/index.ts';
import { openDatanets } from '../../datanet/offline.ts';
import { manifestFile, writeBundle } from '../bundle.ts';
import { adapterFacts } from '../facts/adapter.ts';
import { type SnapshotFacts, snapshotFacts } from '../facts/snapshot.ts';
import { provenanceConfig } from '../index.ts';
import { bundleKeys } from './keys.ts';

export async function exportProvenance(
  name: string,
  flags: ServeFlags & { output: string },
  output: Output,
): Promise<number> {
  const config = configOf(flags);
  const { provider } = config.plugin('provenance', provenanceConfig);
  const adapter = await adapterFacts(await adapterFolder(name, config), name);
  const keys = bundleKeys(config);
  const target = resolve(flags.output);
  const training = adapter.data.find(({ role }) => role === 'training');
  const manifest = await withSnapshot(config, training, (snapshot) =>
    writeBundle(target, { adapter, snapshot, provider }, keys),
  );
  for (const sentence of manifest.withdrawn) output.say(sentence);
  for (const { path, reason } of manifest.absent) output.say(`There is no ${path}: ${reason}`);
  output.result({ folder: target, ...manifest }, join(target, manifestFile));
  output.next(`colophon verify bundle ${flags.output}`);
  return exitCodes.ok;
}

/** The store is open while the bundle is written: who gave each example is read from it then. */
async function withSnapshot<T>(
  config: Config,
  data: { datanet: string | null; snapshot: string | null } | undefined,
  work: (snapshot: SnapshotFacts | null) => Promise<T>,
): Promise<T> {
  if (!data?.datanet || !data.snapshot) return work(null);
  const datanets = await openDatanets(config);
  try {
    return await work((await snapshotFacts(datanets, data.datanet, data.snapshot)) ?? null);
  } finally {
    await datanets.close();
  }
}
