import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { Type } from 'typebox';
import { afterAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../config/index.ts';
import type { Host, Plugin, PluginHooks } from '../contract/index.ts';
import { firstParty } from './first_party.ts';
import { PluginHost } from './host.ts';
import { loadPlugins } from './load_plugins.ts';
import { createMockBackend, mockPlugin } from './testing/mock_backend.ts';

const folder = mkdtempSync(join(tmpdir(), 'colophon-host-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function configOf(source: string) {
  const path = join(folder, `${files++}.yaml`);
  writeFileSync(path, source);
  return loadConfig({ env: {}, file: path });
}

const errors: string[] = [];
const log = {
  debug() {},
  info() {},
  warn() {},
  error: (_fields: object, message: string) => void errors.push(message),
};

function hostOf(source = '') {
  return new PluginHost({ config: configOf(source), log, metrics: new Registry() });
}

function plugin(name: string, changes: Partial<Plugin> = {}): Plugin {
  return { name, contract: 1, config: Type.Object({}), provides: [], setup() {}, ...changes };
}

describe('the life of plugins', () => {
  test('is setup, ready, drain in order and close in reverse', async () => {
    const calls: string[] = [];
    const recorded = (name: string) =>
      plugin(name, {
        setup(): PluginHooks {
          calls.push(`setup ${name}`);
          return {
            ready: () => void calls.push(`ready ${name}`),
            drain: async () => void calls.push(`drain ${name}`),
            close: () => void calls.push(`close ${name}`),
          };
        },
      });
    const host = hostOf();
    await host.setup([recorded('a'), recorded('b')]);
    await host.ready();
    await host.drain();
    await host.close();
    await host.close();
    expect(calls).toEqual([
      'setup a',
      'setup b',
      'ready a',
      'ready b',
      'drain a',
      'drain b',
      'close b',
      'close a',
    ]);
  });

  test('one that fails in setup is named, and those before it are closed', async () => {
    const closed: string[] = [];
    const host = hostOf();
    const first = plugin('first', { setup: () => ({ close: () => void closed.push('first') }) });
    const second = plugin('second', {
      setup() {
        throw new Error('The disk is full.');
      },
    });
    await expect(host.setup([first, second])).rejects.toThrow('Plugin "second": The disk is full.');
    expect(closed).toEqual(['first']);
    expect(host.all('backend')).toEqual([]);
  });

  test('one that fails to close does not keep the others from it', async () => {
    const closed: string[] = [];
    const host = hostOf();
    await host.setup([
      plugin('first', { setup: () => ({ close: () => void closed.push('first') }) }),
      plugin('second', {
        setup: () => ({
          close() {
            throw new Error('stuck');
          },
        }),
      }),
    ]);
    await host.close();
    expect(closed).toEqual(['first']);
    expect(errors.at(-1)).toBe('Plugin "second" failed in close.');
  });
});

describe('what a plugin may do', () => {
  test('it offers what it says it provides, and later plugins see it', async () => {
    const backend = createMockBackend();
    const host = hostOf();
    let seen = 0;
    await host.setup([
      mockPlugin(backend),
      plugin('later', {
        setup(given: Host) {
          seen = given.all('backend').length;
        },
      }),
    ]);
    expect(seen).toBe(1);
    expect(host.all('backend')).toEqual([backend]);
    await host.close();
  });

  test.each<[string, Plugin, string]>([
    [
      'offering what it does not list',
      plugin('sly', { setup: (host) => host.provide('backend', createMockBackend()) }),
      'Plugin "sly": it provides a backend but does not list "backend" under provides',
    ],
    [
      'listing what it does not offer',
      plugin('lazy', { provides: ['backend'] }),
      'Plugin "lazy": it lists "backend" under provides but its setup offered none.',
    ],
    [
      'another contract',
      plugin('old', { contract: 0 as 1 }),
      'The plugin "old" was built for contract 0, this is contract 1.',
    ],
  ])('%s is refused', async (_name, wrong, message) => {
    await expect(hostOf().setup([wrong])).rejects.toThrow(message);
  });

  test('registering after setup is refused', async () => {
    let kept: Host | undefined;
    const host = hostOf();
    await host.setup([
      plugin('late', {
        setup(given) {
          kept = given;
        },
      }),
    ]);
    expect(() => kept!.routes(() => {})).toThrow('routes() was called after setup had ended');
  });

  test('its section is checked with its own schema, at its place in the file', async () => {
    const wanted = plugin('strict', {
      config: Type.Object({ depth: Type.Integer({ minimum: 1, default: 3 }) }),
    });
    await expect(hostOf('plugins:\n  strict:\n    depth: 0\n').setup([wanted])).rejects.toThrow(
      '.yaml:3:12: plugins.strict.depth must be an integer, 1 or more, but is 0.',
    );
    const given: unknown[] = [];
    const recording = { ...wanted, setup: (_host: Host, config: unknown) => void given.push(config) };
    await hostOf('plugins: { strict: }\n').setup([recording]);
    expect(given).toEqual([{ depth: 3 }]);
  });

  test('the same plugin twice is refused', async () => {
    await expect(hostOf().setup([plugin('one'), plugin('one')])).rejects.toThrow('configured twice');
  });
});

describe('finding plugins', () => {
  const write = (name: string, source: string) => {
    const path = join(folder, name);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'index.mjs'), source);
    return `./${name}/index.mjs`;
  };
  const off = Object.keys(firstParty)
    .map((name) => `  ${name}: { enabled: false }\n`)
    .join('');

  test('one of a path beside the file is loaded', async () => {
    const from = write(
      'good',
      "export default { name: 'good', contract: 1, config: { type: 'object', properties: {} }, provides: [], setup() {} };",
    );
    const plugins = await loadPlugins(configOf(`plugins:\n${off}  good: { from: ${from} }\n`));
    expect(plugins.map(({ name }) => name)).toEqual(['good']);
  });

  test('those that come with Colophon come without being asked for', async () => {
    expect((await loadPlugins(configOf(''))).map(({ name }) => name)).toEqual([
      'native',
      'datanet',
      'training',
      'attribution',
      'metering',
      'provenance',
    ]);
  });

  test.each<[string, () => string, RegExp]>([
    [
      'an unknown name',
      () => '  natve: {}\n',
      /:\d+:10: the plugin "natve" is not known\. Did you mean "native"\?/,
    ],
    [
      'a path that is not there',
      () => '  gone: { from: ./gone.mjs }\n',
      /The plugin "gone" cannot be loaded from .*gone\.mjs/,
    ],
    [
      'no plugin',
      () => `  none: { from: ${write('none', 'export default 1;')} }\n`,
      /"none" has no default export made by definePlugin/,
    ],
    [
      'another name',
      () =>
        `  mine: { from: ${write('other', "export default { name: 'other', contract: 1, config: {}, provides: [], setup() {} };")} }\n`,
      /configured as "mine" calls itself "other"/,
    ],
  ])('%s is refused with a sentence', async (_name, source, message) => {
    await expect(loadPlugins(configOf(`plugins:\n${off}${source()}`))).rejects.toThrow(message);
  });
});
