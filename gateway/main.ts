/** The server, put together: read the config, set plugins up in order, listen, drain. */
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { checkBinding } from './access/access.ts';
import { operator } from './access/callers.ts';
import { RateLimits } from './access/rate_limits.ts';
import { type Config, ConfigError } from './config/index.ts';
import { ColophonError, type Plugin } from './contract/index.ts';
import { type GatewayServices, loadPlugins, PluginHost } from './host/index.ts';
import { trackConnections } from './http/idle_connections.ts';
import type { Services } from './http/services.ts';
import { createLog } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';
import { Files } from './store/files.ts';
import { ObjectStore } from './store/object_store.ts';
import { Sockets } from './ws/sockets.ts';

export interface ServerOptions {
  /** Closes the server, as close() does. */
  signal?: AbortSignal;
  /** Instead of those that the config asks for. */
  plugins?: readonly Plugin[];
  log?: Logger;
}

export interface RunningServer {
  /** "http://127.0.0.1:8080" */
  url: string;
  app: FastifyInstance;
  host: PluginHost;
  log: Logger;
  /** Refuses new work, waits for running answers (at most server.drain_seconds), ends the rest, closes the plugins. */
  close(): Promise<void>;
}

/** Starts everything. Throws ConfigError, or an error whose message is a sentence that names the plugin at fault. */
export async function startServer(config: Config, options: ServerOptions = {}): Promise<RunningServer> {
  checkBinding(config);
  const log = options.log ?? (await createLog(config.log));
  const metrics = createMetrics();
  const host = new PluginHost({ config, log, metrics: metrics.registry });
  const plugins = options.plugins ?? (await loadPlugins(config));
  // The gateway's own code is read while the plugins set up: an engine reads its weights on threads of its own.
  const [{ buildApp }, { Catalogue }] = await Promise.all([
    import('./http/app.ts'),
    import('./http/catalogue.ts'),
    host.setup(plugins),
  ]);
  const store = new ObjectStore(config.paths.data);
  const services: Services = {
    config,
    host,
    catalogue: new Catalogue(host),
    metrics,
    log,
    store,
    files: new Files(store, config.paths.data, config.store),
    limits: new RateLimits(config.access),
    draining: false,
    answers: new Set(),
    sockets: new Sockets(config.server.websocket),
    background: [],
  };
  host.connect(gatewayServices(services));
  let app: FastifyInstance | undefined;
  let connections: ReturnType<typeof trackConnections>;
  try {
    await warm(services);
    app = await buildApp(services);
    connections = trackConnections(app.server);
    await host.ready();
    await listen(app, config);
  } catch (error) {
    await app?.close();
    await host.close();
    services.store.close();
    throw error;
  }
  let closing: Promise<void> | undefined;
  const running = app;
  const close = () => {
    closing ??= drain(services, running, connections);
    return closing;
  };
  options.signal?.addEventListener('abort', () => void close(), { once: true });
  if (options.signal?.aborted) await close();
  return { url: urlOf(running, config), app: running, host, log, close };
}

/** What plugins may ask of the gateway. */
function gatewayServices({ catalogue, files, host }: Services): GatewayServices {
  return {
    caller: ({ caller }) => ({
      tenant: caller.tenant,
      operator: caller === operator,
      minPriority: caller.minPriority,
    }),
    files: {
      find: async (caller, id) => {
        const source = host.all('fileSource').find(({ prefix }) => id.startsWith(prefix));
        if (source) return { id, ...(await source.find(id, caller)) };
        const file = files.find(caller.tenant, id);
        return file && { ...file, content: async () => (await files.content(file)).stream };
      },
      create: async (tenant, description, content) =>
        (await files.receive(tenant, content)).keep(description).id,
    },
    text: async (model) => (await catalogue.find(model)).text,
  };
}

/** Tokenizers are built before the first request waits for one. */
async function warm({ catalogue }: Services): Promise<void> {
  const bases = (await catalogue.list()).filter((card) => card.parent === null);
  await Promise.all(bases.map((card) => catalogue.find(card.id)));
}

async function listen(app: FastifyInstance, { server }: Config): Promise<void> {
  try {
    await app.listen({ host: server.host, port: server.port });
  } catch (cause) {
    const where = `${server.host}:${server.port}`;
    const { code } = cause as NodeJS.ErrnoException;
    const sentences: Record<string, string> = {
      EADDRINUSE: `Port ${server.port} on ${server.host} is in use. Stop what uses it, or choose another: --port ${server.port + 1} (or COLOPHON_PORT).`,
      EACCES: `Listening on ${where} is not permitted. Choose a port above 1023, e.g. --port 8080 (or COLOPHON_PORT).`,
      EADDRNOTAVAIL: `${server.host} is not an address of this machine. Use --host 127.0.0.1 (or COLOPHON_HOST).`,
      ENOTFOUND: `${server.host} is not a name of this machine. Use --host 127.0.0.1 (or COLOPHON_HOST).`,
    };
    throw new ConfigError(
      (code && sentences[code]) || `Cannot listen on ${where}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

function urlOf(app: FastifyInstance, { server }: Config): string {
  const { port } = app.server.address() as AddressInfo;
  const anywhere = server.host === '0.0.0.0' || server.host === '::';
  const name = anywhere ? '127.0.0.1' : server.host.includes(':') ? `[${server.host}]` : server.host;
  return `http://${name}:${port}`;
}

async function drain(
  services: Services,
  app: FastifyInstance,
  connections: ReturnType<typeof trackConnections>,
): Promise<void> {
  const { log, host, catalogue, answers, sockets, config } = services;
  services.draining = true;
  log.info({ answers: answers.size }, 'draining');
  await host.drain();
  const shuttingDown = new ColophonError('The server is shutting down and could not finish this answer.', {
    type: 'service_unavailable_error',
    code: 'shutting_down',
  });
  sockets.retire();
  const deadline = setTimeout(() => {
    for (const answer of answers) answer.abort(shuttingDown);
    // What has been told so has a moment to read it.
    setTimeout(() => {
      app.server.closeAllConnections();
      sockets.terminate();
    }, 1000).unref();
  }, config.server.drain_seconds * 1000);
  // A connection without a request would else be waited for until its client has no more use for it.
  const sweep = setInterval(() => connections.closeIdle(), 20);
  const background = Promise.all(services.background.map((stop) => stop()));
  await app.close();
  await background;
  clearInterval(sweep);
  clearTimeout(deadline);
  await catalogue.close();
  await host.close();
  services.store.close();
  log.info('closed');
}
