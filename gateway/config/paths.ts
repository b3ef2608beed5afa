import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

export type Environment = Record<string, string | undefined>;

/** Folders of an installation. */
export interface Paths {
  home: string;
  cache: string;
  data: string;
  /** Where colophon.yaml is looked for. */
  config: string;
}

/** All below `home` where it is set; else by the XDG rules, which ignore relative paths. */
export function installationPaths(home: string | undefined, env: Environment): Paths {
  if (home) {
    const root = home.startsWith('~/') ? join(homedir(), home.slice(2)) : home;
    return { home: root, cache: join(root, 'cache'), data: join(root, 'data'), config: root };
  }
  const xdg = (name: string, fallback: string[]): string => {
    const value = env[name];
    return join(value && isAbsolute(value) ? value : join(homedir(), ...fallback), 'colophon');
  };
  const data = xdg('XDG_DATA_HOME', ['.local', 'share']);
  return {
    home: data,
    cache: xdg('XDG_CACHE_HOME', ['.cache']),
    data,
    config: xdg('XDG_CONFIG_HOME', ['.config']),
  };
}
