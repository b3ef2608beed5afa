/** Where an adapter lies, asked of no server. */
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Config } from '../config/index.ts';
import { adapterFolders, nativeSettings } from './engine.ts';
import { CliError } from './failure.ts';

/** Of a folder, a model's name or a job's id, or the name of an adapter that was imported. Throws CliError where there is none. */
export async function adapterFolder(name: string, config: Config): Promise<string> {
  const { readRecipe } = await import('../../plugins/training/verify.ts');
  if (existsSync(join(resolve(name), 'adapter_config.json'))) return resolve(name);
  const jobs = join(config.paths.data, 'training');
  for (const id of existsSync(jobs) ? readdirSync(jobs) : []) {
    const folder = join(jobs, id, 'adapter');
    if (existsSync(join(folder, 'recipe.json')) && (id === name || readRecipe(folder).name === name))
      return folder;
  }
  const found = await (await adapterFolders(config, await nativeSettings(config))).find(name);
  if (found) return found.path;
  throw new CliError(
    `There is no adapter named "${name}", and no folder of one. See what there is with: colophon ls`,
  );
}
