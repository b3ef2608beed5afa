import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Knows which connections have no request under way, those included that never sent one: Node takes such for active and
 * would wait a minute for them when the server closes.
 */
export function trackConnections(server: Server): { closeIdle(): void } {
  const requests = new Map<Socket, { count: number }>();
  server.on('connection', (socket) => {
    requests.set(socket, { count: 0 });
    socket.once('close', () => requests.delete(socket));
  });
  server.on('request', ({ socket }, response) => {
    const underWay = requests.get(socket);
    if (!underWay) return;
    underWay.count++;
    response.once('close', () => {
      underWay.count--;
    });
  });
  // A WebSocket has its own end; one that was refused is ended with its answer.
  server.on('upgrade', (_request, socket) => requests.delete(socket as Socket));
  return {
    closeIdle() {
      // end() before destroy(): what was written last is still on its way out.
      for (const [socket, { count }] of requests) if (count === 0) socket.destroySoon();
    },
  };
}
