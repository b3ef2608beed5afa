import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Type } from 'typebox';
import { afterAll, expect, test } from 'vitest';
import { ConfigError, loadConfig } from './config/index.ts';
import type { Plugin } from './contract/index.ts';
import { createMockBackend, mockPlugin } from './host/testing/mock_backend.ts';
import { startServer } from './main.ts';

const home = mkdtempSync(join(tmpdir(), 'colophon-main-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const log = pino({ level: 'silent' });
const configOf = (env: Record<string, string> = {}) =>
  loadConfig({ env: { COLOPHON_CONFIG: '/dev/null', COLOPHON_HOME: home, COLOPHON_PORT: '0', ...env } });

test('a signal closes the server and its plugins', async () => {
  const closed: string[] = [];
  const backend = createMockBackend();
  backend.close = async () => void closed.push('mock');
  const stop = new AbortController();
  const server = await startServer(configOf(), { plugins: [mockPlugin(backend)], log, signal: stop.signal });
  expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect((await fetch(`${server.url}/health`)).status).toBe(200);
  stop.abort();
  await server.close();
  expect(closed).toEqual(['mock']);
  await expect(fetch(`${server.url}/health`)).rejects.toThrow();
});

test('a port in use is a sentence with the remedy, and the plugins are closed', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  const closed: string[] = [];
  const backend = createMockBackend();
  backend.close = async () => void closed.push('mock');
  const started = startServer(configOf({ COLOPHON_PORT: String(port) }), {
    plugins: [mockPlugin(backend)],
    log,
  });
  await expect(started).rejects.toThrow(
    `Port ${port} on 127.0.0.1 is in use. Stop what uses it, or choose another: --port ${port + 1} (or COLOPHON_PORT).`,
  );
  await expect(started).rejects.toBeInstanceOf(ConfigError);
  expect(closed).toEqual(['mock']);
  other.close();
});

test('a public address without a key is refused before any plugin starts', async () => {
  const started: string[] = [];
  const plugin: Plugin = {
    name: 'heavy',
    contract: 1,
    config: Type.Object({}),
    provides: [],
    setup: () => void started.push('heavy'),
  };
  await expect(
    startServer(configOf({ COLOPHON_HOST: '0.0.0.0' }), { plugins: [plugin], log }),
  ).rejects.toThrow('Refusing to listen on 0.0.0.0 without an API key');
  expect(started).toEqual([]);
});

test('routes of plugins stand behind the same checks, in their own scope', async () => {
  const plugin: Plugin = {
    name: 'extra',
    contract: 1,
    config: Type.Object({}),
    provides: [],
    setup(host) {
      host.routes((app) => {
        app.addHook('onSend', async (_request, reply) => void reply.header('x-extra', 'yes'));
        app.get('/extra', async () => ({ hello: 'there' }));
        app.get('/extra/broken', async () => {
          throw new Error('inner detail');
        });
      });
    },
  };
  const config = configOf({ COLOPHON_API_KEY: 'key' });
  const server = await startServer(config, { plugins: [mockPlugin(createMockBackend()), plugin], log });
  try {
    expect((await fetch(`${server.url}/extra`)).status).toBe(401);
    const headers = { authorization: 'Bearer key' };
    const answer = await fetch(`${server.url}/extra`, { headers });
    expect(await answer.json()).toEqual({ hello: 'there' });
    expect(answer.headers.get('x-extra')).toBe('yes');
    expect((await fetch(`${server.url}/v1/models`, { headers })).headers.get('x-extra')).toBeNull();
    const broken = await fetch(`${server.url}/extra/broken`, { headers });
    expect(broken.status).toBe(500);
    expect(await broken.text()).not.toContain('inner detail');
  } finally {
    await server.close();
  }
});
