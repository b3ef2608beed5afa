/** /v1/responses over HTTP. What a response is, gateway/responses knows. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ColophonError } from '../contract/index.ts';
import type { ResponseEvent } from '../responses/events.ts';
import { type ResponseBody, responseBody } from '../responses/request.ts';
import { runResponse } from '../responses/run.ts';
import { serveClient } from './answer.ts';
import type { Services } from './services.ts';

export function responseRoutes(app: FastifyInstance, services: Services): void {
  app.post<{ Body: ResponseBody }>('/v1/responses', { schema: { body: responseBody } }, (request, reply) =>
    answer(services, request, reply),
  );
}

async function answer(
  services: Services,
  request: FastifyRequest<{ Body: ResponseBody }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { body, caller, outcome } = request;
  outcome.model = body.model;
  let next = 0;
  return serveClient(
    services,
    request,
    reply,
    body.stream ?? false,
    async (client, write) => {
      const ended = await runResponse(services, caller, body, client.signal, (event) => {
        outcome.firstTokenMs ??= Math.round(performance.now() - request.startedAt);
        next = event.sequence_number + 1;
        write?.(inWriting(event));
      });
      const { usage, status } = ended.response;
      outcome.finish = status;
      outcome.promptTokens = usage?.input_tokens ?? 0;
      outcome.completionTokens = usage?.output_tokens ?? 0;
      if (ended.error) {
        outcome.error = ended.error;
        if (!write) throw ended.error;
      }
      return write ? 'data: [DONE]\n\n' : JSON.stringify(ended.response);
    },
    (error) => inWriting(errorEvent(error, next)),
  );
}

function inWriting(event: ResponseEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

function errorEvent({ code, message, param }: ColophonError, sequence: number): ResponseEvent {
  return { type: 'error', sequence_number: sequence, code, message, param };
}
