import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { configuredBase } from '../../models/configure.ts';
import { findCachedModel } from '../../models/index.ts';
import { adapterFolders, nativeSettings } from '../engine.ts';
import { exitCodes } from '../failure.ts';
import { type Output, size, table } from '../output.ts';
import { configOf, type ServeFlags } from '../server_flags.ts';

/** The models of this machine, from its folders: no server is asked. */
export async function ls(flags: ServeFlags, output: Output): Promise<number> {
  const config = configOf(flags);
  const settings = await nativeSettings(config);
  const base = configuredBase(settings);
  const [local, folders] = await Promise.all([
    findCachedModel(base.source, { cache: config.paths.cache }).catch(() => undefined),
    adapterFolders(config, settings),
  ]);
  const adapters = [...(await folders.list())].sort(([a], [b]) => (a < b ? -1 : 1));
  const sizes = await Promise.all(adapters.map(([, { path }]) => adapterBytes(path)));
  const models = [
    {
      name: base.name,
      kind: 'base',
      where: local?.path ?? base.source,
      here: local !== undefined,
      bytes: local?.bytes,
    },
    ...adapters.map(([name, { path }], index) => ({
      name,
      kind: 'adapter',
      where: path,
      here: true,
      bytes: sizes[index],
    })),
  ];
  const rows = models.map((model) => [
    model.name,
    model.kind,
    model.bytes === undefined ? (model.here ? '' : 'not downloaded') : size(model.bytes),
    model.where,
  ]);
  output.result(models, table(['NAME', 'KIND', 'SIZE', 'WHERE'], rows));
  if (!local) output.next('colophon pull');
  else if (adapters.length === 0) output.next('colophon adapter import FOLDER');
  else output.next(`colophon run ${adapters[0]![0]}`);
  return exitCodes.ok;
}

/** Size of the weights; undefined where the adapter lacks them. */
async function adapterBytes(folder: string): Promise<number | undefined> {
  return (await stat(join(folder, 'adapter_model.safetensors')).catch(() => undefined))?.size;
}
