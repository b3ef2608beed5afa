/** A thousand clients that leave at random points: afterwards the server holds what it held before. */
import { getEventListeners } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { seeded } from '../../bench/lib/random.ts';
import { startTestServer, type TestServer } from '../http/testing.ts';

const storms = 1000;
const atOnce = 50;
const model = 'mock/base';

let server: TestServer;
afterEach(() => server?.close());

/** What must be back to where it was. */
async function held() {
  const connections = await new Promise<number>((resolve, reject) =>
    server.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  );
  const metrics = await server.app.inject({ url: '/metrics', headers: { host: 'localhost' } });
  const gauges = metrics.payload
    .split('\n')
    .filter((line) => /^colophon_(generations_running|http_requests_in_flight)/.test(line))
    .map((line) => line.replace(/^(colophon_http_requests_in_flight) 1$/, '$1 0'));
  const count = (resource: string) =>
    process.getActiveResourcesInfo().filter((one) => one === resource).length;
  return {
    connections,
    gauges: gauges.filter((line) => !line.endsWith(' 0')),
    generations: server.backend.running,
    sockets: count('TCPSocketWrap'),
    timers: count('Timeout'),
    serverListeners: server.app.server.eventNames().map((name) => server.app.server.listenerCount(name)),
    processListeners: process.eventNames().map((name) => process.listenerCount(name)),
  };
}

interface Leaver {
  path: string;
  body: object;
  /** Bytes of the answer after which it leaves, or milliseconds after the request where it reads nothing. */
  after: { bytes: number } | { ms: number };
}

/** The same a moment later. Polled by hand: what vitest polls with would count among the timers. */
async function next() {
  await sleep(20);
  return held();
}

/** Asks and leaves, over a socket of its own; resolves when it has left. */
function askAndLeave(port: number, { path, body, after }: Leaver): Promise<void> {
  const text = JSON.stringify(body);
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
    if ('ms' in after) setTimeout(() => socket.destroy(), after.ms);
    else {
      let seen = 0;
      socket.on('data', (data: Buffer) => {
        seen += data.length;
        if (seen >= after.bytes) socket.destroy();
      });
    }
  });
}

test('generations, sockets, listeners and timers come back', async () => {
  server = await startTestServer({ context: 2_000_000 });
  const port = Number(new URL(server.url).port);
  const random = seeded(11);
  const endless = { model, ignore_eos: true, max_tokens: 1_000_000 };
  const leaver = (index: number): Leaver => {
    const stream = index % 4 !== 0;
    const more = {
      stream,
      ...(index % 5 === 0 ? { n: 3 } : {}),
      ...(index % 7 === 0 ? { logprobs: index % 2 ? true : 1 } : {}),
    };
    const chat = index % 2 === 1;
    return {
      path: chat ? '/v1/chat/completions' : '/v1/completions',
      body: chat
        ? { ...endless, ...more, messages: [{ role: 'user', content: `Hi ${index}` }] }
        : { ...endless, ...more, prompt: `Hi ${index}` },
      after: stream && random() < 0.7 ? { bytes: 1 + random() * 20_000 } : { ms: random() * 40 },
    };
  };
  const storm = async (from: number, count: number) => {
    let index = from;
    const one = async () => {
      while (index < from + count) await askAndLeave(port, leaver(index++));
    };
    await Promise.all(Array.from({ length: atOnce }, one));
  };
  // The first ones leave behind what a server that has worked holds for good.
  await storm(0, atOnce);
  let before = await held();
  while (before.connections > 0 || before.generations > 0) before = await next();
  await storm(atOnce, storms);
  // Where something stays, this runs into the test's limit.
  while (!isDeepStrictEqual(await held(), before)) await next();
  expect(before).toMatchObject({ connections: 0, gauges: [], generations: 0 });
  expect(server.backend.requests.length).toBeGreaterThan(storms / 2);
  expect(server.logged.filter((line) => line.status === 499).length).toBeGreaterThan(storms / 2);
  expect(server.logged.filter((line) => (line.level as number) >= 50)).toEqual([]);
  const answer = await server.post('/v1/completions', { model, prompt: 'Hi', max_tokens: 2 });
  expect(answer.status).toBe(200);
});

test('a signal that outlives its generation keeps nothing of it', async () => {
  server = await startTestServer({ context: 2_000_000 });
  const signals: AbortSignal[] = [];
  const { generate } = server.backend;
  server.backend.generate = (request, signal) => {
    signals.push(signal);
    return generate.call(server.backend, request, signal);
  };
  for (let i = 0; i < 20; i++)
    await server.post('/v1/completions', { model, prompt: `Hi ${i}`, max_tokens: 3, n: 2 });
  expect(signals.length).toBe(40);
  expect(signals.flatMap((signal) => getEventListeners(signal, 'abort'))).toEqual([]);
});
