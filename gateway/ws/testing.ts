/** Raw sockets to a server under test, which keep what they were sent. */
import { type ClientOptions, WebSocket } from 'ws';
import type { TestServer } from '../http/testing.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests reach into events of every shape
export type AnyEvent = any;

export interface TestSocket {
  socket: WebSocket;
  /** All events so far. */
  events: AnyEvent[];
  /** Set once it is closed. */
  closed: { code: number; reason: string } | undefined;
  /** Sends an object as JSON, or text as it is. */
  send(event: object | string): void;
  /** The next event of that type, after those that earlier calls gave. */
  next(type: string): Promise<AnyEvent>;
  /** Waits until the server or the client has closed it. */
  end(): Promise<{ code: number; reason: string }>;
}

/** Opens a socket; rejects where the handshake is refused, with its status. */
export function openSocket(
  server: TestServer,
  path: string,
  options: ClientOptions & { protocols?: string[] } = {},
): Promise<TestSocket> {
  const socket = new WebSocket(server.url.replace('http', 'ws') + path, options.protocols ?? [], options);
  const waiting = new Set<() => void>();
  let taken = 0;
  const test: TestSocket = {
    socket,
    events: [],
    closed: undefined,
    send: (event) => socket.send(typeof event === 'string' ? event : JSON.stringify(event)),
    async next(type) {
      for (;;) {
        while (taken < test.events.length) {
          const event = test.events[taken++];
          if (event.type === type) return event;
        }
        if (test.closed)
          throw new Error(
            `closed (${JSON.stringify(test.closed)}) before ${type}: ${JSON.stringify(test.events)}`,
          );
        await new Promise<void>((resolve) => waiting.add(resolve));
      }
    },
    async end() {
      while (!test.closed) await new Promise<void>((resolve) => waiting.add(resolve));
      return test.closed;
    },
  };
  const wake = () => {
    const all = [...waiting];
    waiting.clear();
    for (const resolve of all) resolve();
  };
  socket.on('message', (data) => {
    test.events.push(JSON.parse(String(data)));
    wake();
  });
  socket.on('close', (code, reason) => {
    test.closed = { code, reason: String(reason) };
    wake();
  });
  return new Promise((resolve, reject) => {
    socket.on('unexpected-response', (_request, response) => {
      let text = '';
      response.on('data', (data) => {
        text += data;
      });
      response.on('end', () => reject(Object.assign(new Error(text), { status: response.statusCode })));
    });
    socket.on('error', reject);
    socket.once('open', () => resolve(test));
  });
}
