/** The Fastify instance: what every request passes through, then the route families. */
import type { Socket } from 'node:net';
import { type FastifyInstance, type FastifyRequest, fastify, LogController } from 'fastify';
import { guard, limitRates, onBehalf } from '../access/access.ts';
import { ColophonError } from '../contract/index.ts';
import { acceptSockets, socketRoutes } from '../ws/routes.ts';
import { adapterRoutes } from './adapters.ts';
import { batchRoutes } from './batches.ts';
import { readJsonBodies } from './body.ts';
import { chatCompletionRoutes } from './chat_completions.ts';
import { completionRoutes } from './completions.ts';
import { embeddingRoutes } from './embeddings.ts';
import { sendError } from './errors.ts';
import { fileRoutes } from './files.ts';
import { healthRoutes } from './health.ts';
import { modelRoutes } from './models.ts';
import { refuseNotOffered } from './not_offered.ts';
import { describeRoutes, documentationRoutes } from './openapi.ts';
import { takeRandomHex } from './random_bytes.ts';
import { RequestLog } from './request_log.ts';
import { responseRoutes } from './responses.ts';
import type { Services } from './services.ts';
import { storedCompletionRoutes } from './stored_completions.ts';
import { tokenizeRoutes } from './tokenize.ts';
import { validatorCompiler } from './validation.ts';

/** A whole request must have come within this; a slow sender cannot hold a connection for ever. */
const requestTimeoutMs = 120_000;

/** OpenAI's name for the version of its API whose shapes these are. */
const apiVersion = '2020-10-01';

export async function buildApp(services: Services): Promise<FastifyInstance> {
  const app = fastify({
    loggerInstance: services.log,
    childLoggerFactory: (log, bindings) => new RequestLog(log, bindings),
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: (request) => clientsId(request.headers['x-request-id']) ?? `req_${takeRandomHex(16)}`,
    requestTimeout: requestTimeoutMs,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 1024 },
    // Given here, so that Fastify's own two are not even read.
    schemaController: {
      compilersFactory: {
        buildValidator: () => validatorCompiler as never,
        buildSerializer: () => () => JSON.stringify,
      },
    },
    // Before any hook: the URL or the HTTP itself is broken.
    frameworkErrors: (error, request, reply) => {
      request.outcome = {};
      if (request.headers.upgrade) reply.raw.once('finish', () => request.raw.socket.destroySoon());
      const sentence = `The URL of the request cannot be read: ${error.message}`;
      sendError(new ColophonError(sentence, { code: 'invalid_url' }), request, reply);
    },
    clientErrorHandler: refuseBrokenHttp,
  }) as unknown as FastifyInstance;
  app.setErrorHandler(sendError);
  app.decorateRequest('startedAt', 0);
  app.decorateRequest('outcome', null as never);
  await acceptSockets(app, services);
  observe(app, services);
  guard(app, services.config);
  app.addHook('onRequest', (request, _reply, done) => {
    if (!services.draining || request.url.startsWith('/health')) return done();
    const error = new ColophonError('The server is shutting down. Try again in a moment.', {
      type: 'service_unavailable_error',
      code: 'shutting_down',
      retryAfterSeconds: 1,
    });
    done(error);
  });
  limitRates(app, services.limits);
  readJsonBodies(app, services.config.server.body_limit);
  answerUnknownRoutes(app);

  await describeRoutes(app);
  documentationRoutes(app);
  modelRoutes(app, services);
  chatCompletionRoutes(app, services);
  storedCompletionRoutes(app, services);
  completionRoutes(app, services);
  responseRoutes(app, services);
  embeddingRoutes(app, services);
  tokenizeRoutes(app, services);
  adapterRoutes(app, services);
  await fileRoutes(app, services);
  batchRoutes(app, services);
  refuseNotOffered(app);
  healthRoutes(app, services);
  socketRoutes(app, services);
  for (const { register } of services.host.routes) await app.register(async (scope) => register(scope));
  await app.ready();
  return app;
}

/** Ids for every answer, one line in the log and the numbers for every request. */
function observe(app: FastifyInstance, { log, metrics }: Services): void {
  app.addHook('onRequest', (request, reply, done) => {
    request.startedAt = performance.now();
    request.outcome = {};
    reply.header('x-request-id', request.id);
    reply.header('openai-version', apiVersion);
    metrics.inFlight.value++;
    // Only a socket can be cut.
    const overSocket = onBehalf.getStore() === undefined;
    reply.raw.once('close', () => {
      if (request.outcome.upgraded) return;
      metrics.inFlight.value--;
      const milliseconds = performance.now() - request.startedAt;
      const route = request.routeOptions.url ?? 'unknown';
      const cut = overSocket && !reply.raw.writableFinished;
      const status = cut ? 499 : reply.raw.statusCode;
      metrics.request(route, knownMethod(request.method), status, milliseconds / 1000);
      if (status >= 500) log.error(logLine(request, route, status, milliseconds, cut), 'request failed');
      else if (log.isLevelEnabled('info'))
        log.info(logLine(request, route, status, milliseconds, cut), cut ? 'request cut' : 'request');
    });
    done();
  });
  app.addHook('onSend', (request, reply, payload, done) => {
    reply.header('openai-processing-ms', String(Math.round(performance.now() - request.startedAt)));
    done(null, payload);
  });
}

function logLine(request: FastifyRequest, route: string, status: number, milliseconds: number, cut: boolean) {
  const { error, ...outcome } = request.outcome;
  return {
    reqId: request.id,
    method: request.method,
    route,
    status,
    ms: Math.round(milliseconds),
    ...outcome,
    ...(cut ? { finish: 'cancelled' } : {}),
    ...(error ? { error: error.code ?? error.type } : {}),
  };
}

/** 404, or 405 where the path exists under another method. */
function answerUnknownRoutes(app: FastifyInstance): void {
  const methods = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? new Set();
    for (const one of [method].flat()) known.add(one);
    methods.set(url, known);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]!;
    const matching = [...methods].find(([url]) => {
      if (url.includes(':')) return new RegExp(`^${url.replace(/:[^/]+/g, '[^/]+')}$`).test(path);
      return url === path || (url.endsWith('/*') && path.startsWith(url.slice(0, -1)));
    });
    if (matching && !matching[1].has(request.method)) {
      const allowed = [...matching[1]].filter((method) => method !== 'HEAD').join(', ');
      reply.header('allow', allowed);
      throw new ColophonError(`Not allowed to ${request.method} on ${path.slice(0, 200)}; use ${allowed}.`, {
        status: 405,
        code: 'method_not_allowed',
      });
    }
    throw new ColophonError(`Invalid URL (${request.method} ${path.slice(0, 200)}).`, {
      type: 'not_found_error',
      code: 'unknown_url',
    });
  });
}

/** What is no HTTP gets an answer too, where its connection still takes one. */
function refuseBrokenHttp(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, sentence] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'The headers of the request are too large.']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'The request took too long to arrive.']
        : ['400 Bad Request', 'This is not a valid HTTP request.'];
  const body = JSON.stringify(new ColophonError(sentence, { code: 'invalid_http' }).toBody());
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function clientsId(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && /^[\w.:-]{1,128}$/.test(header) ? header : undefined;
}

/** Methods are whatever a client writes; the label is not. */
function knownMethod(method: string): string {
  return ['GET', 'HEAD', 'POST', 'OPTIONS', 'PUT', 'DELETE', 'PATCH'].includes(method) ? method : 'OTHER';
}
