/** Adapters that outlast the process: a backend is closed and another made on the same home. */
import { createHash } from 'node:crypto';
import { readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { AdapterFolders, inParts } from './adapter_folders.ts';
import { AdapterRegistry, type RegistryOptions } from './adapter_registry.ts';
import { writeAdapter } from './safetensors_writer.ts';
import { SavedAdapters } from './saved_adapters.ts';
import { FakeEngine } from './testing/fake_engine.ts';
import { temporaryFolder } from './testing/temporary.ts';

/** A registry over a fresh engine; `hashed` are the files that it read. */
function start(home: string, folders: string[] = [], more: Partial<RegistryOptions> = {}) {
  const engine = new FakeEngine();
  const hashed: string[] = [];
  const warnings: string[] = [];
  const registry = new AdapterRegistry({
    engine,
    folders: new AdapterFolders(folders),
    hashFile: async (path) => {
      hashed.push(path);
      return createHash('sha256')
        .update(await readFile(path))
        .digest('hex');
    },
    reserved: 'base',
    onlyFolders: false,
    registryFolder: home,
    log: { warn: (_fields, message) => warnings.push(message) },
    ...more,
  });
  return { engine, registry, hashed, warnings };
}

async function makeAdapter(folder: string, name: string, config: object = { r: 1 }): Promise<string> {
  const path = join(folder, name);
  const tensor = { type: 'F16' as const, shape: [2], values: new Float32Array(2) };
  await writeAdapter(path, { target_modules: ['q_proj'], ...config }, new Map([['t', tensor]]));
  return path;
}

/** The registry's file of a name. */
function entryOf(home: string, name: string, part = 'loaded'): string {
  const file = `${createHash('sha256').update(name).digest('hex')}.json`;
  return join(home, 'b'.repeat(16), part, file);
}

test('a name loaded by call is there after a restart, without reading its files again', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const config = {
    r: 4,
    target_modules: ['q_proj', 'v_proj'],
    rank_pattern: { 'layers.1.self_attn.q_proj': 2 },
  };
  const path = await makeAdapter(folder, 'one', config);
  const before = start(home);
  const loaded = await before.registry.load('mine', path, false);

  const after = start(home);
  expect(await after.registry.list()).toEqual([
    { name: 'mine', path, modified: loaded.modified, residency: 'disk', contentHash: loaded.contentHash },
  ]);
  expect(await after.registry.resolve('mine')).toMatchObject({ path, contentHash: loaded.contentHash });
  expect(after.hashed).toEqual([]);
  const [spec] = [...after.engine.adapters.values()].map((adapter) => adapter.spec);
  expect(spec).toEqual([...before.engine.adapters.values()][0]!.spec);

  expect(await after.registry.unload('mine')).toBe(true);
  const last = start(home);
  expect(await last.registry.resolve('mine')).toBeUndefined();
  expect(await last.registry.list()).toEqual([]);
  expect(await last.registry.unload('mine')).toBe(false);
});

test('after a restart the same load is no error once, another one is', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const path = await makeAdapter(folder, 'one');
  const other = await makeAdapter(folder, 'two', { r: 2 });
  await start(home).registry.load('mine', path, false);
  const { registry, engine } = start(home);
  await expect(registry.load('mine', other, false)).rejects.toThrow('has already been loaded');
  await registry.load('mine', path, false);
  expect(engine.adapters.size).toBe(1);
  await expect(registry.load('mine', path, false)).rejects.toThrow('has already been loaded');
  const replaced = await registry.load('mine', other, true);
  expect(await start(home).registry.resolve('mine')).toMatchObject({
    path: other,
    contentHash: replaced.contentHash,
  });
});

test('files that changed while no server ran are read again, once', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const path = await makeAdapter(folder, 'one');
  const first = await start(home).registry.load('mine', path, false);
  await makeAdapter(folder, 'one', { r: 2 });
  const second = start(home);
  const renewed = await second.registry.resolve('mine');
  expect(renewed!.contentHash).not.toBe(first.contentHash);
  expect(second.hashed).toHaveLength(1);
  const third = start(home);
  expect(await third.registry.resolve('mine')).toMatchObject({ contentHash: renewed!.contentHash });
  expect(third.hashed).toEqual([]);
});

test('a trace index that comes, changes or goes is noticed, in a folder and after a load by call', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const path = await makeAdapter(folder, 'one');
  const index = join(path, 'trace.index');
  const { registry, engine } = start(home, [folder]);
  await registry.load('mine', path, false);
  const tracePaths = async () => {
    for (const name of ['one', 'mine']) await registry.resolve(name);
    return [...engine.adapters.values()]
      .filter(({ removed }) => !removed)
      .map(({ spec }) => spec.tracePath)
      .sort();
  };
  expect(await tracePaths()).toEqual([undefined, undefined]);
  const { modified, contentHash } = (await registry.resolve('mine'))!;
  const hashes = new Set([contentHash]);
  const handles = new Set<number>();
  for (const content of ['an index', 'another index']) {
    await writeFile(index, content);
    expect(await tracePaths()).toEqual([index, index]);
    const adapter = (await registry.resolve('mine'))!;
    expect(adapter.modified).toBe(modified);
    hashes.add(adapter.contentHash);
    handles.add(adapter.handle);
  }
  expect(hashes.size).toBe(1);
  expect(handles.size).toBe(2);
  await rm(index);
  expect(await tracePaths()).toEqual([undefined, undefined]);
});

test('without a trace index the files are known as they were before there were any', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const path = await makeAdapter(folder, 'one');
  await start(home).registry.load('mine', path, false);
  const { content } = JSON.parse(await readFile(entryOf(home, 'mine'), 'utf8'));
  expect(content.stamp).toMatch(/^\d+(\.\d+){4}\/\d+(\.\d+){4}$/);
  await writeFile(join(path, 'trace.index'), 'an index');
  const traced = start(home);
  await traced.registry.resolve('mine');
  const again = start(home);
  await again.registry.resolve('mine');
  expect([traced.hashed.length, again.hashed.length]).toEqual([1, 0]);
  expect([...again.engine.adapters.values()].map(({ spec }) => spec.tracePath)).toEqual([
    join(path, 'trace.index'),
  ]);
});

test('an adapter in a folder is read once over all runs, and again when its files change', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const path = await makeAdapter(folder, 'one');
  const first = start(home, [folder]);
  const found = await first.registry.resolve('one');
  expect(first.hashed).toHaveLength(1);
  const second = start(home, [folder]);
  expect(await second.registry.resolve('one')).toMatchObject({
    contentHash: found!.contentHash,
    byCall: false,
  });
  expect(second.hashed).toEqual([]);
  await utimes(join(path, 'adapter_config.json'), 1, 1);
  expect(await second.registry.resolve('one')).toMatchObject({ contentHash: found!.contentHash });
  expect(second.hashed).toHaveLength(1);
  await rm(path, { recursive: true });
  const third = start(home, [folder]);
  expect(await third.registry.resolve('one')).toBeUndefined();
  expect(await third.registry.list()).toEqual([]);
  // Who knew it forgets what it learnt.
  expect(await second.registry.resolve('one')).toBeUndefined();
  expect(await readdir(join(home, 'b'.repeat(16), 'found'))).toEqual([]);
});

test('what was kept of a folder is not believed when the engine refuses it', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  await makeAdapter(folder, 'one');
  await start(home, [folder]).registry.resolve('one');
  const { registry, engine, hashed } = start(home, [folder]);
  engine.failure = Object.assign(new Error('Another shape.'), { code: 'bad_adapter' });
  expect(await registry.resolve('one')).toBeDefined();
  expect(hashed).toHaveLength(1);
});

test('files gone from a bound path are a 404 that says what to do, and come back', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const path = await makeAdapter(folder, 'one');
  const { registry, engine } = start(home);
  await registry.load('mine', path, false);
  await rename(path, `${path}.away`);
  await expect(registry.resolve('mine')).rejects.toMatchObject({
    code: 'not_found',
    message: expect.stringMatching(/"mine" was loaded from .*load_inplace.*unload/),
  });
  expect(engine.live()).toEqual([]);
  expect((await registry.list()).map(({ name }) => name)).toEqual(['mine']);
  await rename(`${path}.away`, path);
  expect(await registry.resolve('mine')).toMatchObject({ path });
  await rm(path, { recursive: true });
  expect(await registry.unload('mine')).toBe(true);
  expect(await registry.resolve('mine')).toBeUndefined();
});

test.each([
  ['cut', (text: string) => text.slice(0, text.length / 2)],
  ['empty', () => ''],
  ['no object', () => 'null'],
  ['of another adapter', (text: string) => text.replace('"mine"', '"yours"')],
  ['without a path', (text: string) => text.replace('"path"', '"paths"')],
  ['with a rank that is no number', (text: string) => text.replace('"rank":1', '"rank":"1"')],
  ['with a hash that is none', (text: string) => text.replace(/"contentHash":"\w+"/, '"contentHash":"x"')],
])('an entry that is %s is an error of its name alone, logged, and mended by a load', async (_what, damage) => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const path = await makeAdapter(folder, 'one');
  const before = start(home);
  await before.registry.load('mine', path, false);
  await before.registry.load('other', path, false);
  const entry = entryOf(home, 'mine');
  const text = await readFile(entry, 'utf8');
  expect(damage(text)).not.toBe(text);
  await writeFile(entry, damage(text));

  const { registry, warnings } = start(home);
  await expect(registry.resolve('mine')).rejects.toMatchObject({
    code: 'bad_adapter',
    message: expect.stringMatching(/registry's entry of the adapter "mine" .*load_inplace/),
  });
  expect(warnings[0]).toContain(entry);
  expect(await registry.resolve('other')).toBeDefined();
  expect((await registry.list()).map(({ name }) => name)).toEqual(['other']);
  await registry.load('mine', path, true);
  expect(await start(home).registry.resolve('mine')).toBeDefined();
});

test('a damaged entry can be unloaded', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  await start(home).registry.load('mine', await makeAdapter(folder, 'one'), false);
  await writeFile(entryOf(home, 'mine'), '{');
  const { registry } = start(home);
  expect(await registry.unload('mine')).toBe(true);
  expect(await registry.resolve('mine')).toBeUndefined();
});

test('an entry of another version keeps its name and path; the files are read', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const path = await makeAdapter(folder, 'one');
  await start(home).registry.load('mine', path, false);
  const entry = entryOf(home, 'mine');
  await writeFile(
    entry,
    (await readFile(entry, 'utf8')).replace('"format":1', '"format":2').replace('"rank"', '"r"'),
  );
  await rename(join(path, 'adapter_model.safetensors'), join(folder, 'aside'));
  await expect(start(home).registry.resolve('mine')).rejects.toMatchObject({ code: 'bad_adapter' });
  await rename(join(folder, 'aside'), join(path, 'adapter_model.safetensors'));
  const { registry, hashed } = start(home);
  expect(await registry.resolve('mine')).toMatchObject({ path });
  expect(hashed).toHaveLength(1);
});

test('an entry that cannot be removed is told, and the adapter stays', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const { registry } = start(home);
  await registry.load('mine', await makeAdapter(folder, 'one'), false);
  const remove = vi.spyOn(SavedAdapters.prototype, 'delete').mockRejectedValue(new Error('EROFS: read-only'));
  await expect(registry.unload('mine')).rejects.toMatchObject({
    status: 500,
    message: expect.stringContaining('EROFS'),
  });
  remove.mockRestore();
  expect(await registry.resolve('mine')).toBeDefined();
});

test('a path that the config of this run forbids is refused', async () => {
  const [home, inside, outside] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
  await start(home).registry.load('mine', await makeAdapter(outside, 'one'), false);
  await expect(start(home, [inside], { onlyFolders: true }).registry.resolve('mine')).rejects.toMatchObject({
    message: expect.stringContaining('COLOPHON_ADAPTER_DIRS'),
  });
});

test('a registry that cannot be written refuses the load and keeps what was there', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const path = await makeAdapter(folder, 'one');
  const { registry, engine } = start(home);
  const first = await registry.load('mine', path, false);
  const put = vi.spyOn(SavedAdapters.prototype, 'put').mockRejectedValue(new Error('ENOSPC: no space left'));
  await makeAdapter(folder, 'two', { r: 2 });
  await expect(registry.load('mine', join(folder, 'two'), true)).rejects.toMatchObject({
    status: 500,
    message: expect.stringContaining('no space left'),
  });
  put.mockRestore();
  expect(engine.live()).toHaveLength(1);
  expect(await registry.resolve('mine')).toMatchObject({ contentHash: first.contentHash });
  expect(await start(home).registry.resolve('mine')).toMatchObject({ contentHash: first.contentHash });
});

test('a folder whose facts cannot be kept is served, with a line in the log', async () => {
  const folder = temporaryFolder();
  await makeAdapter(folder, 'one');
  const blocked = join(temporaryFolder(), 'file');
  await writeFile(blocked, '');
  const { registry, warnings } = start(blocked, [folder]);
  expect(await registry.resolve('one')).toBeDefined();
  expect(warnings).toEqual([expect.stringContaining('cannot be kept')]);
});

test('each base has names of its own', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  await start(home).registry.load('mine', await makeAdapter(folder, 'one'), false);
  const other = new FakeEngine();
  const info = other.info();
  other.info = () => ({ ...info, baseHash: 'c'.repeat(64) });
  expect(await start(home, [], { engine: other }).registry.resolve('mine')).toBeUndefined();
});

test('two thousand adapters: nothing is read at start, and a request reads one', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const path = await makeAdapter(folder, 'one');
  await start(home).registry.load('first', path, false);
  const loaded = new SavedAdapters(join(home, 'b'.repeat(16), 'loaded'));
  const content = (await loaded.get('first'))!.content!;
  await loaded.delete('first');
  const names = Array.from({ length: 2000 }, (_, i) => `made-${i}`);
  await inParts(names, (name) => loaded.put({ name, path, modified: 1, content }, false));
  expect(await start(home).registry.list()).toHaveLength(2000);
  // Any look at the others would be told.
  await inParts(names.slice(1), (name) => writeFile(entryOf(home, name), '{'));

  const { registry, hashed, engine, warnings } = start(home);
  expect(engine.adapters.size).toBe(0);
  expect(await registry.resolve('made-0')).toMatchObject({ path });
  expect(engine.adapters.size).toBe(1);
  expect([...hashed, ...warnings]).toEqual([]);
  await expect(registry.resolve('made-1')).rejects.toMatchObject({ code: 'bad_adapter' });
  expect(warnings).toHaveLength(1);
});

test('the list opens only what it has not seen, and follows the directory', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const path = await makeAdapter(folder, 'one');
  const writer = start(home);
  for (const name of ['a', 'b', 'c']) await writer.registry.load(name, path, false);
  const { registry } = start(home);
  const names = async () => (await registry.list()).map(({ name }) => name);
  expect(await names()).toEqual(['a', 'b', 'c']);
  await writeFile(entryOf(home, 'a'), 'damaged after it was seen');
  await rm(entryOf(home, 'b'));
  await writer.registry.load('d', path, false);
  expect(await names()).toEqual(['a', 'c', 'd']);
  expect(
    (await readdir(join(home, 'b'.repeat(16), 'loaded'))).filter((file) => file.endsWith('.part')),
  ).toEqual([]);
});

test('the engine knows a bounded number; a name that fell out is registered again', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const names = ['a', 'b', 'c', 'd'];
  for (const name of names) await makeAdapter(folder, name);
  const { registry, engine, hashed } = start(home, [folder], { maxRegistered: 2 });
  for (const name of names) await registry.resolve(name);
  expect(engine.live()).toHaveLength(2);
  expect(await registry.resolve('a')).toMatchObject({ name: 'a' });
  expect(engine.live()).toHaveLength(2);
  expect(hashed).toHaveLength(4);
  expect((await registry.list()).map(({ name }) => name)).toEqual(names);
});

test('a hundred requests at once for one name are one registration', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  await makeAdapter(folder, 'one');
  const { registry, engine, hashed } = start(home, [folder]);
  const found = await Promise.all(Array.from({ length: 100 }, () => registry.resolve('one')));
  expect(new Set(found).size).toBe(1);
  expect(engine.adapters.size).toBe(1);
  expect(hashed).toHaveLength(1);
});

test('requests beside replacements get one content or the other, and the last in the end', async () => {
  const [home, folder] = [temporaryFolder(), temporaryFolder()];
  const paths = await Promise.all([1, 2].map((r) => makeAdapter(folder, `r${r}`, { r })));
  const { registry, engine } = start(home);
  const hashes = [];
  for (const path of paths) hashes.push((await registry.load('mine', path, true)).contentHash);
  const replacements = (async () => {
    for (let i = 0; i < 20; i++) await registry.load('mine', paths[i % 2]!, true);
  })();
  let asked = 0;
  const asking = (async () => {
    for (; asked < 200; asked++) {
      const found = await registry.resolve('mine');
      expect(hashes).toContain(found!.contentHash);
      expect(engine.adapters.get(found!.handle)!.spec.contentHash).toBe(found!.contentHash);
    }
  })();
  await Promise.all([replacements, asking]);
  expect(await registry.resolve('mine')).toMatchObject({ contentHash: hashes[1], path: paths[1] });
  expect(engine.live()).toHaveLength(1);
  expect(await start(home).registry.resolve('mine')).toMatchObject({ contentHash: hashes[1] });
});
