/**
 * Where base models come from: a source (`pypi:`, `hf:` or a path) becomes files on this machine, downloaded once per user,
 * checked, and found again without the network. What is in them is the backend's business.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ModelError, onDisk } from './errors.ts';
import { cacheFolder } from './folder.ts';
import type { HttpClient, HttpSettings } from './http.ts';
import { withLock } from './lock.ts';
import { type Progress, silent } from './progress.ts';
import { defaultSource, describeSource, type ModelSource, parseSource, publicName } from './source.ts';

export { ModelError } from './errors.ts';
export { cacheFolder } from './folder.ts';
export { type Progress, silent } from './progress.ts';
export { defaultSource, describeSource, parseSource, publicName } from './source.ts';

export interface LocalModel {
  /** What it was asked for by, without a pin. */
  source: string;
  /** The id that it is served under, unless the config names another. */
  name: string;
  format: 'gguf' | 'safetensors';
  /** The GGUF file, or the folder with config.json, tokenizer.json and *.safetensors. */
  path: string;
  bytes: number;
}

export interface ModelOptions {
  /** Default: this user's cache folder. */
  cache?: string;
  progress?: Progress;
  signal?: AbortSignal;
  env?: NodeJS.ProcessEnv;
  /** Ask the network even where the cache has an answer (a source without version or revision may have moved on). */
  refresh?: boolean;
  /** For tests: pauses between attempts. */
  http?: Pick<HttpSettings, 'retryMs' | 'attempts'>;
}

type Context = Required<Pick<ModelOptions, 'cache' | 'progress' | 'env' | 'refresh'>> &
  Pick<ModelOptions, 'signal' | 'http'>;

function contextOf(options: ModelOptions): Context {
  const env = options.env ?? process.env;
  return {
    cache: options.cache ?? cacheFolder(env),
    progress: options.progress ?? silent,
    env,
    refresh: options.refresh ?? false,
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.http ? { http: options.http } : {}),
  };
}

/** The model on this machine; downloads it where it is not there yet. Throws ModelError. */
export async function resolveModel(
  text: string = defaultSource,
  options: ModelOptions = {},
): Promise<LocalModel> {
  const source = parseSource(text);
  const context = contextOf(options);
  if (source.kind === 'path') return localModel(source);
  const there = context.refresh ? undefined : await cached(source, context);
  if (there) return there;
  return source.kind === 'pypi' ? pullWheel(source, context) : pullHub(source, context);
}

/** The model if it is on this machine already; asks no network. */
export async function findCachedModel(
  text: string = defaultSource,
  options: ModelOptions = {},
): Promise<LocalModel | undefined> {
  const source = parseSource(text);
  return source.kind === 'path' ? localModel(source) : cached(source, contextOf(options));
}

// A path -------------------------------------------------------------------------------------------------------------

async function localModel(source: ModelSource & { kind: 'path' }): Promise<LocalModel> {
  const path = resolve(source.path.startsWith('file:') ? fileURLToPath(source.path) : source.path);
  const entry = await stat(path).catch(() => undefined);
  if (!entry) {
    throw new ModelError(
      'not_found',
      `There is no model at ${path}. Name a GGUF file or a safetensors folder, or a source like ${defaultSource.split('#')[0]}#… or hf:OWNER/REPO.`,
    );
  }
  if (entry.isDirectory()) return safetensorsFolder(path, source);
  const handle = await open(path, 'r').catch((error) => {
    throw new ModelError('not_found', `${path} cannot be read (${(error as Error).message}).`, error);
  });
  const magic = Buffer.alloc(4);
  await handle.read(magic, 0, 4, 0).finally(() => handle.close());
  if (magic.toString('latin1') !== 'GGUF') {
    throw new ModelError(
      'source',
      path.endsWith('.safetensors')
        ? `${path} is a single safetensors file: name its folder, which also has config.json and tokenizer.json.`
        : `${path} is not a GGUF file: it does not begin with the letters GGUF.`,
    );
  }
  if (source.sha256 !== undefined) {
    const digest = await hashFile(path);
    if (digest !== source.sha256) {
      throw new ModelError(
        'integrity',
        `${path} has the wrong content: its SHA-256 should be ${source.sha256} and is ${digest}. Replace the file or mend the pin.`,
      );
    }
  }
  return { source: path, name: publicName(source), format: 'gguf', path, bytes: entry.size };
}

async function safetensorsFolder(path: string, source: ModelSource): Promise<LocalModel> {
  const names = await readdir(path);
  const weights = names.filter((name) => name.endsWith('.safetensors'));
  const gguf = names.filter((name) => name.endsWith('.gguf'));
  const missing = ['config.json', 'tokenizer.json'].filter((name) => !names.includes(name));
  if (weights.length === 0) missing.push('*.safetensors');
  if (missing.length > 0) {
    throw new ModelError(
      'source',
      gguf.length > 0
        ? `${path} is a folder with GGUF files: name one of them, for example ${join(path, gguf[0]!)}.`
        : `The folder ${path} is not a safetensors model: ${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} missing.`,
    );
  }
  let bytes = 0;
  for (const name of weights) bytes += (await stat(join(path, name))).size;
  return { source: describeSource(source), name: publicName(source), format: 'safetensors', path, bytes };
}

// The cache ----------------------------------------------------------------------------------------------------------

/** What is written beside a cached file once its content was checked. */
interface Receipt {
  sha256: string;
  size: number;
  mtimeMs: number;
}

const receiptOf = (file: string) => `${file}.checked.json`;

async function noteChecked(file: string, sha256: string): Promise<void> {
  const { size, mtimeMs } = await stat(file);
  await onDisk(writeFile(receiptOf(file), JSON.stringify({ sha256, size, mtimeMs } satisfies Receipt)), file);
}

/**
 * Whether a cached file is whole. Its hash is computed again only when its size or time is not the noted one, so that a
 * start costs no pass over the weights.
 */
async function isWhole(file: string, sha256: string | undefined): Promise<boolean> {
  const entry = await stat(file).catch(() => undefined);
  if (!entry) return false;
  const receipt = await readFile(receiptOf(file), 'utf8')
    .then((text) => JSON.parse(text) as Receipt)
    .catch(() => undefined);
  if (!receipt) return false;
  const untouched = receipt.size === entry.size && receipt.mtimeMs === entry.mtimeMs;
  const digest = untouched ? receipt.sha256 : await hashFile(file);
  if (digest !== (sha256 ?? receipt.sha256)) return false;
  if (!untouched) await noteChecked(file, digest);
  return true;
}

async function hashFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function wheelFolder(source: ModelSource & { kind: 'pypi' }, context: Context): string {
  return join(context.cache, 'models', 'pypi', source.package.toLowerCase());
}

const memberFile = (source: ModelSource & { kind: 'pypi' }) => basename(source.member);

function hubFolder(source: ModelSource & { kind: 'hf' }, context: Context): string {
  return join(
    context.cache,
    'models',
    'hf',
    ...source.repository.split('/'),
    source.revision.replaceAll('/', '--'),
  );
}

async function cached(source: ModelSource, context: Context): Promise<LocalModel | undefined> {
  if (source.kind === 'pypi') {
    const { compareVersions } = await import('./pypi.ts');
    const folder = wheelFolder(source, context);
    const versions =
      source.version === undefined
        ? (await readdir(folder).catch(() => [])).sort(compareVersions).reverse()
        : [source.version];
    for (const version of versions) {
      const file = join(folder, version, memberFile(source));
      if (await isWhole(file, source.sha256)) return gguf(source, file);
    }
    return undefined;
  }
  if (source.kind === 'hf') {
    const folder = hubFolder(source, context);
    if (source.file === undefined) {
      if (await isComplete(folder)) return safetensorsFolder(folder, source);
    } else if (await isWhole(join(folder, source.file), source.sha256)) {
      return gguf(source, join(folder, source.file));
    }
    return cachedByHuggingFace(source, context);
  }
  return undefined;
}

async function gguf(source: ModelSource, file: string): Promise<LocalModel> {
  return {
    source: describeSource(source),
    name: publicName(source),
    format: 'gguf',
    path: file,
    bytes: (await stat(file)).size,
  };
}

/** Written last into the folder of a repository: every file of it is there. */
const completeNote = '.complete.json';

async function isComplete(folder: string): Promise<boolean> {
  return (await stat(join(folder, completeNote)).catch(() => undefined)) !== undefined;
}

/** A snapshot that huggingface_hub downloaded serves as well. */
async function cachedByHuggingFace(
  source: ModelSource & { kind: 'hf' },
  context: Context,
): Promise<LocalModel | undefined> {
  const hub = await import('./hub.ts');
  const snapshot = await hub.cachedSnapshot(
    await hub.hubSettings(context.env),
    source.repository,
    source.revision,
  );
  if (snapshot === undefined) return undefined;
  if (source.file === undefined) return safetensorsFolder(snapshot, source).catch(() => undefined);
  const file = join(snapshot, source.file);
  const there = (await stat(file).catch(() => undefined)) !== undefined;
  if (!there || (source.sha256 !== undefined && (await hashFile(file)) !== source.sha256)) return undefined;
  return gguf(source, file);
}

// Downloads ----------------------------------------------------------------------------------------------------------

/** One process downloads, the others wait and find it in the cache. */
async function exclusively(
  source: ModelSource,
  folder: string,
  context: Context,
  work: () => Promise<LocalModel>,
): Promise<LocalModel> {
  await onDisk(mkdir(folder, { recursive: true }), folder);
  let waited = false;
  const options = {
    waiting: () => {
      waited = true;
      context.progress.note(`Another process is downloading ${describeSource(source)}; waiting for it.`);
    },
    ...(context.signal ? { signal: context.signal } : {}),
  };
  return withLock(
    join(folder, '.lock'),
    async () => ((waited || !context.refresh) && (await cached(source, context))) || work(),
    options,
  ).catch((error) => {
    if (context.signal?.aborted && !(error instanceof ModelError)) {
      throw new ModelError('cancelled', 'The download was stopped; it goes on from there next time.', error);
    }
    throw error instanceof ModelError ? error : asDisk(error, folder);
  });
}

function asDisk(error: unknown, folder: string): unknown {
  return (error as NodeJS.ErrnoException).syscall === undefined
    ? error
    : new ModelError(
        'disk',
        `The cache folder ${folder} cannot be used (${(error as Error).message}).`,
        error,
      );
}

async function pullWheel(source: ModelSource & { kind: 'pypi' }, context: Context): Promise<LocalModel> {
  const folder = wheelFolder(source, context);
  return exclusively(source, folder, context, async () => {
    const [{ download }, { HttpClient }, { pipSettings }, { findWheel }] = await Promise.all([
      import('./download.ts'),
      import('./http.ts'),
      import('./pip.ts'),
      import('./pypi.ts'),
    ]);
    const settings = pipSettings(context.env);
    const client = new HttpClient({ ...settings, ...httpOptions(context) }, context.env);
    try {
      const wheel = await findWheel(source.package, source.version, settings, client);
      const target = join(folder, wheel.version, memberFile(source));
      await onDisk(mkdir(dirname(target), { recursive: true }), target);
      if (wheel.url.startsWith('file:')) {
        await extract(fileURLToPath(wheel.url), source, target);
      } else {
        const archive = join(folder, wheel.filename);
        await download({
          url: wheel.url,
          file: archive,
          label: wheel.filename,
          client,
          progress: context.progress,
          ...(wheel.sha256 === undefined ? {} : { sha256: wheel.sha256 }),
          ...(context.signal ? { signal: context.signal } : {}),
        });
        await extract(archive, source, target).finally(() => rm(archive, { force: true }));
      }
      return gguf(source, target);
    } finally {
      await client.close();
    }
  });
}

/** Unpacks the one member that is wanted, checks it, and puts it in place. */
async function extract(
  archive: string,
  source: ModelSource & { kind: 'pypi' },
  target: string,
): Promise<void> {
  const [{ requireSpace, wrongHash }, { ZipFile }] = await Promise.all([
    import('./download.ts'),
    import('./zip.ts'),
  ]);
  const zip = await ZipFile.open(archive);
  const part = `${target}.part`;
  try {
    const member = zip.members.get(source.member);
    if (!member) {
      const others = [...zip.members.keys()].filter((name) => /\.(gguf|safetensors)$/i.test(name));
      throw new ModelError(
        'not_found',
        `${basename(archive)} has no file ${source.member}${others.length > 0 ? `, but ${others.slice(0, 5).join(', ')}` : ''}. Mend the part after # in the model source.`,
      );
    }
    await requireSpace(target, member.size);
    const hash = createHash('sha256');
    const handle = await onDisk(open(part, 'w'), part);
    try {
      for await (const chunk of zip.read(member)) {
        hash.update(chunk);
        await onDisk(handle.write(chunk), part);
      }
      await onDisk(handle.sync(), part);
    } finally {
      await handle.close();
    }
    const digest = hash.digest('hex');
    if (source.sha256 !== undefined && digest !== source.sha256)
      throw wrongHash(source.member, source.sha256, digest);
    await onDisk(rename(part, target), target);
    await noteChecked(target, digest);
  } finally {
    await zip.close();
    await rm(part, { force: true });
  }
}

async function pullHub(source: ModelSource & { kind: 'hf' }, context: Context): Promise<LocalModel> {
  const folder = hubFolder(source, context);
  const hub = await import('./hub.ts');
  const settings = await hub.hubSettings(context.env);
  if (settings.offline) {
    throw new ModelError(
      'not_found',
      `${describeSource(source)} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it. Unset it once, or copy the model here and name its path.`,
    );
  }
  return exclusively(source, folder, context, async () => {
    const [{ download }, { HttpClient }] = await Promise.all([import('./download.ts'), import('./http.ts')]);
    const client: HttpClient = new HttpClient(httpOptions(context), context.env);
    try {
      const revision = await hub.readRevision(settings, source.repository, source.revision, client);
      const wanted =
        source.file === undefined
          ? hub.safetensorsFiles(source.repository, revision.files)
          : [revision.files.find((file) => file.name === source.file) ?? missingFile(source, revision.files)];
      for (const file of wanted) {
        const target = join(folder, file.name);
        const sha256 = source.sha256 ?? file.sha256;
        if (sha256 !== undefined && (await isWhole(target, sha256))) continue;
        const digest = await download({
          url: hub.fileUrl(settings, source.repository, revision.commit, file.name),
          headers: hub.hubHeaders(settings),
          file: target,
          label: file.name,
          client,
          progress: context.progress,
          ...(sha256 === undefined ? {} : { sha256 }),
          ...(context.signal ? { signal: context.signal } : {}),
        });
        await noteChecked(target, digest);
      }
      if (source.file !== undefined) return gguf(source, join(folder, source.file));
      await onDisk(
        writeFile(join(folder, completeNote), JSON.stringify({ commit: revision.commit })),
        folder,
      );
      return safetensorsFolder(folder, source);
    } finally {
      await client.close();
    }
  });
}

function missingFile(source: ModelSource & { kind: 'hf' }, files: Array<{ name: string }>): never {
  const others = files.map((file) => file.name).filter((name) => name.endsWith('.gguf'));
  throw new ModelError(
    'not_found',
    `hf:${source.repository} has no file ${source.file}${others.length > 0 ? `, but ${others.slice(0, 8).join(', ')}` : ''}. Mend the model source.`,
  );
}

function httpOptions(context: Context): HttpSettings {
  return { ...context.http, ...(context.signal ? { signal: context.signal } : {}) };
}
