/**
 * Names to registered adapters: found in folders when asked for, loaded and unloaded by call, renewed when files change.
 * What was loaded by call, and what was learnt of any adapter, is on disk; the engine knows those that were asked for last.
 */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { ColophonError, type Logger, traceIndexFile } from '../../../gateway/contract/index.ts';
import type { AdapterSpec, NativeEngine, Residency } from '../../../native/binding/index.ts';
import { type AdapterFolders, nameFault, stampOf } from './adapter_folders.ts';
import { AdapterError, errorOf } from './errors.ts';
import { CONFIG_FILE, readAdapter, TENSORS_FILE } from './peft.ts';
import { type AdapterContent, type SavedAdapter, SavedAdapters } from './saved_adapters.ts';

/** Files that keep changing while they are read are given up after so many tries. */
const READ_TRIES = 3;
/**
 * Of the adapters' budget, so much for each one that the engine knows: what is known of one takes about 7 kB outside of it,
 * in memory or not. The least recently asked for are registered again when needed, in a millisecond or two.
 */
const BYTES_PER_REGISTERED = 256 * 1024;
const LEAST_REGISTERED = 1024;
/** Adapters that a listing looks at before others have their turn: a few milliseconds. */
const LISTED_AT_ONCE = 1000;

export interface RegisteredAdapter {
  name: string;
  /** Real path of its folder. */
  path: string;
  stamp: string;
  /** Unix seconds. */
  modified: number;
  handle: number;
  contentHash: string;
  /** By a load call, of this run or an earlier one: bound to its path. Else found in a folder. */
  byCall: boolean;
  /** Kept in memory; adapters that follow it under its name are too. */
  pinned: boolean;
  /** A load call of this run named it. */
  called: boolean;
}

export interface AdapterListing {
  name: string;
  path: string;
  modified: number;
  residency: Residency;
  contentHash?: string;
}

export interface RegistryOptions {
  engine: NativeEngine;
  folders: AdapterFolders;
  /** SHA-256 of a file, hex. */
  hashFile: (path: string) => Promise<string>;
  /** Names that no adapter may take: the base's. */
  reserved: string;
  /** Refuse load calls for paths outside the folders. */
  onlyFolders: boolean;
  /** Folder of the registry on disk; each base has a part of its own. */
  registryFolder: string;
  log: Pick<Logger, 'warn'>;
  maxRegistered?: number;
}

export class AdapterRegistry {
  readonly #options: RegistryOptions;
  /** By name; one that falls out or is replaced takes no new sequence, and those on it finish. */
  readonly #byName: LRUCache<string, RegisteredAdapter>;
  /** Loaded by call. */
  readonly #loaded: SavedAdapters;
  /** Learnt of those in folders: a cache. */
  readonly #found: SavedAdapters;
  /** The last change under way of each name: one after the other. */
  readonly #changes = new Map<string, Promise<unknown>>();

  constructor(options: RegistryOptions) {
    this.#options = options;
    const { engine, registryFolder } = options;
    const {
      maxRegistered = Math.max(
        LEAST_REGISTERED,
        Math.floor(engine.info().adapterBytes / BYTES_PER_REGISTERED),
      ),
    } = options;
    this.#byName = new LRUCache({
      max: maxRegistered,
      disposeAfter: (adapter, name, reason) => {
        if (reason === 'evict' && adapter.pinned) this.#byName.set(name, adapter);
        else engine.unregisterAdapter(adapter.handle);
      },
    });
    const ofBase = join(registryFolder, engine.info().baseHash.slice(0, 16));
    this.#loaded = new SavedAdapters(join(ofBase, 'loaded'));
    this.#found = new SavedAdapters(join(ofBase, 'found'));
  }

  /** The adapter of that name as its files are now; undefined where there is none. */
  async resolve(name: string): Promise<RegisteredAdapter | undefined> {
    if (nameFault(name)) return undefined;
    const known = this.#byName.get(name);
    if (known && (await stampOf(known.path))?.stamp === known.stamp && this.#byName.get(name) === known)
      return known;
    return this.#change(name, () => this.#renew(name));
  }

  /**
   * Registers the folder at `path`, waits until its weights are resident, and saves it for later runs. `pin`: keeps the
   * weights there, or no longer; left out, it is as with the one that it replaces.
   */
  async load(name: string, path: string, replace: boolean, pin?: boolean): Promise<RegisteredAdapter> {
    const fault = nameFault(name);
    if (fault) throw new ColophonError(fault, { param: 'lora_name', code: 'invalid_adapter_name' });
    if (name === this.#options.reserved) {
      throw new ColophonError(`The name '${name}' is the base model's; choose another for the adapter.`, {
        param: 'lora_name',
        code: 'adapter_exists',
      });
    }
    return this.#change(name, async () => {
      const { engine, folders, onlyFolders } = this.#options;
      const real = await folders.resolvePath(path, name, onlyFolders);
      const known = this.#byName.get(name);
      const found =
        known ?? (replace ? undefined : ((await this.#saved(name)) ?? (await folders.find(name))));
      // What is there by itself, from a folder or an earlier run, may be asked for once more.
      const same = found !== undefined && !known?.called && found.path === real;
      if (found && !same && !replace) throw alreadyLoaded(name);
      const renewed = same && !replace ? await this.#renew(name) : undefined;
      const { adapter, content } = renewed
        ? { adapter: renewed, content: ((await this.#saved(name)) ?? (await this.#learnt(name)))?.content }
        : await this.#register(name, real);
      const before = renewed ?? known;
      const pinned = pin ?? before?.pinned ?? false;
      // The old one's pin goes first: both together may not fit.
      if (before?.pinned) engine.unpinAdapter(before.handle);
      try {
        if (pinned) engine.pinAdapter(adapter.handle);
        await engine.loadAdapter(adapter.handle);
        await this.#save(adapter, content);
      } catch (error) {
        if (adapter !== before) this.#drop(adapter);
        else engine.unpinAdapter(adapter.handle);
        if (before?.pinned) engine.pinAdapter(before.handle);
        throw error;
      }
      adapter.pinned = pinned;
      adapter.byCall = true;
      adapter.called = true;
      this.#byName.set(name, adapter);
      return adapter;
    });
  }

  /** Pins the adapter of that name and waits until its weights are resident; undefined where there is none. */
  async pin(name: string): Promise<RegisteredAdapter | undefined> {
    const { engine } = this.#options;
    const adapter = await this.resolve(name);
    if (!adapter) return undefined;
    engine.pinAdapter(adapter.handle);
    adapter.pinned = true;
    await engine.loadAdapter(adapter.handle);
    return adapter;
  }

  /** Forgets the adapter; sequences on it finish. False where none of that name is registered. */
  async unload(name: string): Promise<boolean> {
    if (nameFault(name)) return false;
    return this.#change(name, async () => {
      const wasSaved = await this.#loaded.delete(name).catch((error: Error) => {
        throw errorOf(
          'internal',
          `The adapter ${JSON.stringify(name)} cannot be taken out of the registry (${error.message}); let the server ` +
            'write there, and unload it again.',
          error,
        );
      });
      return this.#byName.delete(name) || wasSaved;
    });
  }

  /** All that can be asked for, by name: those loaded by call and those that lie in the folders. */
  async list(): Promise<AdapterListing[]> {
    const { engine, folders, reserved } = this.#options;
    const listed = new Map<string, AdapterListing>();
    for (const [name, { path, modified }] of await folders.list()) {
      if (name !== reserved) listed.set(name, { name, path, modified, residency: 'disk' });
    }
    for (const saved of await this.#loaded.list()) {
      if (saved.name !== reserved) listed.set(saved.name, { ...saved, residency: 'disk' });
    }
    let looked = 0;
    for (const name of [...listed.keys()]) {
      if (++looked % LISTED_AT_ONCE === 0) await setImmediate();
      const adapter = this.#byName.peek(name);
      if (!adapter) continue;
      const { path, modified, contentHash, handle } = adapter;
      const { residency } = engine.adapterState(handle);
      listed.set(name, { name, path, modified, residency, contentHash });
    }
    return [...listed.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Brings a name in step with the disk; runs alone for its name. */
  async #renew(name: string): Promise<RegisteredAdapter | undefined> {
    const known = this.#byName.get(name);
    if (known && (await stampOf(known.path))?.stamp === known.stamp) return known;
    // An adapter loaded by call stays bound to its path; one from a folder is looked for anew.
    const saved = await this.#saved(name);
    if (saved) {
      const { adapter, content } = await this.#register(name, await this.#boundPath(saved), saved);
      adapter.byCall = true;
      adapter.called = known?.called === true;
      this.#byName.set(name, adapter);
      if (known?.pinned) this.#pinAgain(adapter);
      if (content !== saved.content) await this.#keep(this.#loaded, adapter, content);
      return adapter;
    }
    const folder = await this.#options.folders.find(name);
    if (!folder) {
      if (this.#byName.delete(name)) await this.#found.delete(name).catch(() => false);
      return undefined;
    }
    const learnt = await this.#learnt(name);
    const { adapter, content } = await this.#register(name, folder.path, learnt);
    this.#byName.set(name, adapter);
    if (known?.pinned) this.#pinAgain(adapter);
    if (content !== learnt?.content) await this.#keep(this.#found, adapter, content);
    return adapter;
  }

  /** Registers a folder, without making it the name's; reads and checks its files unless `saved` tells what they hold. */
  async #register(
    name: string,
    path: string,
    saved?: SavedAdapter,
  ): Promise<{ adapter: RegisteredAdapter; content: AdapterContent }> {
    const { engine } = this.#options;
    for (let tries = 0; tries < READ_TRIES; tries++) {
      const before = await stampOf(path);
      // Only once: where the engine refuses what was saved, the files themselves are asked.
      const known =
        tries === 0 && saved?.path === path && saved.content?.stamp === before?.stamp
          ? saved?.content
          : undefined;
      const content = known ?? (await this.#read(name, path, before?.stamp ?? ''));
      const { contentHash, tensorsHash, modules } = content;
      const tensorsPath = join(path, TENSORS_FILE);
      const spec: AdapterSpec = { name, tensorsPath, contentHash, tensorsHash, modules };
      if (before?.traced) spec.tracePath = join(path, traceIndexFile);
      const registered = engine.registerAdapter(spec);
      const handle = known ? await registered.catch(() => undefined) : await registered;
      if (handle === undefined) continue;
      const after = await stampOf(path);
      if (before && before.stamp === after?.stamp) {
        const { stamp, modified } = before;
        const adapter = {
          name,
          path,
          stamp,
          modified,
          handle,
          contentHash,
          byCall: false,
          called: false,
          pinned: false,
        };
        return { adapter, content };
      }
      engine.unregisterAdapter(handle);
    }
    throw new AdapterError(
      'bad_adapter',
      `The files of the adapter at ${path} keep changing; try again when they are complete.`,
    );
  }

  async #read(name: string, path: string, stamp: string): Promise<AdapterContent> {
    const { engine, hashFile } = this.#options;
    const { spec } = await readAdapter(path, engine.info().hyperparameters, name, hashFile);
    const { contentHash, tensorsHash, modules } = spec;
    return { stamp, contentHash, tensorsHash: tensorsHash!, modules };
  }

  /** What a load call of this run or an earlier one bound the name to. Throws AdapterError where the entry is damaged. */
  async #saved(name: string): Promise<SavedAdapter | undefined> {
    try {
      return await this.#loaded.get(name);
    } catch (error) {
      this.#options.log.warn({ adapter: name }, (error as Error).message);
      throw error;
    }
  }

  /** What was learnt of an adapter in a folder; a damaged entry is as none. */
  async #learnt(name: string): Promise<SavedAdapter | undefined> {
    return this.#found.get(name).catch(() => undefined);
  }

  /** Where the adapter is that a load call bound a name to, as the rules of this run allow it. */
  async #boundPath({ name, path }: SavedAdapter): Promise<string> {
    const { folders, onlyFolders } = this.#options;
    try {
      const real = await folders.resolvePath(path, name, onlyFolders);
      await access(join(real, CONFIG_FILE));
      return real;
    } catch (error) {
      if (error instanceof AdapterError && error.code !== 'not_found') throw error;
      this.#byName.delete(name);
      throw new AdapterError(
        'not_found',
        `The adapter ${JSON.stringify(name)} was loaded from ${path}, where it no longer is; put it back there, load ` +
          "another one with 'load_inplace', or unload it.",
      );
    }
  }

  /** Binds a name to its adapter for later runs. */
  async #save(adapter: RegisteredAdapter, content: AdapterContent | undefined): Promise<void> {
    try {
      await this.#loaded.put(savedOf(adapter, content), true);
    } catch (error) {
      throw errorOf(
        'internal',
        `The adapter ${JSON.stringify(adapter.name)} cannot be saved in the registry (${(error as Error).message}); make ` +
          'room there, or let the server write there, and load it again.',
        error,
      );
    }
  }

  /** Saves what spares the next reading: without it all goes on. */
  async #keep(where: SavedAdapters, adapter: RegisteredAdapter, content: AdapterContent): Promise<void> {
    await where.put(savedOf(adapter, content), false).catch((error: Error) => {
      const message =
        'What was read of an adapter cannot be kept in the registry; the next start reads it again.';
      this.#options.log.warn({ adapter: adapter.name, error: error.message }, message);
    });
  }

  /** After the old content of its name has given up its pin; it serves without one where it is too large to be pinned. */
  #pinAgain(adapter: RegisteredAdapter): void {
    try {
      this.#options.engine.pinAdapter(adapter.handle);
      adapter.pinned = true;
    } catch {}
  }

  #drop(adapter: RegisteredAdapter): void {
    if (this.#byName.peek(adapter.name) === adapter) this.#byName.delete(adapter.name);
    else this.#options.engine.unregisterAdapter(adapter.handle);
  }

  /** Runs `change` after the earlier ones of the same name, whether they failed or not. */
  async #change<T>(name: string, change: () => Promise<T>): Promise<T> {
    const before = this.#changes.get(name) ?? Promise.resolve();
    const result = before.then(change, change);
    this.#changes.set(name, result);
    try {
      return await result;
    } finally {
      if (this.#changes.get(name) === result) this.#changes.delete(name);
    }
  }
}

/** vLLM's sentence, which its clients look for. */
function alreadyLoaded(name: string): ColophonError {
  return new ColophonError(
    `The lora adapter '${name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.`,
    { param: 'lora_name', code: 'adapter_exists' },
  );
}

function savedOf(adapter: RegisteredAdapter, content: AdapterContent | undefined): SavedAdapter {
  const { name, path, modified } = adapter;
  return { name, path, modified, ...(content ? { content } : {}) };
}
