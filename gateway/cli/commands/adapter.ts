import { cp, mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { EngineInfo } from '../../../native/binding/index.ts';
import type { ReadAdapter } from '../../../plugins/backends/native/peft.ts';
import type { Config } from '../../config/index.ts';
import { attributionFiles, fidelityFile } from '../../contract/index.ts';
import { configuredBase } from '../../models/configure.ts';
import { resolveModel } from '../../models/index.ts';
import { adapterFolders, checkAdapter, nativeSettings, ownAdapterFolder } from '../engine.ts';
import { CliError, exitCodes, unknownName } from '../failure.ts';
import { type Output, size } from '../output.ts';
import { terminalProgress } from '../progress.ts';
import { configOf, type ServeFlags } from '../server_flags.ts';

/** What a PEFT adapter consists of here, and who taught it; anything else in its folder (checkpoints, logs) stays where it is. */
const adapterFiles = [
  'adapter_config.json',
  'adapter_model.safetensors',
  ...attributionFiles,
  fidelityFile,
  'README.md',
  'LICENSE',
];

/** Checks an adapter against the base and copies it into the folder that the server looks in. */
export async function importAdapter(
  path: string,
  flags: ServeFlags & { name?: string; replace?: boolean },
  output: Output,
): Promise<number> {
  const config = configOf(flags);
  const folder = resolve(path);
  const name = flags.name ?? basename(folder);
  const { nameFault } = await import('../../../plugins/backends/native/adapter_folders.ts');
  const fault = nameFault(name);
  if (fault) throw new CliError(`${fault} Give it another with --name.`, exitCodes.usage);
  const target = join(ownAdapterFolder(config), name);
  const taken = await exists(target);
  const checked = await check(folder, name, config, output);
  if (name === checked.base)
    throw new CliError(
      `"${name}" is the base model's name. Give the adapter another with --name.`,
      exitCodes.usage,
    );
  if (taken && !flags.replace) {
    throw new CliError(
      `There is an adapter named "${name}" already. Replace it with --replace, or choose another name with --name.`,
    );
  }
  // Copied aside first and renamed: the server never finds half an adapter.
  const aside = `${target}.${process.pid}.part`;
  try {
    await mkdir(aside, { recursive: true });
    for (const file of adapterFiles) {
      if (await exists(join(folder, file))) await cp(join(folder, file), join(aside, file));
    }
    if (taken) await rm(target, { recursive: true });
    await rename(aside, target);
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  const [facts, text] = describeAdapter(name, target, checked.base, checked.adapter);
  output.result(facts, text);
  output.say(
    `${taken ? 'Replaced' : 'Imported'} "${name}". A running server finds it by its name, without a restart.`,
  );
  output.next(`colophon run ${name}`);
  return exitCodes.ok;
}

/** Checks an adapter without importing it: a folder, or the name of one that was imported. */
export async function inspectAdapter(path: string, flags: ServeFlags, output: Output): Promise<number> {
  const config = configOf(flags);
  let folder = resolve(path);
  let name = basename(folder);
  if (!(await exists(folder))) {
    const settings = await nativeSettings(config);
    const found = await (await adapterFolders(config, settings)).find(path);
    if (!found) throw await unknownAdapter(path, config);
    folder = found.path;
    name = found.name;
  }
  const { adapter, base } = await check(folder, name, config, output);
  output.result(...describeAdapter(name, folder, base, adapter));
  const imported = folder === join(ownAdapterFolder(config), name);
  output.next(imported ? `colophon run ${name}` : `colophon adapter import ${path}`);
  return exitCodes.ok;
}

/** Deletes an adapter that was imported. */
export async function removeAdapter(
  name: string,
  flags: ServeFlags & { yes?: boolean },
  output: Output,
): Promise<number> {
  const config = configOf(flags);
  const { nameFault } = await import('../../../plugins/backends/native/adapter_folders.ts');
  const own = join(ownAdapterFolder(config), name);
  if (nameFault(name) || !(await exists(join(own, adapterFiles[0]!)))) {
    const settings = await nativeSettings(config);
    const elsewhere = nameFault(name) ? undefined : await (await adapterFolders(config, settings)).find(name);
    if (elsewhere) {
      throw new CliError(
        `"${name}" is in ${elsewhere.path}, a folder of yours: Colophon does not delete there. Remove it with: rm -r '${elsewhere.path}'`,
      );
    }
    throw await unknownAdapter(name, config);
  }
  if (!flags.yes) {
    if (!process.stdin.isTTY)
      throw new CliError(
        `Deleting "${name}" asks for a confirmation. Without a terminal add --yes.`,
        exitCodes.usage,
      );
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    const answer = await lines.question(`Delete the adapter "${name}" (${own})? [y/N] `);
    lines.close();
    if (!/^y(es)?$/i.test(answer.trim())) {
      output.say('Nothing was deleted.');
      return exitCodes.failure;
    }
  }
  await rm(own, { recursive: true });
  output.result({ removed: name, path: own }, `Removed ${name}.`);
  output.next('colophon ls');
  return exitCodes.ok;
}

async function check(folder: string, name: string, config: Config, output: Output) {
  if (!(await exists(folder))) throw new CliError(`There is no folder ${folder}.`, exitCodes.usage);
  const settings = await nativeSettings(config);
  const base = configuredBase(settings);
  const model = await resolveModel(base.source, {
    cache: config.paths.cache,
    progress: terminalProgress(output),
  });
  return { base: base.name, adapter: await checkAdapter(folder, name, model) };
}

async function unknownAdapter(name: string, config: Config): Promise<CliError> {
  const settings = await nativeSettings(config);
  return unknownName('adapter', name, [...(await (await adapterFolders(config, settings)).list()).keys()]);
}

/** The facts of an adapter, for --json and for people. */
export function describeAdapter(
  name: string,
  path: string,
  base: string,
  adapter: ReadAdapter & { base: EngineInfo },
): [object, string] {
  const { modules, contentHash } = adapter.spec;
  const distinct = <T>(values: T[]) => [...new Set(values)];
  const ranks = distinct(modules.map((module) => module.rank)).sort((a, b) => a - b);
  const linears = distinct(modules.map((module) => module.linear));
  const layers = distinct(modules.map((module) => module.layer)).length;
  const dora = modules.some((module) => module.dora);
  const facts = {
    name,
    kind: 'adapter',
    base,
    path,
    content_hash: contentHash,
    bytes: adapter.bytes,
    ranks,
    linears,
    layers,
    modules: modules.length,
    dora,
  };
  const text = [
    `name      ${name}`,
    'kind      adapter',
    `base      ${base}`,
    `folder    ${path} (${size(adapter.bytes)})`,
    `content   ${contentHash}`,
    `rank      ${ranks.join(', ')}${dora ? ', with DoRA' : ''}`,
    `changes   ${linears.join(', ')} in ${layers} of ${adapter.base.hyperparameters.layers} layers`,
  ].join('\n');
  return [facts, text];
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
