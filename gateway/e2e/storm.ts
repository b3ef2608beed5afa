/** Clients that leave at random points, and what a server holds before and after them. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestServer } from '../http/testing.ts';
import { full } from './engine.ts';

/** Clients of one storm: the thousand where there is time for all tests. */
export const leavers = full ? 1000 : 150;
const atOnce = 50;

type Held = Awaited<ReturnType<typeof held>>;

/** What must be back to where it was. */
export async function held(server: TestServer) {
  const connections = await new Promise<number>((resolve, reject) =>
    server.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  );
  const metrics = await server.app.inject({ url: '/metrics', headers: { host: 'localhost' } });
  const gauges = metrics.payload
    .split('\n')
    .filter((line) => /^colophon_(generations_running|http_requests_in_flight|websockets_open)\b/.test(line))
    .map((line) => line.replace(/^(colophon_http_requests_in_flight) 1$/, '$1 0'));
  const count = (resource: string) =>
    process.getActiveResourcesInfo().filter((one) => one === resource).length;
  const { server: http } = server.app;
  return {
    connections,
    gauges: gauges.filter((line) => !line.endsWith(' 0')),
    generations: server.backend.running,
    sockets: count('TCPSocketWrap'),
    timers: count('Timeout'),
    serverListeners: http.eventNames().map((name) => http.listenerCount(name)),
    processListeners: process.eventNames().map((name) => process.listenerCount(name)),
  };
}

/** Whether it holds no more: what was there for a moment when it was counted may be gone. */
function holdsNoMore(now: Held, before: Held): boolean {
  const noMore = (these: number[], those: number[]) => these.every((count, at) => count <= (those[at] ?? 0));
  return (
    now.gauges.length <= before.gauges.length &&
    noMore(
      [now.connections, now.generations, now.sockets, now.timers],
      [before.connections, before.generations, before.sockets, before.timers],
    ) &&
    noMore(now.serverListeners, before.serverListeners) &&
    noMore(now.processListeners, before.processListeners)
  );
}

/**
 * Waits until the server holds no more than it held; where something stays, that is the test's limit. Polled by hand: what vitest
 * polls with would count among the timers.
 */
export async function calm(server: TestServer, before: Held): Promise<void> {
  while (!holdsNoMore(await held(server), before)) await sleep(20);
}

/** What the server holds once nobody asks for anything. */
export async function atRest(server: TestServer): Promise<Held> {
  for (;;) {
    // Those over which a test has set things up.
    server.app.server.closeIdleConnections();
    const now = await held(server);
    if (now.connections === 0 && now.generations === 0 && now.gauges.length === 0) return now;
    await sleep(20);
  }
}

/** `count` clients, some of them at a time. */
export async function storm(
  from: number,
  count: number,
  leave: (index: number) => Promise<void>,
): Promise<void> {
  let next = from;
  const one = async () => {
    while (next < from + count) await leave(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, one));
}

/** When a client leaves: after so many bytes that it sent or was sent, or so many milliseconds after it had asked. */
export type Leaving = { sent: number } | { bytes: number } | { ms: number };

/** A request as it goes over the wire. */
export function postOf(path: string, body: string | Buffer, type = 'application/json'): Buffer {
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), Buffer.from(body)]);
}

/** Asks and leaves, over a connection of its own; resolves when it has left, or the server has ended it before. */
export function askAndLeave(server: TestServer, request: Buffer, when: Leaving): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    if ('sent' in when) {
      socket.write(request.subarray(0, when.sent), () => socket.destroy());
      return;
    }
    socket.write(request);
    if ('ms' in when) {
      const leave = setTimeout(() => socket.destroy(), when.ms);
      socket.on('close', () => clearTimeout(leave));
      socket.resume();
      return;
    }
    let seen = 0;
    socket.on('data', (data: Buffer) => {
      seen += data.length;
      if (seen >= when.bytes) socket.destroy();
    });
  });
}
