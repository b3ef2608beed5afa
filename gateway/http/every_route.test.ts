/** What no route may answer with more than a clear 4xx: tried on every route that the app has, also on those to come. */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import attribution from '../../plugins/attribution/index.ts';
import datanet from '../../plugins/datanet/index.ts';
import metering from '../../plugins/metering/index.ts';
import { startTestServer, type TestServer } from './testing.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    context: 512,
    reply: () => 'Hello.',
    plugins: [datanet, attribution, metering],
  });
});
afterAll(() => server.close());

interface Route {
  method: string;
  url: string;
}

/** Every method of every route, its parameters filled in. */
function routes(): Route[] {
  const found: Route[] = [];
  const parents: string[] = [];
  for (const line of server.app.printRoutes({ commonPrefix: false }).split('\n')) {
    const match = /^([│ ]*)[├└]── (\S*)(?: \(([A-Z, ]+)\))?/.exec(line);
    if (!match) continue;
    const depth = match[1]!.length / 4;
    parents.length = depth;
    parents.push(match[2]!);
    const url = parents
      .join('')
      .replace(/\/?\*/, '/x')
      // Where routes name a parameter each in its way: all of them.
      .replace(/:[a-z_]+(\|:[a-z_]+)*/gi, 'x');
    for (const method of match[3]?.split(', ') ?? []) if (method !== 'HEAD') found.push({ method, url });
  }
  return found;
}

const withBody = () => routes().filter(({ method }) => !['GET', 'DELETE', 'OPTIONS'].includes(method));

async function send(
  { method, url }: Route,
  body?: string | Uint8Array<ArrayBuffer>,
  type = 'application/json',
) {
  const response = await fetch(server.url + url, {
    method,
    headers: body === undefined ? {} : { 'content-type': type },
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  return { status: response.status, text, headers: response.headers };
}

/** Whatever it does, it is no failure of the server; a refusal is a sentence in OpenAI's envelope. */
function clear(route: Route, what: string, { status, text }: { status: number; text: string }) {
  const label = `${route.method} ${route.url}, ${what}: ${status} ${text.slice(0, 300)}`;
  expect(status, label).toBeLessThan(500);
  if (status < 400) return;
  const { error } = JSON.parse(text) as { error: Record<string, unknown> };
  expect(Object.keys(error).sort(), label).toEqual(['code', 'message', 'param', 'type']);
  // OpenAI's own sentence about an unknown file ends with its id.
  expect(error.message, label).toMatch(/[.?]$|^No such File object: /);
}

test('the routes are found', () => {
  const all = routes().map(({ method, url }) => `${method} ${url}`);
  for (const one of [
    'POST /v1/chat/completions',
    'POST /tokenize',
    'GET /v1/models',
    'GET /v1/models/x',
    'GET /metrics',
    'PUT /datanets/x/examples/x/word',
  ])
    expect(all).toContain(one);
});

const flood = (count: number, key: (index: number) => string) =>
  `{${Array.from({ length: count }, (_, index) => `${JSON.stringify(key(index))}:1`).join(',')}}`;
const deep = (count: number, open: string, close: string, inner = '') =>
  open.repeat(count) + inner + close.repeat(count);

const bodies: Record<string, string | Uint8Array<ArrayBuffer>> = {
  nothing: '',
  null: 'null',
  'a list': '[]',
  'an empty object': '{}',
  'half an object': '{"model":',
  'no UTF-8': Uint8Array.from([0x7b, 0xff, 0x7d]),
  'deep lists': deep(100_000, '[', ']'),
  'deep objects': deep(50_000, '{"a":', '}', '1'),
  'deep messages': `{"model":"mock/base","messages":${deep(20_000, '[', ']')}}`,
  'a deep schema': `{"model":"mock/base","prompt":"x","messages":[{"role":"user","content":"x"}],"max_tokens":1,"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":${deep(20_000, '{"items":', '}', 'true')}}}}`,
  'a flood of keys': flood(200_000, (index) => `k${index}`),
  'a flood of one key': flood(100_000, () => 'model'),
  'keys of arrays': flood(100_000, (index) => String(index)),
  'a key of a megabyte': flood(1, () => 'k'.repeat(2 ** 20)),
  __proto__: '{"__proto__":{"model":"mock/base","prompt":"x"},"constructor":{"prototype":{"polluted":true}}}',
  'constructor as the model':
    '{"model":"constructor","prompt":"x","messages":[{"role":"user","content":"x"}]}',
  'everything of a wrong type':
    '{"model":[],"prompt":{},"messages":7,"input":false,"tools":"x","stream":{},"metadata":[],"file":1,"tokens":"x"}',
  'unpaired surrogates':
    '{"model":"\\ud800","prompt":"\\udfff","messages":[{"role":"user","content":"\\ud83d"}]}',
};

describe('every route that takes a body', () => {
  test.each(Object.keys(bodies))('%s', async (what) => {
    for (const route of withBody()) clear(route, what, await send(route, bodies[what]));
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test.each([
    'application/json\t',
    ' application/json ',
    'application/json ; charset=utf-8',
    'application/json;\tcharset=utf-8',
    'application/json\tx',
    'application/json x',
    'application/jsonx',
    'text/plain;application/json',
    'text/json',
    'application /json',
    '/',
    'json',
    'multipart/form-data',
    'multipart/form-data; boundary=',
    'multipart/form-data; boundary=x',
    'application/x-www-form-urlencoded',
    `application/${'x'.repeat(4000)}`,
  ])('the media type %j', async (type) => {
    const good = JSON.stringify({ model: 'mock/base', prompt: 'x', max_tokens: 1, tokens: [5] });
    for (const route of withBody()) clear(route, type, await sendRaw(route, good, type));
  });
});

/** As `send`, but with a media type that fetch would have put right. */
function sendRaw(
  { method, url }: Route,
  body: string,
  type: string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    let answer = '';
    socket.setEncoding('utf8').on('data', (data) => {
      answer += data;
    });
    socket.on('error', reject);
    socket.on('close', () => {
      const [head, ...rest] = answer.split('\r\n\r\n');
      resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(head!)?.[1]), text: rest.join('\r\n\r\n') });
    });
    socket.write(
      `${method} ${url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  });
}

describe('every route', () => {
  test.each([
    '?x=%00',
    '?after=__proto__&limit=-1&order=x',
    `?limit=${'9'.repeat(400)}`,
    `?${'a=1&'.repeat(2000)}`,
    '?a[__proto__][b]=1&limit[]=1',
    '?%E0%A4%A',
  ])('the query %j', async (query) => {
    for (const route of routes()) {
      const body = withBody().some((one) => one.url === route.url && one.method === route.method);
      clear(route, query, await send({ ...route, url: route.url + query }, body ? '{}' : undefined));
    }
  });

  test('a parameter of any kind', async () => {
    const values = [
      '__proto__',
      'constructor',
      '%00',
      '..%2f..%2fetc%2fpasswd',
      '%F0%9F%92%A9',
      'x'.repeat(900),
    ];
    for (const { method, url } of routes().filter((route) => /\/x(\/|$)/.test(route.url))) {
      for (const value of values) {
        const route = { method, url: url.replace(/\/x(?=\/|$)/, `/${value}`) };
        const body = !['GET', 'DELETE', 'OPTIONS'].includes(method);
        clear(route, value, await send(route, body ? '{}' : undefined));
      }
    }
  });

  test('a client that closes its half still gets its answer, one that sends half a body leaves nothing', async () => {
    const port = Number(new URL(server.url).port);
    for (const { method, url } of routes()) {
      const head = `${method} ${url} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
      const half = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      let answer = '';
      half.setEncoding('utf8').on('data', (data) => {
        answer += data;
      });
      half.on('error', () => {});
      const closed = new Promise((resolve) => half.on('close', resolve));
      half.on('end', () => half.end());
      half.end(`${head}Connection: close\r\nContent-Length: 2\r\n\r\n{}`);
      await closed;
      // Node takes a client whose half is closed for gone, unless its answer is ready at once: these are read from disk or by another
      // thread first.
      if (!/^\/(docs\/scalar\.js|admin\/|v1\/(receipts|usage|payouts))/.test(url))
        expect(answer, `${method} ${url}`).toMatch(/^HTTP\/1\.1 [234]/);
      const short = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      short.on('error', () => {});
      const gone = new Promise((resolve) => short.on('close', resolve));
      short.on('end', () => short.end()).resume();
      short.end(`${head}Content-Length: 20\r\n\r\n{"a":`);
      await gone;
    }
    expect(server.backend.running).toBe(0);
  });
});

test('afterwards nothing has failed, and the server serves', async () => {
  expect(server.logged.filter((line) => (line.level as number) >= 50)).toEqual([]);
  const answer = await server.post('/v1/completions', { model: 'mock/base', prompt: 'Hi', max_tokens: 2 });
  expect(answer.status).toBe(200);
});
