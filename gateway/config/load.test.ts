import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Type } from 'typebox';
import { afterAll, describe, expect, test } from 'vitest';
import { Bytes, parseBytes } from './bytes.ts';
import { ConfigError } from './error.ts';
import { loadConfig } from './load.ts';
import { installationPaths } from './paths.ts';
import { misspeltVariables } from './variables.ts';

const folder = mkdtempSync(join(tmpdir(), 'colophon-config-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function write(source: string): string {
  const path = join(folder, `${files++}.yaml`);
  writeFileSync(path, source);
  return path;
}

function failure(load: () => unknown): ConfigError {
  try {
    load();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return error as ConfigError;
  }
  throw new Error('It loaded.');
}

const native = Type.Object({
  model: Type.String({ default: 'default-model' }),
  adapter_dirs: Type.Array(Type.String(), { default: [] }),
  threads: Type.Optional(Type.Integer({ minimum: 1, maximum: 1024 })),
  precision: Type.Enum(['int8', 'float32'], { default: 'int8' }),
  kv_bytes: Bytes({ default: 2 ** 30 }),
  token: Type.Optional(Type.String({ secret: true, minLength: 4 })),
});

test('defaults alone make a configuration', () => {
  const config = loadConfig({ env: { COLOPHON_HOME: folder }, file: write('') });
  expect(config.server).toEqual({
    host: '127.0.0.1',
    port: 8080,
    body_limit: 8388608,
    drain_seconds: 30,
    stalled_client_seconds: 60,
    websocket: {
      message_limit: 8 * 2 ** 20,
      send_limit: 32 * 2 ** 20,
      ping_seconds: 30,
      idle_seconds: 900,
      lifetime_seconds: 3600,
      max_per_tenant: 1000,
      max_streams: 16,
    },
  });
  expect(config.text.special_tokens_in_content).toBe('plain');
  expect(config.plugin('native', native)).toEqual({
    model: 'default-model',
    adapter_dirs: [],
    precision: 'int8',
    kv_bytes: 2 ** 30,
  });
});

test('flags win over the environment, the environment over the file, the file over defaults', () => {
  const file = write(
    'server:\n  host: 127.0.0.2\n  port: 1001\nplugins:\n  native:\n    threads: 3\n    kv_bytes: 2GiB\n',
  );
  const env = { COLOPHON_PORT: '1002', COLOPHON_THREADS: '4' };
  const config = loadConfig({ file, env, flags: { threads: '5' } });
  expect(config.server.host).toBe('127.0.0.2');
  expect(config.server.port).toBe(1002);
  const section = config.plugin('native', native);
  expect(section.threads).toBe(5);
  expect(section.kv_bytes).toBe(2 * 2 ** 30);
  expect(config.origin(['server', 'host'])).toBe(`${file}:2:9`);
  expect(config.origin(['server', 'port'])).toBe('COLOPHON_PORT');
  expect(config.origin(['plugins', 'native', 'threads'])).toBe('--threads');
  expect(config.origin(['log', 'level'])).toBe('default');
});

test('every environment name of the documentation is read', () => {
  const config = loadConfig({
    file: write(''),
    env: {
      COLOPHON_HOME: '/h',
      COLOPHON_MODEL: '/m.gguf',
      COLOPHON_ADAPTER_DIRS: '/a:/b',
      COLOPHON_HOST: 'localhost',
      COLOPHON_PORT: '0',
      COLOPHON_THREADS: '2',
      COLOPHON_ISA: 'avx2',
      COLOPHON_PRECISION: 'float32',
      COLOPHON_KV_BYTES: '512MB',
      COLOPHON_ADAPTER_BYTES: '1GiB',
      COLOPHON_API_KEY: 'k',
    },
  });
  expect(config.paths).toEqual({ home: '/h', cache: '/h/cache', data: '/h/data', config: '/h' });
  expect(config.server).toMatchObject({ host: 'localhost', port: 0 });
  expect(config.access.api_key).toBe('k');
  const schema = Type.Object({ ...native.properties, isa: Type.String(), adapter_bytes: Bytes() });
  expect(config.plugin('native', schema)).toEqual({
    model: '/m.gguf',
    adapter_dirs: ['/a', '/b'],
    threads: 2,
    isa: 'avx2',
    precision: 'float32',
    kv_bytes: 512e6,
    adapter_bytes: 2 ** 30,
  });
});

test('the variable that was probably meant is named', () => {
  const env = { COLOPHON_ADPTER_DIRS: '/a', COLOPHON_PORT: '1', COLOPHON_BENCH_X: '', OTHER: '' };
  expect(misspeltVariables(env)).toEqual([
    'COLOPHON_ADPTER_DIRS is not a setting. Did you mean COLOPHON_ADAPTER_DIRS?',
  ]);
});

describe('what is wrong is said with its place', () => {
  test.each<[string, string, string]>([
    [
      'an unknown key',
      'server:\n  prot: 1\n',
      ':2:3: "prot" is not a setting of server. Did you mean "port"? Known: host, port,',
    ],
    ['an unknown section', 'sever: {}\n', ':1:1: "sever" is not a setting. Did you mean "server"?'],
    [
      'a wrong type',
      'server:\n  port: eighty\n',
      ':2:9: server.port must be an integer from 0 to 65535, but is "eighty".',
    ],
    [
      'out of range',
      'server: { port: 70000 }\n',
      ':1:17: server.port must be an integer from 0 to 65535, but is 70000.',
    ],
    [
      'a value that is none of the known',
      'log:\n  level: loud\n',
      ":2:10: log.level must be one of 'debug', 'info', 'warn', 'error', 'silent', but is \"loud\".",
    ],
    [
      'a size that is none',
      'server:\n  body_limit: much\n',
      ':2:15: server.body_limit must be a size such as "512MB", "2GiB" or a number of bytes, but is "much".',
    ],
    [
      'a size that is too small',
      'server:\n  body_limit: 1B\n',
      ':2:15: server.body_limit must be a size such as "512MB", "2GiB" or a number of bytes of at least 1024 bytes, but is 1.',
    ],
    [
      'an item of a list',
      'access:\n  allowed_hosts: [a, 7]\n',
      ':2:22: access.allowed_hosts[1] must be a string, but is 7.',
    ],
    ['a section that is no mapping', 'server: 8080\n', ':1:9: server must be an object, but is 8080.'],
    ['a list at the top', '- a\n', ':1:1: the file must hold settings'],
    ['broken YAML', 'server:\n  port: [1\n', 'this is not valid YAML'],
    ['a key given twice', 'log: {}\nlog: {}\n', ':2:1: this is not valid YAML: Map keys must be unique.'],
  ])('%s', (_name, source, message) => {
    const path = write(source);
    const error = failure(() => loadConfig({ file: path, env: {} }));
    expect(error.message).toContain(message);
    expect(error.message.startsWith(`${path}:`)).toBe(true);
    expect(error.file).toBe(path);
    expect(error.line).toBeGreaterThan(0);
    expect(error.exitCode).toBe(3);
  });

  test('in a plugin section', () => {
    const path = write('plugins:\n  native:\n    threds: 3\n');
    const config = loadConfig({ file: path, env: {} });
    expect(failure(() => config.plugin('native', native)).message).toContain(
      `${path}:3:5: "threds" is not a setting of plugins.native. Did you mean "threads"?`,
    );
  });

  test('in the environment and in flags, by name', () => {
    const file = write('');
    expect(failure(() => loadConfig({ file, env: { COLOPHON_PORT: 'http' } })).message).toBe(
      'COLOPHON_PORT must be an integer from 0 to 65535, but is "http".',
    );
    expect(failure(() => loadConfig({ file, env: {}, flags: { port: '-1' } })).message).toBe(
      '--port must be an integer from 0 to 65535, but is -1.',
    );
    const config = loadConfig({ file, env: { COLOPHON_THREADS: '0' } });
    expect(failure(() => config.plugin('native', native)).message).toBe(
      'COLOPHON_THREADS must be an integer from 1 to 1024, but is 0.',
    );
  });

  test('in the file, even where something else stands in front of it', () => {
    const file = write('server:\n  port: eighty\n');
    expect(failure(() => loadConfig({ file, env: { COLOPHON_PORT: '80' } })).message).toContain(
      ':2:9: server.port',
    );
    const config = loadConfig({
      file: write('plugins:\n  native:\n    threads: 0\n'),
      env: { COLOPHON_THREADS: '2' },
    });
    expect(failure(() => config.plugin('native', native)).message).toContain(':3:14: plugins.native.threads');
  });

  test('a secret is never repeated', () => {
    const config = loadConfig({ file: write('plugins: { native: { token: abc } }\n'), env: {} });
    expect(failure(() => config.plugin('native', native)).message).not.toContain('abc');
    const wrong = loadConfig({ file: write('plugins: { native: { token: 12345 } }\n'), env: {} });
    expect(failure(() => wrong.plugin('native', native)).message).not.toContain('12345');
  });

  test('a file that is not there', () => {
    expect(failure(() => loadConfig({ file: join(folder, 'none.yaml'), env: {} })).message).toBe(
      `The configuration file ${join(folder, 'none.yaml')} does not exist.`,
    );
    expect(failure(() => loadConfig({ env: { COLOPHON_CONFIG: folder } })).message).toContain('is a folder');
  });
});

test("the user's own file is found in COLOPHON_HOME", () => {
  const home = join(folder, 'home');
  mkdirSync(home);
  writeFileSync(join(home, 'colophon.yaml'), 'server: { port: 4242 }\n');
  expect(loadConfig({ env: { COLOPHON_HOME: home } }).server.port).toBe(4242);
});

test('sizes are read with decimal and binary units', () => {
  expect(parseBytes('2GiB')).toBe(2 ** 31);
  expect(parseBytes('512MB')).toBe(512e6);
  expect(parseBytes('1.5 kib')).toBe(1536);
  expect(parseBytes('77')).toBe(77);
  for (const text of ['', '-1', '1XB', 'GiB', '1ib', '1e3', '99999999999999TB'])
    expect(parseBytes(text)).toBeUndefined();
});

test('folders follow the XDG rules, relative ones ignored', () => {
  expect(installationPaths(undefined, { XDG_CACHE_HOME: '/c', XDG_DATA_HOME: 'relative' })).toEqual({
    home: join(homedir(), '.local/share/colophon'),
    data: join(homedir(), '.local/share/colophon'),
    cache: '/c/colophon',
    config: join(homedir(), '.config/colophon'),
  });
});
