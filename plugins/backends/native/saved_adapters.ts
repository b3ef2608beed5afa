/**
 * The registry on disk: one small file an adapter, under a hash of its name, so that a name costs one look-up however many
 * there are. Nothing is read at start. A file appears whole or not at all.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { AdaptedModule, LinearName } from '../../../native/binding/index.ts';
import { inParts } from './adapter_folders.ts';
import { AdapterError } from './errors.ts';
import { linearOrder } from './peft.ts';

/** Raised when what peft.ts makes of a config changes: of files with another one only the name and the path count. */
const FORMAT = 1;

/** What was learnt of an adapter when its files were read: enough to register it again without reading them. */
export interface AdapterContent {
  /** Of the files that it was learnt from. */
  stamp: string;
  contentHash: string;
  tensorsHash: string;
  modules: AdaptedModule[];
}

export interface SavedAdapter {
  name: string;
  /** Real path of its folder. */
  path: string;
  /** Unix seconds of the last change. */
  modified: number;
  /** Absent where another version of this program wrote it. */
  content?: AdapterContent;
}

export type SavedListing = Omit<SavedAdapter, 'content'> & { contentHash?: string };

/** Linears of one kind that are adapted alike, as one entry of the file. */
type ModuleGroup = Omit<AdaptedModule, 'layer'> & { layers: number[] };

export class SavedAdapters {
  readonly #folder: string;
  /** What list() has read, by file name; kept in step by put and delete. */
  readonly #listed = new Map<string, SavedListing | undefined>();
  #parts = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The adapter saved under that name. Throws AdapterError where its file is damaged. */
  async get(name: string): Promise<SavedAdapter | undefined> {
    const path = this.#path(name);
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw damaged(name, path, error.message);
    });
    if (bytes === undefined) return undefined;
    const saved = parse(bytes, name);
    if (typeof saved === 'string') throw damaged(name, path, saved);
    return saved;
  }

  /** Saves the adapter under its name. `durable`: it outlasts a loss of power too. Throws what the file system throws. */
  async put(adapter: SavedAdapter, durable: boolean): Promise<void> {
    const path = this.#path(adapter.name);
    const part = `${path}.${process.pid}.${++this.#parts}.part`;
    await mkdir(this.#folder, { recursive: true });
    try {
      const file = await open(part, 'w', 0o600);
      try {
        await file.writeFile(serialize(adapter));
        if (durable) await file.sync();
      } finally {
        await file.close();
      }
      await rename(part, path);
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
    this.#listed.set(fileName(adapter.name), listing(adapter));
  }

  /** Forgets the name, damaged or not. False where it was not there. */
  async delete(name: string): Promise<boolean> {
    this.#listed.delete(fileName(name));
    try {
      await rm(this.#path(name));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  }

  /** All that are saved; reads the directory, and the files that it has not read yet. Leaves out damaged ones. */
  async list(): Promise<SavedListing[]> {
    const files = (await readdir(this.#folder).catch(() => [])).filter((file) =>
      /^[0-9a-f]{64}\.json$/.test(file),
    );
    const there = new Set(files);
    for (const file of this.#listed.keys()) if (!there.has(file)) this.#listed.delete(file);
    await inParts(
      files.filter((file) => !this.#listed.has(file)),
      async (file) => {
        const bytes = await readFile(join(this.#folder, file)).catch(() => undefined);
        if (bytes === undefined) return;
        const saved = parse(bytes);
        const right = typeof saved !== 'string' && fileName(saved.name) === file;
        this.#listed.set(file, right ? listing(saved) : undefined);
      },
    );
    return [...this.#listed.values()].filter((saved) => saved !== undefined);
  }

  #path(name: string): string {
    return join(this.#folder, fileName(name));
  }
}

function fileName(name: string): string {
  return `${createHash('sha256').update(name).digest('hex')}.json`;
}

function listing({ name, path, modified, content }: SavedAdapter): SavedListing {
  return { name, path, modified, ...(content ? { contentHash: content.contentHash } : {}) };
}

function damaged(name: string, path: string, why: string): AdapterError {
  return new AdapterError(
    'bad_adapter',
    `The registry's entry of the adapter ${JSON.stringify(name)} cannot be read: ${path} ${why}. Load the adapter again ` +
      "with 'load_inplace', or unload it.",
  );
}

function serialize({ content, ...adapter }: SavedAdapter): string {
  const groups = new Map<string, ModuleGroup>();
  for (const { layer, ...rest } of content?.modules ?? []) {
    const key = JSON.stringify(rest);
    const group = groups.get(key);
    if (group) group.layers.push(layer);
    else groups.set(key, { ...rest, layers: [layer] });
  }
  const saved = {
    format: FORMAT,
    ...adapter,
    content: content && { ...content, modules: [...groups.values()] },
  };
  return `${JSON.stringify(saved)}\n`;
}

/** The adapter of a file, or what is wrong with it. */
function parse(bytes: Buffer, name?: string): SavedAdapter | string {
  let value: Record<string, unknown> | null;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    return `is not valid JSON (${(error as Error).message})`;
  }
  if (typeof value !== 'object' || value === null) return 'holds no JSON object';
  if (typeof value.name !== 'string' || typeof value.path !== 'string' || typeof value.modified !== 'number')
    return 'lacks the name, the path or the time of its adapter';
  if (name !== undefined && value.name !== name) return `is of ${JSON.stringify(value.name)}`;
  const adapter = { name: value.name, path: value.path, modified: value.modified };
  if (value.format !== FORMAT || value.content === undefined) return adapter;
  const content = parseContent(value.content as Record<string, unknown> | null);
  return content ? { ...adapter, content } : 'has a damaged content';
}

function parseContent(value: Record<string, unknown> | null): AdapterContent | undefined {
  const isHash = (hash: unknown): hash is string => typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash);
  if (typeof value !== 'object' || value === null || !Array.isArray(value.modules)) return undefined;
  const { stamp, contentHash, tensorsHash } = value;
  if (typeof stamp !== 'string' || !isHash(contentHash) || !isHash(tensorsHash)) return undefined;
  const groups = value.modules as Array<Record<string, unknown> | null>;
  if (!groups.every(isGroup)) return undefined;
  const modules = groups.flatMap(({ layers, ...rest }) => layers.map((layer) => ({ layer, ...rest })));
  modules.sort((a, b) => a.layer - b.layer || linearOrder.indexOf(a.linear) - linearOrder.indexOf(b.linear));
  return { stamp, contentHash, tensorsHash, modules };
}

function isGroup(value: unknown): value is ModuleGroup {
  if (typeof value !== 'object' || value === null) return false;
  const { linear, rank, scaling, dora, layers } = value as Record<string, unknown>;
  return (
    linearOrder.includes(linear as LinearName) &&
    Number.isInteger(rank) &&
    typeof scaling === 'number' &&
    typeof dora === 'boolean' &&
    Array.isArray(layers) &&
    layers.every(Number.isInteger)
  );
}
