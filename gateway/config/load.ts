/** Puts the configuration together: flags over environment over file over defaults. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Static, TSchema } from 'typebox';
import { describe, type Fault, findFault, type Node } from '../schema/fault.ts';
import { suggest } from '../schema/suggest.ts';
import { coerce, Text } from './coerce.ts';
import { ConfigError } from './error.ts';
import { type Environment, installationPaths, type Paths } from './paths.ts';
import { type ConfigValues, configSchema } from './schema.ts';
import { type ConfigFlags, type Setting, settings } from './settings.ts';
import { readYamlFile, type YamlFile } from './yaml_file.ts';

export interface ConfigSources {
  flags?: ConfigFlags;
  env?: Environment;
  /** A configuration file that must exist; else COLOPHON_CONFIG, the user's own, or the one of this checkout. */
  file?: string;
}

export interface Config extends ConfigValues {
  paths: Paths;
  /** The file that was read. */
  file: string | undefined;
  /** Where a value comes from: "--port", "COLOPHON_PORT", "colophon.yaml:3:9" or "default". */
  origin(path: string[]): string;
  /** A plugin's section, checked with the plugin's schema. Throws ConfigError. */
  plugin<Schema extends TSchema>(name: string, schema: Schema): Static<Schema>;
}

interface Origin {
  /** How messages begin. */
  label: string;
  setting?: Setting;
}

/** Reads and checks everything but plugins' own sections. Throws ConfigError with a sentence. */
export function loadConfig(sources: ConfigSources = {}): Config {
  const env = sources.env ?? process.env;
  const path = findFile(sources, env);
  const file = path === undefined ? undefined : readYamlFile(path);
  const tree = structuredClone(file?.values ?? {});
  const origins = new Map<string, Origin>();
  for (const setting of settings) {
    const given = env[setting.environment];
    if (given) place(tree, origins, setting, { label: setting.environment, setting }, given);
    const flag = sources.flags?.[setting.key];
    if (flag !== undefined) {
      place(tree, origins, setting, { label: (setting as Setting).flag ?? setting.key, setting }, flag);
    }
  }
  // The file's own mistakes, also where the environment or a flag stands in front of them.
  const ofFile = file && findFault(configSchema, coerce(configSchema as Node, file.values));
  if (ofFile) throw fileError(file, ofFile.path, ofFile);
  const locate = (fault: Fault, prefix: string[]): ConfigError => {
    const full = [...prefix, ...fault.path];
    const origin = nearestOrigin(origins, full);
    if (origin) return new ConfigError(`${origin.label} ${sentence(fault)}`);
    return fileError(file, full, fault);
  };
  const values = coerce(configSchema as Node, tree) as ConfigValues;
  const fault = findFault(configSchema, values);
  if (fault) throw locate(fault, []);
  return {
    ...values,
    paths: installationPaths(values.home, env),
    file: path,
    origin: (at) => originOf(origins, file, at),
    plugin: (name, schema) => {
      const written = sectionOf(file?.values, name);
      const inFile = findFault(closed(schema), coerce(schema as Node, written));
      if (inFile && inFile.kind !== 'missing')
        throw fileError(file, ['plugins', name, ...inFile.path], inFile);
      // From the tree, not from values: there the texts were read without the plugin's schema.
      const section = coerce(schema as Node, sectionOf(tree, name));
      const wrong = findFault(closed(schema), section);
      if (wrong) throw locate(wrong, ['plugins', name]);
      return section as Static<typeof schema>;
    },
  };
}

/** What a plugin's section says to the plugin itself. */
function sectionOf(tree: Record<string, unknown> | undefined, name: string): Record<string, unknown> {
  const sections = (tree?.plugins ?? {}) as Record<string, Record<string, unknown> | null>;
  const { from: _from, enabled: _enabled, ...own } = sections[name] ?? {};
  return own;
}

/** Unknown settings of a plugin are refused as ours are, unless its schema says otherwise. */
function closed(schema: TSchema): TSchema {
  return (schema as Node).type === 'object' ? { additionalProperties: false, ...schema } : schema;
}

function findFile(sources: ConfigSources, env: Environment): string | undefined {
  if (sources.file) return resolve(sources.file);
  if (env.COLOPHON_CONFIG) return resolve(env.COLOPHON_CONFIG);
  const own = join(installationPaths(env.COLOPHON_HOME, env).config, 'colophon.yaml');
  if (existsSync(own)) return own;
  const shipped = join(packageFolder(), 'config', 'colophon.yaml');
  return existsSync(shipped) ? shipped : undefined;
}

/** The folder with our package.json, from gateway/config or dist/gateway/config. */
function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

function place(
  tree: Record<string, unknown>,
  origins: Map<string, Origin>,
  setting: Setting,
  origin: Origin,
  value: string | number | readonly string[],
): void {
  let parent = tree;
  for (const key of setting.path.slice(0, -1)) {
    const child = parent[key];
    if (typeof child !== 'object' || child === null || Array.isArray(child)) parent[key] = {};
    parent = parent[key] as Record<string, unknown>;
  }
  parent[setting.path.at(-1)!] = typeof value === 'string' ? new Text(value) : value;
  origins.set(setting.path.join('.'), origin);
}

function nearestOrigin(origins: Map<string, Origin>, path: Array<string | number>): Origin | undefined {
  for (let depth = path.length; depth > 0; depth--) {
    const origin = origins.get(path.slice(0, depth).join('.'));
    if (origin) return origin;
  }
  return undefined;
}

function originOf(origins: Map<string, Origin>, file: YamlFile | undefined, path: string[]): string {
  const origin = nearestOrigin(origins, path);
  if (origin) return origin.label;
  let node: unknown = file?.values;
  for (const key of path) node = (node as Record<string, unknown> | undefined | null)?.[key];
  if (!file || node === undefined) return 'default';
  const { line, column } = file.position(path, 'value');
  return `${file.path}:${line}:${column}`;
}

function fileError(file: YamlFile | undefined, path: Array<string | number>, fault: Fault): ConfigError {
  const name = pathText(path);
  const section = pathText(path.slice(0, -1));
  const text =
    fault.kind === 'unknown'
      ? unknownSetting(String(path.at(-1)), section, fault.known ?? [])
      : fault.kind === 'missing'
        ? `${name} is missing; it must be ${describe(fault.schema)}.`
        : `${name} ${sentence(fault)}`;
  if (!file) return new ConfigError(text);
  const position = file.position(path, fault.kind === 'unknown' ? 'key' : 'value');
  return new ConfigError(`${file.path}:${position.line}:${position.column}: ${text}`, {
    file: file.path,
    ...position,
  });
}

function unknownSetting(key: string, section: string, known: string[]): string {
  const near = suggest(key, known);
  const where = section ? `a setting of ${section}` : 'a setting';
  const hint = near ? ` Did you mean "${near}"?` : '';
  return `"${key}" is not ${where}.${hint} Known: ${known.join(', ')}.`;
}

function sentence(fault: Fault): string {
  const shown =
    fault.schema.secret || fault.value === undefined ? '' : `, but is ${JSON.stringify(fault.value)}`;
  if (fault.kind === 'too-short') return 'must not be empty.';
  const range = fault.schema.bytes ? byteRange(fault) : '';
  return `must be ${describe(fault.schema)}${range}${shown}.`;
}

function byteRange(fault: Fault): string {
  if (fault.kind === 'below') return ` of at least ${fault.schema.minimum} bytes`;
  return fault.kind === 'above' ? ` of at most ${fault.schema.maximum} bytes` : '';
}

function pathText(path: Array<string | number>): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text ? `${text}.${part}` : part;
  }, '');
}
