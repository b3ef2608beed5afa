/** Numbers for Prometheus. Labels are bounded: never a model's or a client's name. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { Distributions } from './distribution.ts';
import { Tally } from './tally.ts';

/** What a generation reports about itself. */
export interface GenerationMeter {
  /** A step gave it so many tokens. */
  step(tokens: number): void;
  finish(
    reason: 'stop' | 'length' | 'pooled' | 'cancelled' | 'error',
    usage: { promptTokens: number; cachedTokens: number; completionTokens: number },
  ): void;
}

export interface Metrics {
  registry: Registry;
  /** A generation begins; `kind` says what it runs on. */
  generation(kind: 'base' | 'adapter'): GenerationMeter;
  /** A request ended; `route` is the pattern that it matched. */
  request(route: string, method: string, status: number, seconds: number): void;
  inFlight: { value: number };
  /** WebSockets that are open. */
  sockets: Gauge;
}

const latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export function createMetrics(options: { process?: boolean } = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  if (options.process !== false) collectDefaultMetrics({ register: registry });
  const requests = new Tally<{ route: string; method: string; status: number }>();
  new Counter({
    name: 'colophon_http_requests_total',
    help: 'HTTP requests answered.',
    labelNames: ['route', 'method', 'status'],
    registers,
    collect() {
      requests.fill(this);
    },
  });
  const duration = new Distributions(registry, {
    name: 'colophon_http_request_seconds',
    help: 'Time from a request to the end of its answer.',
    label: 'route',
    bounds: [...latencyBuckets, 120, 300],
  });
  const inFlight = { value: 0 };
  new Gauge({
    name: 'colophon_http_requests_in_flight',
    help: 'HTTP requests being answered.',
    registers,
    collect() {
      this.set(inFlight.value);
    },
  });
  const sockets = new Gauge({
    name: 'colophon_websockets_open',
    help: 'WebSockets that are open.',
    registers,
  });
  const running = new Tally<{ kind: string }>();
  new Gauge({
    name: 'colophon_generations_running',
    help: 'Generations waiting or running.',
    labelNames: ['kind'],
    registers,
    collect() {
      running.fill(this);
    },
  });
  const finished = new Tally<{ kind: string; reason: string }>();
  new Counter({
    name: 'colophon_generations_total',
    help: 'Generations that ended, by reason.',
    labelNames: ['kind', 'reason'],
    registers,
    collect() {
      finished.fill(this);
    },
  });
  const tokens = new Tally<{ type: string; kind: string }>();
  new Counter({
    name: 'colophon_tokens_total',
    help: 'Tokens: prompt (cached ones included), cached, completion.',
    labelNames: ['type', 'kind'],
    registers,
    collect() {
      tokens.fill(this);
    },
  });
  const firstToken = new Distributions(registry, {
    name: 'colophon_time_to_first_token_seconds',
    help: 'Time from the start of a generation to its first token.',
    bounds: latencyBuckets,
  }).of('');
  const interToken = new Distributions(registry, {
    name: 'colophon_inter_token_seconds',
    help: 'Time between tokens of a generation.',
    bounds: latencyBuckets,
  }).of('');
  const kinds = Object.fromEntries(
    (['base', 'adapter'] as const).map((kind) => [
      kind,
      {
        running: running.series({ kind }),
        prompt: tokens.series({ type: 'prompt', kind }),
        cached: tokens.series({ type: 'cached', kind }),
        completion: tokens.series({ type: 'completion', kind }),
      },
    ]),
  );

  return {
    registry,
    inFlight,
    sockets,
    request(route, method, status, seconds) {
      requests.add({ route, method, status });
      duration.of(route).observe(seconds);
    },
    generation(kind) {
      const counts = kinds[kind]!;
      counts.running.value++;
      let last = performance.now();
      let first = true;
      return {
        step(count) {
          if (count === 0) return;
          const now = performance.now();
          const seconds = (now - last) / 1000;
          last = now;
          if (first) firstToken.observe(seconds);
          else interToken.observe(seconds / count, count);
          first = false;
        },
        finish(reason, usage) {
          counts.running.value--;
          finished.add({ kind, reason });
          counts.prompt.value += usage.promptTokens;
          counts.cached.value += usage.cachedTokens;
          counts.completion.value += usage.completionTokens;
        },
      };
    },
  };
}
