import { existsSync, readFileSync } from 'node:fs';
import { devNull, homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** What pip would use on this machine, from its environment variables and configuration files. */
export interface PipSettings {
  /** Simple-API roots, in order. */
  indexes: string[];
  /** Folders, pages or file: URLs with wheels; looked at first. */
  findLinks: string[];
  /** A PEM file that pip trusts besides or instead of the system's. */
  certificate?: string;
  proxy?: string;
  timeoutSeconds: number;
}

const publicIndex = 'https://pypi.org/simple';

/** Where pip keeps its configuration, weakest first; the environment goes over all of them. */
function configFiles(env: NodeJS.ProcessEnv): string[] {
  if (env.PIP_CONFIG_FILE === devNull) return [];
  const home = env.HOME ?? homedir();
  const absolute = (path: string | undefined) => (path && isAbsolute(path) ? path : undefined);
  const shared = (env.XDG_CONFIG_DIRS || '/etc/xdg').split(':').filter(isAbsolute).reverse();
  const files = [
    ...shared.map((folder) => join(folder, 'pip', 'pip.conf')),
    '/etc/pip.conf',
    join(home, '.pip', 'pip.conf'),
    process.platform === 'darwin' ? join(home, 'Library', 'Application Support', 'pip', 'pip.conf') : '',
    join(absolute(env.XDG_CONFIG_HOME) ?? join(home, '.config'), 'pip', 'pip.conf'),
    env.VIRTUAL_ENV ? join(env.VIRTUAL_ENV, 'pip.conf') : '',
    env.PIP_CONFIG_FILE ?? '',
  ];
  return files.filter((file) => file !== '' && existsSync(file));
}

/** `[section]`, `key = value`, values continued on indented lines: what Python's configparser reads. */
export function parsePipConfig(text: string): Map<string, Map<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let section: Map<string, string> | undefined;
  let key: string | undefined;
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*([#;]|$)/.test(line)) continue;
    const header = /^\[([^\]]+)\]/.exec(line);
    if (header) {
      const name = header[1]!.trim();
      section = sections.get(name) ?? new Map();
      sections.set(name, section);
      key = undefined;
    } else if (/^\s/.test(line) && section && key !== undefined) {
      section.set(key, `${section.get(key)} ${line.trim()}`.trim());
    } else {
      const pair = /^([^=:]+)[=:](.*)$/.exec(line);
      if (!pair || !section) continue;
      key = pair[1]!.trim().toLowerCase().replaceAll('_', '-');
      section.set(key, pair[2]!.trim());
    }
  }
  return sections;
}

/** Reads pip's settings as `pip download` would see them. */
export function pipSettings(env: NodeJS.ProcessEnv = process.env): PipSettings {
  const values = new Map<string, string>();
  const files = configFiles(env).map((file) => parsePipConfig(readFileSync(file, 'utf8')));
  for (const section of ['global', 'download']) {
    for (const file of files) {
      for (const [key, value] of file.get(section) ?? []) values.set(key, value);
    }
  }
  for (const [name, value] of Object.entries(env)) {
    if (name.startsWith('PIP_') && value) values.set(name.slice(4).toLowerCase().replaceAll('_', '-'), value);
  }
  const list = (key: string) => (values.get(key) ?? '').split(/\s+/).filter((word) => word !== '');
  const noIndex = /^(1|true|yes|on)$/i.test(values.get('no-index') ?? '');
  const timeout = Number(values.get('timeout') ?? values.get('default-timeout'));
  return {
    indexes: noIndex
      ? []
      : [
          ...(list('index-url').slice(0, 1).length ? list('index-url').slice(0, 1) : [publicIndex]),
          ...list('extra-index-url'),
        ],
    findLinks: list('find-links'),
    ...(values.get('cert') ? { certificate: values.get('cert')! } : {}),
    ...(values.get('proxy') ? { proxy: values.get('proxy')! } : {}),
    timeoutSeconds: timeout > 0 ? timeout : 60,
  };
}
