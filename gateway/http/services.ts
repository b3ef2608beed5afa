import type { Logger } from 'pino';
import type { RateLimits } from '../access/rate_limits.ts';
import type { Config } from '../config/index.ts';
import type { ColophonError } from '../contract/index.ts';
import type { PluginHost } from '../host/index.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Files } from '../store/files.ts';
import type { ObjectStore } from '../store/object_store.ts';
import type { Sockets } from '../ws/sockets.ts';
import type { Catalogue } from './catalogue.ts';

/** What route families share. */
export interface Services {
  config: Config;
  host: PluginHost;
  catalogue: Catalogue;
  metrics: Metrics;
  log: Logger;
  /** What outlasts an answer. */
  store: ObjectStore;
  files: Files;
  limits: RateLimits;
  /** Set once the server was asked to stop: new work is refused. */
  draining: boolean;
  /** Each stops something that runs without a client, and resolves once it has. */
  background: Array<() => Promise<void>>;
  /** One for each answer that is being generated; aborted with an error where the server cannot wait. */
  answers: Set<AbortController>;
  /** WebSockets that are open. */
  sockets: Sockets;
}

/** What became of a request, for its one line in the log. */
export interface Outcome {
  tenant?: string;
  model?: string;
  promptTokens?: number;
  completionTokens?: number;
  firstTokenMs?: number;
  finish?: string;
  error?: ColophonError;
  /** It became a WebSocket, which has a line of its own when it ends. */
  upgraded?: boolean;
}

declare module 'fastify' {
  interface FastifyRequest {
    startedAt: number;
    outcome: Outcome;
  }
}
