/**
 * Who may use the server. With a key: who has it. Without: this machine only, and only under a name that a web page of
 * somebody else cannot point here (DNS rebinding) nor call from (cross-site requests).
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ConfigError, type ConfigValues } from '../config/index.ts';
import { ColophonError } from '../contract/index.ts';
import { type Caller, callersByKey, operator } from './callers.ts';
import { hostName, isLoopback, parseOrigin } from './network.ts';
import type { RateLimits } from './rate_limits.ts';

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller;
  }
}

type AccessConfig = Pick<ConfigValues, 'access' | 'server'>;

/** Requests that the server makes of itself are this caller's; nothing that comes over a socket runs inside it. */
export const onBehalf = new AsyncLocalStorage<Caller>();

/** Refuses to listen where anyone could use the server. */
export function checkBinding({ server, access }: AccessConfig): void {
  if (access.api_key || access.keys.length > 0 || isLoopback(server.host)) return;
  throw new ConfigError(
    `Refusing to listen on ${server.host} without an API key: everyone who reaches this address could use the server. Set COLOPHON_API_KEY, or listen on 127.0.0.1.`,
  );
}

/** Puts the checks before every route. */
export function guard(app: FastifyInstance, config: AccessConfig): void {
  const { access } = config;
  const callerOf = callersByKey(access);
  const hosts = new Set(access.allowed_hosts.map((host) => host.toLowerCase()));
  const origins = new Set(access.allowed_origins.map((origin) => parseOrigin(origin)?.origin ?? origin));

  const originAllowed = (origin: string): boolean => {
    const url = parseOrigin(origin);
    return url !== undefined && (origins.has(url.origin) || isLoopback(url.hostname));
  };

  // Nearly all requests name the host that the one before named.
  let lastHost: string | undefined;
  const hostAllowed = (header: string | undefined): boolean => {
    if (header !== undefined && header === lastHost) return true;
    const name = hostName(header);
    const allowed = name !== undefined && (isLoopback(name) || hosts.has(name));
    if (allowed) lastHost = header;
    return allowed;
  };

  app.decorateRequest('caller', null as never);
  // Without a promise: it runs before every answer.
  app.addHook('onRequest', (request, reply, done) => {
    const inside = onBehalf.getStore();
    request.caller = inside ?? operator;
    if (inside) {
      if (access.keys.length > 0) request.outcome.tenant = inside.tenant;
      return done();
    }
    const { origin } = request.headers;
    if (!callerOf) checkCaller(request, hostAllowed, originAllowed);
    else checkSocketOrigin(request, originAllowed);
    // Pages of allowed origins may read the answers; the others' browsers keep them from their pages.
    if (origin !== undefined && originAllowed(origin)) {
      reply.header('access-control-allow-origin', origin);
      reply.header(
        'access-control-expose-headers',
        'x-request-id, x-colophon-receipt, openai-processing-ms, retry-after, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens',
      );
      reply.header('vary', 'origin');
      if (request.method === 'OPTIONS' && request.headers['access-control-request-method']) {
        reply.header('access-control-allow-methods', 'GET, POST, DELETE');
        reply.header(
          'access-control-allow-headers',
          request.headers['access-control-request-headers'] ?? '*',
        );
        reply.header('access-control-max-age', '600');
        reply.code(204).send();
        return;
      }
    }
    if (!callerOf || isOpen(request)) return done();
    request.caller = checkKey(request, callerOf);
    if (access.keys.length > 0) request.outcome.tenant = request.caller.tenant;
    done();
  });
}

/** Counts what asks for something, and tells tenants with limits how they stand. After the guard. */
export function limitRates(app: FastifyInstance, limits: RateLimits): void {
  const take = async ({ caller, method }: FastifyRequest, reply: FastifyReply) => {
    try {
      if (method === 'POST') await limits.takeRequest(caller);
    } finally {
      reply.headers(await limits.headers(caller));
    }
  };
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.url.startsWith('/v1/') || !limits.limits(request.caller)) return done();
    take(request, reply).then(() => done(), done);
  });
}

/** Probes have no key, neither has a browser that opens the API's description, and the ledger is for everyone to check. */
function isOpen(request: FastifyRequest): boolean {
  const path = request.url.split('?', 1)[0]!;
  return /^\/(?:health|docs|ledger)(?:\/|$)/.test(path) || path === '/openapi.json';
}

function checkCaller(
  request: FastifyRequest,
  hostAllowed: (header: string | undefined) => boolean,
  originAllowed: (origin: string) => boolean,
): void {
  if (!hostAllowed(request.headers.host)) {
    throw new ColophonError(
      `This server has no API key and answers only requests for localhost, not for ${JSON.stringify((request.headers.host ?? '').slice(0, 200))}. Add the name to access.allowed_hosts, or set an API key.`,
      { type: 'permission_error', code: 'host_not_allowed' },
    );
  }
  const { origin } = request.headers;
  if (origin !== undefined && !originAllowed(origin)) {
    throw new ColophonError(
      `This server has no API key and does not answer web pages of ${JSON.stringify(origin.slice(0, 200))}. Add the origin to access.allowed_origins, or set an API key.`,
      { type: 'permission_error', code: 'origin_not_allowed' },
    );
  }
}

/** A browser lets any page read a WebSocket that the server accepts: what CORS does for answers is done here. */
function checkSocketOrigin({ headers }: FastifyRequest, originAllowed: (origin: string) => boolean): void {
  const { origin, host, upgrade } = headers;
  if (origin === undefined || upgrade?.toLowerCase() !== 'websocket') return;
  // Clients that are no browsers name the server itself.
  const url = parseOrigin(origin);
  if (originAllowed(origin) || (url !== undefined && url.host === host?.toLowerCase())) return;
  throw new ColophonError(
    `WebSockets are not open to web pages of ${JSON.stringify(origin.slice(0, 200))}. Add the origin to access.allowed_origins.`,
    { type: 'permission_error', code: 'origin_not_allowed' },
  );
}

/** Browsers cannot give a WebSocket headers: OpenAI's clients put the key among the subprotocols that they offer. */
const keyProtocol = 'openai-insecure-api-key.';

function keyAmongProtocols({ headers }: FastifyRequest): string | undefined {
  if (headers.upgrade?.toLowerCase() !== 'websocket') return undefined;
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  return offered.find((name) => name.startsWith(keyProtocol))?.slice(keyProtocol.length);
}

function checkKey(request: FastifyRequest, callerOf: (key: string) => Caller | undefined): Caller {
  const header = request.headers.authorization;
  const given = /^Bearer +(\S+) *$/i.exec(header ?? '')?.[1] ?? keyAmongProtocols(request);
  if (given === undefined) {
    throw new ColophonError(
      "You didn't provide an API key. Provide it in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
      { type: 'authentication_error', code: 'missing_api_key' },
    );
  }
  const caller = callerOf(given);
  if (caller) return caller;
  throw new ColophonError('Incorrect API key provided.', {
    type: 'authentication_error',
    code: 'invalid_api_key',
  });
}
