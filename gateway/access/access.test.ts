import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigError, loadConfig } from '../config/index.ts';
import { startTestServer, type TestServer } from '../http/testing.ts';
import { checkBinding } from './access.ts';
import { callersByKey } from './callers.ts';
import { hostName, isLoopback } from './network.ts';

interface Asked {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

/** Unlike fetch, it sends the Host and Origin that it is told to. */
function ask(
  server: TestServer,
  path: string,
  headers: Record<string, string>,
  method = 'GET',
): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const asked = httpRequest(server.url + path, { method, headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (data) => {
        text += data;
      });
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    asked.on('error', reject);
    asked.end();
  });
}

describe('without a key', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({
      change: (config) => {
        config.access.allowed_hosts = ['Box.local'];
        config.access.allowed_origins = ['https://app.example.org'];
      },
    });
  });
  afterAll(() => server.close());

  test.each([
    'localhost',
    'localhost:8080',
    '127.0.0.1:1',
    '127.9.9.9',
    '[::1]:8080',
    'LOCALHOST',
    'box.local:99',
  ])('Host %s is answered', async (host) => {
    expect((await ask(server, '/v1/models', { host })).status).toBe(200);
  });

  test.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '192.168.0.1',
    '0.0.0.0',
    'localhost@evil.example',
    'evil.example:8080',
    'evil/localhost',
    'other.box.local',
  ])('Host %s is refused', async (host) => {
    for (const path of ['/v1/models', '/health', '/metrics', '/nothing']) {
      const { status, text } = await ask(server, path, { host });
      expect(status).toBe(403);
      expect(JSON.parse(text).error).toMatchObject({
        type: 'permission_error',
        code: 'host_not_allowed',
        param: null,
      });
    }
  });

  test.each([
    'http://localhost:3000',
    'http://127.0.0.1',
    'http://[::1]:5173',
    'https://app.example.org',
  ])('Origin %s is answered, and its page may read it', async (origin) => {
    const { status, headers } = await ask(server, '/v1/models', { host: 'localhost', origin });
    expect(status).toBe(200);
    expect(headers['access-control-allow-origin']).toBe(origin);
    const preflight = await ask(
      server,
      '/v1/chat/completions',
      {
        host: 'localhost',
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type, authorization',
      },
      'OPTIONS',
    );
    expect(preflight.status).toBe(204);
    expect(preflight.headers['access-control-allow-headers']).toBe('content-type, authorization');
  });

  test.each([
    'http://evil.example',
    'null',
    'http://localhost.evil.example',
    'file://',
    'chrome-extension://x',
    'localhost',
    'http://app.example.org',
  ])('Origin %s is refused', async (origin) => {
    const { status, headers, text } = await ask(server, '/v1/models', { host: 'localhost', origin });
    expect(status).toBe(403);
    expect(JSON.parse(text).error.code).toBe('origin_not_allowed');
    expect(headers['access-control-allow-origin']).toBeUndefined();
  });
});

describe('with a key', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ env: { COLOPHON_API_KEY: 'correct horse'.replace(' ', '-') } });
  });
  afterAll(() => server.close());

  test('whoever has it is answered, from anywhere', async () => {
    const authorization = 'Bearer correct-horse';
    expect((await ask(server, '/v1/models', { host: 'evil.example', authorization })).status).toBe(200);
    expect((await ask(server, '/v1/models', { authorization: 'bearer  correct-horse ' })).status).toBe(200);
    expect((await server.openai.models.list()).data.length).toBeGreaterThan(0);
  });

  test.each([
    [undefined, 'missing_api_key'],
    ['', 'missing_api_key'],
    ['Bearer', 'missing_api_key'],
    ['Basic correct-horse', 'missing_api_key'],
    ['correct-horse', 'missing_api_key'],
    ['Bearer correct-hors', 'invalid_api_key'],
    ['Bearer correct-horse2', 'invalid_api_key'],
    ['Bearer CORRECT-HORSE', 'invalid_api_key'],
  ])('%j is not answered', async (authorization, code) => {
    for (const path of ['/v1/models', '/metrics', '/', '/healthy', '/v1/nothing']) {
      const { status, headers, text } = await ask(
        server,
        path,
        authorization === undefined ? {} : { authorization },
      );
      expect(status).toBe(401);
      expect(headers['www-authenticate']).toBe('Bearer');
      expect(JSON.parse(text).error).toMatchObject({ type: 'authentication_error', code, param: null });
    }
  });

  test('probes need none', async () => {
    for (const path of ['/health', '/health/live', '/health/ready', '/health?x=1']) {
      expect((await ask(server, path, {})).status).toBe(200);
    }
  });

  test('the key is never logged', async () => {
    await ask(server, '/v1/models', { authorization: 'Bearer correct-horse' });
    expect(JSON.stringify(server.logged)).not.toContain('correct-horse');
  });
});

describe('with keys of tenants', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({
      env: { COLOPHON_API_KEY: 'operator-key' },
      change: (config) => {
        const key = { min_priority: 0, isolate: false };
        config.access.keys = [
          { ...key, key: 'press-key', tenant: 'press', min_priority: -2 },
          { ...key, key: 'other-press-key', tenant: 'press' },
          { ...key, key: 'bank-key', tenant: 'bank', isolate: true },
          { ...key, key: 'vault-key', tenant: 'vault', isolate: true },
        ];
      },
    });
  });
  afterAll(() => server.close());

  const routes: Array<[string, object]> = [
    ['/v1/chat/completions', { messages: [{ role: 'user', content: 'hi' }] }],
    ['/v1/completions', { prompt: 'hi' }],
  ];
  /** What reaches the backend, or the refusal. */
  const send = async (key: string, [path, body]: [string, object], more: object = {}) => {
    const { data } = await server.openai.models.list();
    const answer = await server.post(
      path,
      { model: data[0]!.id, max_tokens: 1, ...body, ...more },
      { authorization: `Bearer ${key}` },
    );
    return { answer, asked: server.backend.requests.at(-1)! };
  };

  test.each(routes)('%s is asked for by the tenant of its key', async (...route) => {
    for (const [key, tenant] of [
      ['operator-key', 'default'],
      ['press-key', 'press'],
      ['other-press-key', 'press'],
      ['bank-key', 'bank'],
    ] as const) {
      const { answer, asked } = await send(key, route);
      expect(answer.status).toBe(200);
      expect(asked).toMatchObject({ tenant, priority: 0 });
      expect(server.logged.at(-1)).toMatchObject({ tenant });
    }
    expect((await send('press-ke', route)).answer.status).toBe(401);
  });

  test.each(routes)('%s takes the priorities that the key allows', async (...route) => {
    expect((await send('press-key', route, { priority: -2 })).asked.priority).toBe(-2);
    expect((await send('bank-key', route, { priority: 7 })).asked.priority).toBe(7);
    expect((await send('operator-key', route, { priority: -9 })).asked.priority).toBe(-9);
    const { answer } = await send('other-press-key', route, { priority: -1 });
    expect(answer.status).toBe(403);
    expect(answer.body.error).toMatchObject({
      message: "'priority' is -1, but your key allows 0 or more; lower values go first.",
      type: 'permission_error',
      param: 'priority',
      code: 'priority_not_allowed',
    });
  });

  test('an isolated tenant has salts that no other can name', async () => {
    const salt = async (key: string, cache_salt?: string) =>
      (await send(key, routes[1]!, cache_salt === undefined ? {} : { cache_salt })).asked.cacheSalt;
    expect(await salt('press-key')).toBeUndefined();
    expect(await salt('press-key', 'a')).toBe('a');
    const own = await salt('bank-key');
    expect(await salt('bank-key')).toBe(own);
    const others = [await salt('bank-key', 'a'), await salt('vault-key'), await salt('vault-key', 'a')];
    expect(new Set([own, undefined, 'a', ...others]).size).toBe(6);
  });

  test('no key is ever logged', () => {
    const logged = JSON.stringify(server.logged);
    for (const key of ['press-key', 'bank-key', 'operator-key']) expect(logged).not.toContain(key);
  });
});

test('a key belongs to one tenant', () => {
  const key = { key: 'same', min_priority: 0, isolate: false };
  expect(() =>
    callersByKey({
      keys: [
        { ...key, tenant: 'a' },
        { ...key, tenant: 'b' },
      ],
    }),
  ).toThrow('access.keys[1].key is the same as another key; each key belongs to one tenant.');
});

describe('listening', () => {
  const config = (host: string, key?: string) =>
    loadConfig({
      env: { COLOPHON_CONFIG: '/dev/null', COLOPHON_HOST: host, ...(key ? { COLOPHON_API_KEY: key } : {}) },
    });

  test.each([
    '127.0.0.1',
    'localhost',
    '::1',
    '127.1.2.3',
    '::ffff:127.0.0.1',
  ])('on %s needs no key', (host) => {
    expect(() => checkBinding(config(host))).not.toThrow();
  });

  test.each([
    '0.0.0.0',
    '::',
    '192.168.1.5',
    'example.org',
    '1270.0.0.1',
    '127.evil.example',
  ])('on %s does', (host) => {
    expect(() => checkBinding(config(host))).toThrow(ConfigError);
    expect(() => checkBinding(config(host))).toThrow(
      `Refusing to listen on ${host} without an API key: everyone who reaches this address could use the server. Set COLOPHON_API_KEY, or listen on 127.0.0.1.`,
    );
    expect(() => checkBinding(config(host, 'k'))).not.toThrow();
    const keys = [{ key: 'k', tenant: 't', min_priority: 0, isolate: false }];
    expect(() => checkBinding({ ...config(host), access: { ...config(host).access, keys } })).not.toThrow();
  });
});

test('names of hosts are read without ports', () => {
  expect(hostName('Example.org:80')).toBe('example.org');
  expect(hostName('[::1]:80')).toBe('::1');
  for (const bad of [undefined, '', 'a b', 'a:b', 'a/b', '[::1', 'u@h'])
    expect(hostName(bad)).toBeUndefined();
  expect(isLoopback('[::1]')).toBe(true);
  expect(isLoopback('128.0.0.1')).toBe(false);
});
