/**
 * Folders whose sub-folders are adapters, found by name without a load call. Nothing is scanned at start: a name is
 * looked up when it is asked for, and a listing reads directories only.
 */
import { readdir, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import { traceIndexFile } from '../../../gateway/contract/index.ts';
import { AdapterError } from './errors.ts';
import { CONFIG_FILE, TENSORS_FILE } from './peft.ts';

const MAX_NAME_LENGTH = 128;
const ITEMS_AT_ONCE = 64;

export interface AdapterFolder {
  name: string;
  /** Real path of the adapter's folder. */
  path: string;
  /** Changes when one of the files does. */
  stamp: string;
  /** Unix seconds of the last change. */
  modified: number;
}

/** A sentence where `name` cannot be an adapter's; undefined where it can. */
export function nameFault(name: string): string | undefined {
  if (name === '') return 'An adapter needs a name.';
  const shown = JSON.stringify(name.slice(0, 80));
  if (name.length > MAX_NAME_LENGTH) {
    return `The adapter name ${shown}... has ${name.length} characters; at most ${MAX_NAME_LENGTH} are allowed.`;
  }
  if (/[/\\]/.test(name) || name.includes('..') || name.startsWith('.')) {
    return `The adapter name ${shown} must not contain "/", "\\" or "..", nor start with ".".`;
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(name) || name !== name.trim()) {
    return `The adapter name ${shown} must not contain control characters, nor start or end with a space.`;
  }
  return undefined;
}

export interface FilesState {
  /** What tells one state of an adapter's two files, and of its trace index where it has one, from another. */
  stamp: string;
  /** Unix seconds of the last change to the two. */
  modified: number;
  /** Whether it has a trace index. */
  traced: boolean;
}

/** Undefined where one of the two files is missing. */
export async function stampOf(path: string): Promise<FilesState | undefined> {
  const look = (file: string) => stat(join(path, file), { bigint: true });
  try {
    const [config, tensors, trace] = await Promise.all([
      look(CONFIG_FILE),
      look(TENSORS_FILE),
      look(traceIndexFile).catch(() => undefined),
    ]);
    const stamp = [config, tensors, ...(trace ? [trace] : [])]
      .map((info) => `${info.dev}.${info.ino}.${info.size}.${info.mtimeNs}.${info.ctimeNs}`)
      .join('/');
    const changed = Math.max(Number(config.mtimeMs), Number(tensors.mtimeMs));
    return { stamp, modified: Math.floor(changed / 1000), traced: trace !== undefined };
  } catch {
    return undefined;
  }
}

/** Results of `work` in order, a part of the items at once: thousands of file calls leave room for others between them. */
export async function inParts<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += ITEMS_AT_ONCE)
    results.push(...(await Promise.all(items.slice(at, at + ITEMS_AT_ONCE).map(work))));
  return results;
}

export class AdapterFolders {
  readonly folders: readonly string[];

  constructor(folders: readonly string[]) {
    this.folders = [...new Set(folders.map((folder) => resolve(folder)))];
  }

  /** Names of all adapters, with the time of their config; the first folder that has a name wins. */
  async list(): Promise<Map<string, { path: string; modified: number }>> {
    const found = new Map<string, { path: string; modified: number }>();
    for (const folder of this.folders) {
      const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
      const names = entries
        .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !nameFault(entry.name))
        .map((entry) => entry.name)
        .sort();
      const infos = await inParts(names, (name) =>
        stat(join(folder, name, CONFIG_FILE)).catch(() => undefined),
      );
      names.forEach((name, i) => {
        const info = infos[i];
        if (info?.isFile() && !found.has(name)) {
          found.set(name, { path: join(folder, name), modified: Math.floor(info.mtimeMs / 1000) });
        }
      });
    }
    return found;
  }

  /** The adapter of that name; undefined where no folder has it. A link out of the folder is an AdapterError. */
  async find(name: string): Promise<AdapterFolder | undefined> {
    if (nameFault(name)) return undefined;
    for (const folder of this.folders) {
      const path = join(folder, name);
      const info = await stat(join(path, CONFIG_FILE)).catch(() => undefined);
      if (!info?.isFile()) continue;
      const real = await this.#inside(folder, path, name);
      const state = await stampOf(real);
      // Without its tensors it is still the adapter of that name; reading it says what is missing.
      return {
        name,
        path: real,
        stamp: state?.stamp ?? 'incomplete',
        modified: state?.modified ?? Math.floor(info.mtimeMs / 1000),
      };
    }
    return undefined;
  }

  /**
   * The folder that a load call means: an absolute path as it is, or a path below one of the folders. Throws
   * AdapterError where it climbs with "..", or is relative and nowhere.
   */
  async resolvePath(path: string, name: string, onlyBelow: boolean): Promise<string> {
    const shown = JSON.stringify(path.slice(0, 200));
    if (path === '' || path.includes('\0') || path.length > 4096) {
      throw new AdapterError('bad_adapter', `The adapter path ${shown} is not a path.`);
    }
    if (path.split(/[/\\]/).includes('..')) {
      throw new AdapterError('bad_adapter', `The adapter path ${shown} must not contain "..".`);
    }
    if (isAbsolute(path)) {
      const real = await realpath(path).catch(() => undefined);
      if (real === undefined) throw new AdapterError('not_found', `There is no adapter at ${path}.`);
      if (!onlyBelow || (await this.#isBelowAny(real))) return real;
      throw new AdapterError(
        'bad_adapter',
        `The adapter path ${shown} lies outside the adapter folders; add its folder to COLOPHON_ADAPTER_DIRS.`,
      );
    }
    for (const folder of this.folders) {
      const candidate = join(folder, path);
      const info = await stat(candidate).catch(() => undefined);
      if (info?.isDirectory()) return this.#inside(folder, candidate, name);
    }
    throw new AdapterError(
      'not_found',
      `There is no adapter at ${shown} in the adapter folders (${this.folders.join(', ') || 'none are configured'}).`,
    );
  }

  /** Real path of `path`, which must stay inside `folder`, its files too. */
  async #inside(folder: string, path: string, name: string): Promise<string> {
    const [root, real] = await Promise.all(
      [folder, path].map((each) => realpath(each).catch(() => undefined)),
    );
    // It was there a moment ago.
    if (root === undefined || real === undefined)
      throw new AdapterError('not_found', `There is no adapter at ${path} any more.`);
    const files = await Promise.all(
      [CONFIG_FILE, TENSORS_FILE, traceIndexFile].map((file) =>
        realpath(join(real, file)).catch(() => undefined),
      ),
    );
    for (const inner of [real, ...files]) {
      if (inner === undefined || isBelow(inner, root) || (await this.#isBelowAny(inner))) continue;
      throw new AdapterError(
        'bad_adapter',
        `The adapter ${JSON.stringify(name)} is or holds a link that leaves ${folder}; add the folder that it points to ` +
          'to COLOPHON_ADAPTER_DIRS, or copy the adapter.',
      );
    }
    return real;
  }

  async #isBelowAny(real: string): Promise<boolean> {
    for (const folder of this.folders) {
      const root = await realpath(folder).catch(() => undefined);
      if (root !== undefined && isBelow(real, root)) return true;
    }
    return false;
  }
}

function isBelow(path: string, root: string): boolean {
  const way = relative(root, path);
  return way === '' || !(way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way));
}
