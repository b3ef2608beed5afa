/** A client of bare sockets: as little work as there can be beside a server that is measured. */
import { connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';

/** The bytes of a POST. */
export function postBytes(path: string, body: object): Buffer {
  const text = JSON.stringify(body);
  return Buffer.from(
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}

/**
 * Sends a request `count` times over `connections` that stay open, each one after the answer of the one before. Rejects at
 * an answer that is not 200, or when a connection closes.
 */
export async function ask(port: number, request: Buffer, connections: number, count: number): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: Math.min(connections, count) }, async () => {
      const socket = connect(port, '127.0.0.1');
      socket.setNoDelay(true);
      try {
        while (left-- > 0) await answerOf(socket, request);
      } finally {
        socket.destroy();
      }
    }),
  );
}

/** The body of one answer, chunks and all. */
export function answerOf(socket: Socket, request: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    let wanted: number | undefined;
    let chunked = false;
    let seen = 0;
    const settle = (error?: Error) => {
      socket.off('data', take).off('close', closed).off('error', settle);
      if (error) reject(error);
      else resolve();
    };
    const closed = () => settle(new Error('The server closed a connection before the end of an answer.'));
    const take = (data: Buffer) => {
      if (wanted === undefined && !chunked) {
        const head = data.toString('latin1');
        const end = head.indexOf('\r\n\r\n');
        if (!head.startsWith('HTTP/1.1 200') || end < 0)
          return settle(new Error(`The server answered: ${head.slice(0, 600)}`));
        const length = /content-length: (\d+)/i.exec(head)?.[1];
        if (length === undefined) chunked = true;
        else wanted = end + 4 + Number(length);
      }
      seen += data.length;
      if (chunked ? endsChunks(data) : seen === wanted) settle();
    };
    socket.on('data', take).on('close', closed).on('error', settle);
    socket.write(request);
  });
}

/** The beginning of the event that ends a response over a socket: all have as many tokens as they may. */
const ended = '{"type":"response.incomplete"';

/**
 * Asks `count` times over `connections` WebSockets that stay open, each one after the response before it. Rejects where a
 * socket closes.
 */
export async function askSockets(
  url: string,
  event: string,
  connections: number,
  count: number,
): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from(
      { length: Math.min(connections, count) },
      () =>
        new Promise<void>((resolve, reject) => {
          const socket = new WebSocket(url);
          const next = () => {
            if (left-- > 0) return socket.send(event);
            socket.removeAllListeners('close').terminate();
            resolve();
          };
          socket.on('open', next);
          socket.on('error', reject);
          socket.on('close', () =>
            reject(new Error('The server closed a socket before the end of a response.')),
          );
          socket.on('message', (data: Buffer) => {
            if (data.toString('latin1', 0, ended.length) === ended) next();
          });
        }),
    ),
  );
}

/** The events of one response over a socket of its own, as they came. */
export function eventsOf(url: string, event: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const events: string[] = [];
    const socket = new WebSocket(url);
    socket.on('open', () => socket.send(event));
    socket.on('error', reject);
    socket.on('message', (data: Buffer) => {
      events.push(data.toString());
      if (!events.at(-1)!.startsWith(ended)) return;
      socket.terminate();
      resolve(events);
    });
  });
}

/** The last chunk of a body; servers write it with or after what is before it, never in halves on loopback. */
function endsChunks(data: Buffer): boolean {
  return data.length >= 5 && data.toString('latin1', data.length - 5) === '0\r\n\r\n';
}
