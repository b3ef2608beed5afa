/** Names to registered adapters: found in folders when asked for, loaded and unloaded by call, renewed when files change. */
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { NativeEngine, Residency } from '../../../native/binding/index.ts';
import { type AdapterFolders, nameFault, stampOf } from './adapter_folders.ts';
import { AdapterError } from './errors.ts';
import { readAdapter } from './peft.ts';

/** Files that keep changing while they are read are given up after so many tries. */
const READ_TRIES = 3;

export interface RegisteredAdapter {
  name: string;
  /** Real path of its folder. */
  path: string;
  stamp: string;
  /** Unix seconds. */
  modified: number;
  handle: number;
  contentHash: string;
  /** By a load call, not found in a folder. */
  byCall: boolean;
  /** Kept in memory; adapters that follow it under its name are too. */
  pinned: boolean;
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
}

export class AdapterRegistry {
  readonly #options: RegistryOptions;
  readonly #byName = new Map<string, RegisteredAdapter>();
  /** The last change under way of each name: one after the other. */
  readonly #changes = new Map<string, Promise<unknown>>();

  constructor(options: RegistryOptions) {
    this.#options = options;
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
   * Registers the folder at `path` and waits until its weights are resident. `pin`: keeps them there, or no longer; left
   * out, it is as with the one that it replaces.
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
      const found = known ?? (await folders.find(name));
      const sameFolder = found !== undefined && !known?.byCall && found.path === real;
      if (found && !sameFolder && !replace) throw alreadyLoaded(name);
      const adapter =
        sameFolder && !replace
          ? ((await this.#renew(name)) ?? (await this.#register(name, real)))
          : await this.#register(name, real);
      const pinned = pin ?? known?.pinned ?? false;
      // The old one's pin goes first: both together may not fit.
      if (known?.pinned) engine.unpinAdapter(known.handle);
      try {
        if (pinned) engine.pinAdapter(adapter.handle);
        await engine.loadAdapter(adapter.handle);
      } catch (error) {
        if (adapter !== known) this.#drop(adapter);
        else engine.unpinAdapter(adapter.handle);
        if (known?.pinned) engine.pinAdapter(known.handle);
        throw error;
      }
      adapter.pinned = pinned;
      adapter.byCall = true;
      this.#put(adapter);
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
    return this.#change(name, async () => {
      const known = this.#byName.get(name);
      if (known) this.#drop(known);
      return known !== undefined;
    });
  }

  /** All that can be asked for, by name: registered ones and those that lie in the folders. */
  async list(): Promise<AdapterListing[]> {
    const { engine, folders, reserved } = this.#options;
    const listed = new Map<string, AdapterListing>();
    for (const [name, { path, modified }] of await folders.list()) {
      if (name !== reserved) listed.set(name, { name, path, modified, residency: 'disk' });
    }
    for (const adapter of this.#byName.values()) {
      if (!adapter.byCall && !listed.has(adapter.name)) continue;
      listed.set(adapter.name, {
        name: adapter.name,
        path: adapter.path,
        modified: adapter.modified,
        residency: engine.adapterState(adapter.handle).residency,
        contentHash: adapter.contentHash,
      });
    }
    return [...listed.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Brings a name in step with the disk; runs alone for its name. */
  async #renew(name: string): Promise<RegisteredAdapter | undefined> {
    const known = this.#byName.get(name);
    const state = known && (await stampOf(known.path));
    if (known && state?.stamp === known.stamp) return known;
    // An adapter loaded by call stays bound to its path; one from a folder is looked for anew.
    const path = known?.byCall && state ? known.path : (await this.#options.folders.find(name))?.path;
    if (path === undefined) {
      if (known) this.#drop(known);
      return undefined;
    }
    const adapter = await this.#register(name, path);
    adapter.byCall = known?.byCall === true && path === known.path;
    this.#put(adapter);
    if (known?.pinned) this.#pinAgain(adapter);
    return adapter;
  }

  /** Reads, checks and registers a folder, without making it the name's. */
  async #register(name: string, path: string): Promise<RegisteredAdapter> {
    const { engine, hashFile } = this.#options;
    for (let tries = 0; tries < READ_TRIES; tries++) {
      const before = await stampOf(path);
      const { spec } = await readAdapter(path, engine.info().hyperparameters, name, hashFile);
      const handle = await engine.registerAdapter(spec);
      const after = await stampOf(path);
      if (before && before.stamp === after?.stamp) {
        return { name, path, ...before, handle, contentHash: spec.contentHash, byCall: false, pinned: false };
      }
      engine.unregisterAdapter(handle);
    }
    throw new AdapterError(
      'bad_adapter',
      `The files of the adapter at ${path} keep changing; try again when they are complete.`,
    );
  }

  #put(adapter: RegisteredAdapter): void {
    const before = this.#byName.get(adapter.name);
    this.#byName.set(adapter.name, adapter);
    if (before && before.handle !== adapter.handle) this.#options.engine.unregisterAdapter(before.handle);
  }

  /** After the old content of its name has given up its pin; it serves without one where it is too large to be pinned. */
  #pinAgain(adapter: RegisteredAdapter): void {
    try {
      this.#options.engine.pinAdapter(adapter.handle);
      adapter.pinned = true;
    } catch {}
  }

  #drop(adapter: RegisteredAdapter): void {
    if (this.#byName.get(adapter.name) === adapter) this.#byName.delete(adapter.name);
    this.#options.engine.unregisterAdapter(adapter.handle);
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
