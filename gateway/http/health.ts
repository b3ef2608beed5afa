/** What watches the server asks: alive, ready, numbers, version. */
import type { FastifyInstance } from 'fastify';
import { CONTRACT_VERSION } from '../contract/index.ts';
import { answers, open, plainText } from './openapi.ts';
import { rootAnswer, statusAnswer, unavailableAnswer, versionAnswer } from './response_schemas.ts';
import type { Services } from './services.ts';
import { version } from './version.ts';

export function healthRoutes(app: FastifyInstance, services: Services): void {
  const ready = () => {
    if (services.draining) return { ready: false, detail: 'The server is shutting down.' };
    const unready = services.host
      .all('backend')
      .map((backend) => ({ name: backend.name, ...backend.health() }));
    const first = unready.find((backend) => !backend.ready);
    return first
      ? { ready: false, detail: `${first.name}: ${first.detail ?? 'not ready'}` }
      : { ready: true };
  };

  app.get(
    '/health/live',
    {
      schema: {
        summary: 'Whether the server runs',
        operationId: 'getLiveness',
        tags: ['server'],
        security: open,
        response: answers(statusAnswer),
      },
    },
    async () => ({ status: 'ok' }),
  );

  for (const [path, operationId] of [
    ['/health', 'getHealth'],
    ['/health/ready', 'getReadiness'],
  ] as const) {
    const schema = {
      summary: 'Whether it takes requests',
      operationId,
      tags: ['server'],
      security: open,
      response: { ...answers(statusAnswer), 503: unavailableAnswer },
    };
    app.get(path, { schema }, async (_request, reply) => {
      const state = ready();
      if (!state.ready) reply.code(503);
      return state.ready ? { status: 'ok' } : { status: 'unavailable', detail: state.detail };
    });
  }

  app.get(
    '/metrics',
    {
      schema: {
        summary: 'Figures for Prometheus',
        operationId: 'getMetrics',
        tags: ['server'],
        response: answers({ 'text/plain': plainText('Prometheus text.') }),
      },
    },
    async (_request, reply) => {
      const { registry } = services.metrics;
      return reply.type(registry.contentType).send(await registry.metrics());
    },
  );

  app.get(
    '/version',
    {
      schema: {
        summary: 'Versions',
        operationId: 'getVersion',
        tags: ['server'],
        response: answers(versionAnswer),
      },
    },
    async () => ({ version: version(), contract: CONTRACT_VERSION }),
  );

  app.get(
    '/',
    {
      schema: {
        summary: 'What this is',
        operationId: 'getRoot',
        tags: ['server'],
        response: answers(rootAnswer),
      },
    },
    async () => ({
      name: 'colophon',
      version: version(),
      hint: 'An OpenAI-compatible API. Try GET /v1/models, then POST /v1/chat/completions.',
    }),
  );
}
