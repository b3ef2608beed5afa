/** Which URLs take WebSockets, and what stands before each: the hooks of HTTP, then the tenant's number of sockets. */
import { EventEmitter } from 'node:events';
import websocket, { type WebsocketPluginOptions } from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import { ColophonError } from '../contract/index.ts';
import type { Services } from '../http/services.ts';
import { Connection } from './connection.ts';
import { passOtherUpgrades } from './other_upgrades.ts';
import { serveRealtime } from './realtime.ts';
import { serveResponses } from './responses.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route takes WebSockets. */
    socket?: boolean;
  }
}

/** Messages in so many fragments are refused (1008): each costs memory, however short it is. */
const mostFragments = 1024;

/** How long a client has to answer a close frame, ms. */
const closeTimeoutMs = 2000;

/** Before any other hook: what those refuse must be known to be an upgrade, whose connection ends with its answer. */
export async function acceptSockets(app: FastifyInstance, services: Services): Promise<void> {
  const upgrades = new EventEmitter();
  passOtherUpgrades(app.server, upgrades);
  await app.register(websocket, {
    options: {
      server: upgrades,
      maxPayload: services.config.server.websocket.message_limit,
      maxFragments: mostFragments,
      closeTimeout: closeTimeoutMs,
      perMessageDeflate: false,
      handleProtocols: (offered: Set<string>) => (offered.has('realtime') ? 'realtime' : false),
    } as unknown as NonNullable<WebsocketPluginOptions['options']>,
    // Connection listens for them: ws closes the socket with the code for what its client did wrong.
    errorHandler: () => {},
    // The drain closes them.
    preClose: (done) => done(),
  });
}

export function socketRoutes(app: FastifyInstance, services: Services): void {
  app.addHook('onRequest', (request, _reply, done) => {
    if (!request.ws || request.routeOptions.config.socket) return done();
    const path = request.url.split('?', 1)[0]!.slice(0, 200);
    done(
      new ColophonError(`No WebSocket is served at ${path}. Use /v1/realtime or /v1/responses.`, {
        code: 'websocket_not_supported',
      }),
    );
  });
  socketRoute(app, services, '/v1/realtime', serveRealtime);
  socketRoute(app, services, '/v1/responses', serveResponses);
  for (const url of ['/v1/realtime/client_secrets', '/v1/realtime/calls']) {
    app.post(url, { schema: { hide: true } }, async () => {
      throw new ColophonError(
        'Keys for one session and calls over WebRTC are not supported. Open a WebSocket at /v1/realtime with an API key; browsers give it as the subprotocol "openai-insecure-api-key.KEY".',
        { code: 'unsupported_endpoint' },
      );
    });
  }
}

function socketRoute(
  app: FastifyInstance,
  services: Services,
  url: string,
  serve: (connection: Connection) => Promise<void>,
): void {
  app.route({
    method: 'GET',
    url,
    // OpenAPI has no words for WebSockets; over HTTP there is only the 426.
    schema: { hide: true },
    config: { socket: true },
    preHandler: async (request, reply) => {
      if (!request.ws) return;
      const { tenant } = request.caller;
      services.sockets.admit(tenant);
      services.metrics.sockets.inc();
      reply.raw.once('close', () => {
        services.sockets.leave(tenant);
        services.metrics.sockets.dec();
      });
    },
    handler: async (_request, reply) => {
      reply.header('upgrade', 'websocket');
      throw new ColophonError(`${url} is a WebSocket: ask for it with "Upgrade: websocket".`, {
        status: 426,
        code: 'upgrade_required',
      });
    },
    wsHandler: (socket, request) => {
      request.outcome.upgraded = true;
      services.metrics.inFlight.value--;
      services.metrics.request(url, 'GET', 101, (performance.now() - request.startedAt) / 1000);
      void serve(new Connection(services, socket, request));
    },
  });
}
