/** Finds the plugins that the configuration asks for. */
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Config, ConfigError } from '../config/index.ts';
import { CONTRACT_VERSION, type Plugin } from '../contract/index.ts';
import { suggest } from '../schema/suggest.ts';
import { firstParty } from './first_party.ts';

/** First-party plugins first, then the configured ones in the file's order. */
export async function loadPlugins(config: Config): Promise<Plugin[]> {
  const plugins: Plugin[] = [];
  for (const [name, path] of Object.entries(firstParty)) {
    if (config.plugins[name]?.enabled === false) continue;
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
    plugins.push(await importPlugin(name, new URL(path + extension, import.meta.url).href));
  }
  for (const [name, section] of Object.entries(config.plugins)) {
    if (name in firstParty || section.enabled === false) continue;
    if (!section.from) throw unknownPlugin(config, name);
    plugins.push(await importPlugin(name, specifier(section.from, config.file)));
  }
  return plugins;
}

/** Refuses what is no plugin, or one for another contract. */
export function checkPlugin(name: string, value: unknown): Plugin {
  const plugin = value as Partial<Plugin> | undefined;
  if (typeof plugin !== 'object' || plugin === null || typeof plugin.setup !== 'function' || !plugin.config) {
    throw new ConfigError(`The plugin "${name}" has no default export made by definePlugin.`);
  }
  if (plugin.name !== name) {
    throw new ConfigError(
      `The plugin configured as "${name}" calls itself "${plugin.name}"; use that name under "plugins".`,
    );
  }
  if (plugin.contract !== CONTRACT_VERSION) {
    throw new ConfigError(
      `The plugin "${name}" was built for contract ${plugin.contract}, this is contract ${CONTRACT_VERSION}. Install a version of it that fits.`,
    );
  }
  return plugin as Plugin;
}

function specifier(from: string, file: string | undefined): string {
  if (!from.startsWith('.') && !from.startsWith('/')) return from;
  return pathToFileURL(resolve(file ? dirname(file) : process.cwd(), from)).href;
}

async function importPlugin(name: string, from: string): Promise<Plugin> {
  let module: { default?: unknown };
  try {
    module = (await import(from)) as { default?: unknown };
  } catch (cause) {
    throw new ConfigError(`The plugin "${name}" cannot be loaded from ${from}: ${(cause as Error).message}`, {
      cause,
    });
  }
  return checkPlugin(name, module.default);
}

function unknownPlugin(config: Config, name: string): ConfigError {
  const near = suggest(name, Object.keys(firstParty));
  const hint = near ? ` Did you mean "${near}"?` : ' Say where it is with "from": a package name or a path.';
  return new ConfigError(`${config.origin(['plugins', name])}: the plugin "${name}" is not known.${hint}`);
}
