/**
 * A server that listens for upgrades gets all of them, for HTTP/2 as well, which Java's client offers with each of its
 * requests. Those are answered as if they had not asked, which RFC 9110 allows.
 */
import type { EventEmitter } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';

/** Gives upgrades to WebSockets to `sockets`, and reads other requests again without the offer. */
export function passOtherUpgrades(server: Server, sockets: EventEmitter): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.trim().toLowerCase() === 'websocket') {
      sockets.emit('upgrade', request, socket, head);
      return;
    }
    socket.unshift(Buffer.concat([Buffer.from(headWithoutUpgrade(request), 'latin1'), head]));
    server.emit('connection', socket);
  });
}

function headWithoutUpgrade({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!;
    const lower = name.toLowerCase();
    if (lower === 'upgrade' || lower === 'http2-settings') continue;
    const value = rawHeaders[at + 1]!;
    lines.push(`${name}: ${lower === 'connection' ? withoutUpgrade(value) : value}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function withoutUpgrade(connection: string): string {
  const options = connection.split(',').map((option) => option.trim());
  const left = options.filter((option) => !/^(upgrade|http2-settings)$/i.test(option));
  return left.join(', ') || 'keep-alive';
}
