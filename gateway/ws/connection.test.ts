import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer, type TestServerOptions, until } from '../http/testing.ts';
import { openSocket, type TestSocket } from './testing.ts';

const realtime = '/v1/realtime?model=mock/base';
const responses = '/v1/responses';
const create = { type: 'response.create', model: 'mock/base', input: 'Hello' };

let server: TestServer;
afterEach(() => server.close());

async function start(options: TestServerOptions = {}): Promise<void> {
  server = await startTestServer(options);
}

/** Settings of the sockets. */
const limits = (websocket: object, rest: object = {}): TestServerOptions => ({
  change: (config) => {
    Object.assign(config.server.websocket, websocket);
    Object.assign(config.server, rest);
  },
});

/** The connection under a client's socket. */
const wire = (test: TestSocket) => (test.socket as unknown as { _socket: Socket })._socket;

/** A number that /metrics shows. */
async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(name))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Asks both APIs for one response and waits for its end. */
async function works(socket: TestSocket, path: string): Promise<void> {
  if (path === realtime) {
    const content = [{ type: 'input_text', text: 'Hello' }];
    socket.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
    socket.send({ type: 'response.create' });
    expect((await socket.next('response.done')).response.status).toBe('completed');
  } else {
    socket.send(create);
    expect((await socket.next('response.completed')).response.status).toBe('completed');
  }
}

describe('who may open one', () => {
  const withKey = { env: { COLOPHON_API_KEY: 'a-key' } };
  const bearer = { authorization: 'Bearer a-key' };

  test.each([
    ['no key', {}],
    ['a wrong key', { headers: { authorization: 'Bearer b-key' } }],
    ['a wrong key among the subprotocols', { protocols: ['realtime', 'openai-insecure-api-key.b-key'] }],
    ['an empty key among the subprotocols', { protocols: ['realtime', 'openai-insecure-api-key.'] }],
  ])('%s is a 401', async (_name, options) => {
    await start(withKey);
    for (const path of [realtime, responses]) {
      await expect(openSocket(server, path, options)).rejects.toMatchObject({ status: 401 });
    }
  });

  test('a key in a subprotocol is for sockets alone', async () => {
    await start(withKey);
    const { status } = await fetch(`${server.url}/v1/models`, {
      headers: { 'sec-websocket-protocol': 'realtime, openai-insecure-api-key.a-key' },
    });
    expect(status).toBe(401);
  });

  test('pages of other origins are refused, with a key and without', async () => {
    for (const options of [withKey, {}]) {
      await start({
        ...options,
        change: (config) => {
          config.access.allowed_origins = ['https://app.example.org'];
        },
      });
      const open = (origin: string) =>
        openSocket(server, responses, { headers: { ...('env' in options ? bearer : {}), origin } });
      for (const origin of ['https://evil.example', 'null', 'http://localhost.evil.example']) {
        await expect(open(origin)).rejects.toMatchObject({ status: 403 });
      }
      for (const origin of ['https://app.example.org', 'http://localhost:3000', server.url]) {
        (await open(origin)).socket.terminate();
      }
      if (options === withKey) await server.close();
    }
  });

  test('clients that are no browsers may name the server itself as their origin', async () => {
    await start(withKey);
    const named = { ...bearer, host: 'box.example:81', origin: 'http://box.example:81' };
    (await openSocket(server, responses, { headers: named })).socket.terminate();
    await expect(
      openSocket(server, responses, { headers: { ...named, host: 'other.example' } }),
    ).rejects.toMatchObject({ status: 403 });
  });

  test('a name that is not this machine is refused while there is no key', async () => {
    await start();
    const headers = { host: 'evil.example' };
    await expect(openSocket(server, responses, { headers })).rejects.toMatchObject({ status: 403 });
  });

  test('a tenant has so many and no more', async () => {
    await start(limits({ max_per_tenant: 2 }));
    const [first] = [await openSocket(server, responses), await openSocket(server, realtime)];
    await expect(openSocket(server, responses)).rejects.toMatchObject({ status: 429 });
    expect(await metric('colophon_websockets_open')).toBe(2);
    first!.socket.close();
    await first!.end();
    await until(() => server.logged.some((line) => line.msg === 'socket closed'));
    await works(await openSocket(server, responses), responses);
  });

  test('who does not ask for a socket is told to', async () => {
    await start();
    const answer = await fetch(server.url + realtime);
    expect(answer.status).toBe(426);
    expect(await answer.json()).toMatchObject({ error: { code: 'upgrade_required' } });
  });

  test('who asks for a key for one session is told what to do instead', async () => {
    await start();
    const { status, body } = await server.post('/v1/realtime/client_secrets', {
      session: { type: 'realtime' },
    });
    expect(status).toBe(400);
    expect(body.error).toMatchObject({
      code: 'unsupported_endpoint',
      message: expect.stringContaining('subprotocol'),
    });
  });

  test('no other route takes sockets', async () => {
    await start();
    for (const path of ['/v1/models', '/health', '/nothing', '/%zz']) {
      await expect(openSocket(server, path)).rejects.toMatchObject({ status: 400 });
    }
  });

  test.each([
    ['no model', '/v1/realtime', 'missing_required_parameter'],
    ['an unknown model', '/v1/realtime?model=none', 'model_not_found'],
    ['two models', '/v1/realtime?model=a&model=b', 'missing_required_parameter'],
  ])('%s is told in an event, and the socket is closed for good', async (_name, path, code) => {
    await start();
    const socket = await openSocket(server, path);
    expect((await socket.next('error')).error).toMatchObject({ code, param: 'model' });
    expect((await socket.end()).code).toBe(1008);
  });
});

test("an offer of HTTP/2, as Java's client makes it, is answered in HTTP/1.1", async () => {
  await start({ reply: () => 'Fine.' });
  // Longer than one read: it comes after the offer was seen.
  const body = JSON.stringify({
    model: 'mock/base',
    messages: [{ role: 'user', content: 'Hello' }],
    user: 'x'.repeat(200_000),
  });
  for (const headers of [{ connection: 'Upgrade, HTTP2-Settings' }, { connection: 'Upgrade' }]) {
    const asked = httpRequest(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        ...headers,
        upgrade: 'h2c',
        'http2-settings': 'AAEAAEAAAAIAAAAB',
        'content-type': 'application/json',
      },
    });
    asked.end(body);
    const [response] = await once(asked, 'response');
    expect(response.statusCode).toBe(200);
    let text = '';
    for await (const chunk of response) text += chunk;
    expect(JSON.parse(text).choices[0].message.content).toBe('Fine.');
  }
});

describe.each([realtime, responses])('what %s makes of bad input', (path) => {
  const deep = (open: string, close: string) => open.repeat(100_000) + close.repeat(100_000);
  const keys = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`key${index}`, index]));

  test.each<[string, string | Uint8Array]>([
    ['no JSON', 'hello'],
    ['half of it', '{"type": "response.create"'],
    ['nothing', ''],
    ['a list', '[]'],
    ['null', 'null'],
    ['a number', '1e999'],
    ['a string', '"response.create"'],
    ['lists in lists', deep('[', ']')],
    ['an unclosed depth', '['.repeat(100_000)],
    ['an event of no type', '{}'],
    ['a type that is none', '{"type": {"toString": 1}}'],
    ['an unknown event', '{"type": "response.explode"}'],
    ['the name of a method', '{"type": "constructor"}'],
    ['a prototype', '{"__proto__": {"type": "response.create"}}'],
    ['a flood of keys', JSON.stringify({ type: 'nothing', ...keys })],
    [
      'a depth in a field',
      `{"type": "response.create", "input": ${deep('[', ']')}, "response": ${deep('[', ']')}}`,
    ],
    ['a binary message', new Uint8Array([123, 125])],
  ])('%s is an error event, and the socket goes on', async (_name, data) => {
    await start();
    const socket = await openSocket(server, path);
    socket.socket.send(data);
    const event = await socket.next('error');
    expect(event.error.type).toBe('invalid_request_error');
    expect(event.error.message.length).toBeLessThan(500);
    await works(socket, path);
    expect(server.logged.filter((line) => Number(line.level) >= 50)).toEqual([]);
    socket.socket.terminate();
  });

  test.each<[string, number, (socket: TestSocket) => void]>([
    ['a message that is too large', 1009, ({ socket }) => socket.send('x'.repeat(5000))],
    [
      'fragments that are too large together',
      1009,
      ({ socket }) => {
        for (let count = 0; count < 10; count++) socket.send('x'.repeat(500), { fin: false });
      },
    ],
    [
      'a message of very many fragments',
      1008,
      ({ socket }) => {
        for (let count = 0; count < 1100; count++) socket.send('', { fin: false });
      },
    ],
    [
      'text that is not UTF-8',
      1007,
      ({ socket }) => socket.send(Buffer.from([0xc3, 0x28]), { binary: false }),
    ],
    ['a frame without a mask', 1002, (socket) => wire(socket).write(Buffer.from([0x81, 0x02, 0x7b, 0x7d]))],
    ['an opcode that is none', 1002, (socket) => wire(socket).write(Buffer.from([0x83, 0x80, 0, 0, 0, 0]))],
    [
      'a continuation of nothing',
      1002,
      (socket) => wire(socket).write(Buffer.from([0x80, 0x80, 0, 0, 0, 0])),
    ],
    [
      'a length that nobody has',
      1009,
      (socket) => wire(socket).write(Buffer.from([0x81, 0xff, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
    ],
  ])('%s closes the socket (%i)', async (_name, code, send) => {
    await start(limits({ message_limit: 4096 }));
    const socket = await openSocket(server, path);
    send(socket);
    expect((await socket.end()).code).toBe(code);
    await works(await openSocket(server, path), path);
    expect(server.logged.filter((line) => Number(line.level) >= 50)).toEqual([]);
  });

  test('noise instead of frames closes it', async () => {
    await start();
    const { port, hostname } = new URL(server.url);
    const raw = connect(Number(port), hostname);
    raw.write(
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    );
    await once(raw, 'data');
    raw.write('this is no frame at all, whatever one makes of it');
    raw.resume();
    await once(raw, 'close');
    await until(() => server.logged.some((line) => line.msg === 'socket closed'));
  });

  test.each([
    ['a key that is none', 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short'],
    ['no key', 'Sec-WebSocket-Version: 13'],
    ['a version that is none', 'Sec-WebSocket-Version: 99\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='],
  ])('a handshake with %s is a 400 and leaves nothing', async (_name, headers) => {
    await start();
    const { port, hostname } = new URL(server.url);
    const raw = connect(Number(port), hostname);
    raw.write(
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${headers}\r\n\r\n`,
    );
    const [data] = await once(raw, 'data');
    expect(String(data)).toContain('HTTP/1.1 400');
    raw.destroy();
    expect(await metric('colophon_websockets_open')).toBe(0);
    expect(await metric('colophon_http_requests_in_flight')).toBe(1);
  });
});

describe('a client that', () => {
  /** Longer than what the system keeps for one that does not read. */
  const endless = {
    context: 4_000_000,
    reply: () => new Array(3_000_000).fill(100) as number[],
    tokensPerStep: 8,
  };

  test('takes nothing for too long is cut', async () => {
    await start({ ...endless, ...limits({ send_limit: 2 ** 30 }, { stalled_client_seconds: 0.1 }) });
    const socket = await openSocket(server, responses);
    wire(socket).pause();
    socket.send(create);
    await until(() => server.logged.some((line) => String(line.msg).includes('it took nothing')));
    await until(() => server.backend.running === 0);
    socket.socket.terminate();
  });

  test('lets more gather than it may is cut', async () => {
    await start({ ...endless, ...limits({ send_limit: 2 ** 16 }) });
    const socket = await openSocket(server, responses);
    wire(socket).pause();
    socket.send(create);
    await until(() => server.logged.some((line) => String(line.msg).includes('bytes wait for it')));
    await until(() => server.backend.running === 0);
    socket.socket.terminate();
  });

  test('does not answer pings is cut, and what it asked for ends', async () => {
    await start(limits({ ping_seconds: 0.1 }));
    const socket = await openSocket(server, responses, { autoPong: false });
    server.backend.pause();
    socket.send(create);
    expect((await socket.end()).code).toBe(1006);
    await until(() => server.backend.running === 0);
  });

  test('answers them stays', async () => {
    // A process that is held up between a ping and its answer, which both are its own, must not be for so long.
    await start(limits({ ping_seconds: 1 }));
    const socket = await openSocket(server, responses);
    for (let count = 0; count < 3; count++) await once(socket.socket, 'ping');
    await works(socket, responses);
    socket.socket.terminate();
  });

  test('asks for nothing is let go, with a code after which it comes back', async () => {
    await start(limits({ idle_seconds: 0.1 }));
    const socket = await openSocket(server, realtime);
    expect((await socket.end()).code).toBe(1001);
  });

  test('waits for a response is not idle', async () => {
    // What it asks for has to come before that.
    await start(limits({ idle_seconds: 1 }));
    const socket = await openSocket(server, responses);
    server.backend.pause();
    socket.send(create);
    await until(() => server.backend.running === 1);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    server.backend.resume();
    await socket.next('response.completed');
    expect((await socket.end()).code).toBe(1001);
  });

  test('was there too long is told so; what it asked for is finished first', async () => {
    await start(limits({ lifetime_seconds: 1 }));
    const socket = await openSocket(server, responses);
    server.backend.pause();
    socket.send(create);
    const event = await socket.next('error');
    expect(event).toMatchObject({ status: 400, error: { code: 'websocket_connection_limit_reached' } });
    socket.send({ ...create, stream_id: 'late' });
    expect(await socket.next('error')).toMatchObject({
      stream_id: 'late',
      error: { code: 'websocket_connection_limit_reached' },
    });
    server.backend.resume();
    await socket.next('response.completed');
    expect((await socket.end()).code).toBe(1001);
  });
});

describe('when the server stops', () => {
  test('sockets that wait for nothing are closed, others once their response is done', async () => {
    await start();
    const idle = await openSocket(server, realtime);
    const busy = await openSocket(server, responses);
    await idle.next('session.created');
    server.backend.pause();
    busy.send(create);
    await until(() => server.backend.running === 1);
    const closed = server.close();
    expect((await idle.end()).code).toBe(1012);
    busy.send({ ...create, stream_id: 'late' });
    expect((await busy.next('error')).error.code).toBe('shutting_down');
    server.backend.resume();
    await busy.next('response.completed');
    expect((await busy.end()).code).toBe(1012);
    await closed;
  });

  test('what cannot be waited for is ended, and says so', async () => {
    await start(limits({}, { drain_seconds: 0.1 }));
    const sockets = [await openSocket(server, responses), await openSocket(server, realtime)];
    server.backend.pause();
    sockets[0]!.send(create);
    sockets[1]!.send({ type: 'response.create', response: { instructions: 'Speak.' } });
    await until(() => server.backend.running === 2);
    const closed = server.close();
    expect((await sockets[0]!.next('error')).error.code).toBe('shutting_down');
    expect((await sockets[1]!.next('response.done')).response).toMatchObject({
      status: 'failed',
      status_details: { type: 'failed', error: { code: 'shutting_down' } },
    });
    for (const socket of sockets) expect((await socket.end()).code).toBe(1012);
    await closed;
  });

  test('a client that does not answer the farewell holds up nobody', async () => {
    await start();
    const socket = await openSocket(server, responses);
    wire(socket).pause();
    await server.close();
    socket.socket.terminate();
  });
});

test('200 sockets that are closed at random leave nothing', async () => {
  await start({ reply: () => 'x'.repeat(400) });
  const random = (below: number, seed: number) => ((seed * 2654435761) >>> 8) % below;
  await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const path = index % 2 ? realtime : responses;
      const socket = await openSocket(server, path);
      const asked = random(3, index);
      for (let count = 0; count <= asked; count++) {
        socket.send(
          path === responses
            ? { ...create, stream_id: `lane${count}` }
            : { type: 'response.create', response: { conversation: 'none', instructions: 'Speak.' } },
        );
      }
      const events = random(60, index + 7);
      await until(() => socket.events.length >= events || socket.closed !== undefined);
      if (index % 3 === 0) socket.socket.terminate();
      else if (index % 3 === 1) socket.socket.close();
      else wire(socket).destroy();
      await socket.end();
    }),
  );
  await until(() => server.backend.running === 0);
  await until(() => server.logged.filter((line) => line.msg === 'socket closed').length === 200);
  expect(await metric('colophon_websockets_open')).toBe(0);
  expect(await metric('colophon_generations_running')).toBe(0);
  // The one that asks.
  expect(await metric('colophon_http_requests_in_flight')).toBe(1);
  const connections = await new Promise<number>((resolve) =>
    server.app.server.getConnections((_error, count) => resolve(count)),
  );
  expect(connections).toBeLessThanOrEqual(2);
  await works(await openSocket(server, responses), responses);
});
