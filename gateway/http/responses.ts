/** /v1/responses over HTTP. What a response is, gateway/responses knows. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import { BackgroundResponses } from '../responses/background.ts';
import type { EventLog } from '../responses/event_log.ts';
import type { ResponseEvent } from '../responses/events.ts';
import { countInput, prepareResponse } from '../responses/prepare.ts';
import { type CountBody, countBody, type ResponseBody, responseBody } from '../responses/request.ts';
import { runResponse } from '../responses/run.ts';
import { keptResponse } from '../responses/state.ts';
import { serveClient } from './answer.ts';
import { Cancelled } from './choice.ts';
import { answers } from './openapi.ts';
import { listBody, type PagingQuery, pageOf, pagingFields, readPaging } from './paging.ts';
import { inputItem, inputTokensAnswer, responseAnswer, responseAnswers } from './response_object_schemas.ts';
import { deletedAnswer } from './response_schemas.ts';
import type { Services } from './services.ts';
import { idParams, listAnswer } from './stored_schemas.ts';

const retrieval = Type.Object({
  stream: Type.Optional(
    Type.Enum(['true', 'false'], { description: 'Follow one that runs in the background.' }),
  ),
  starting_after: Type.Optional(
    Type.String({ description: 'Sequence number of the last event that is known.' }),
  ),
});

const params = idParams('response');

type Retrieval = Static<typeof retrieval>;

interface ById {
  Params: { id: string };
}

export function responseRoutes(app: FastifyInstance, services: Services): void {
  const { store } = services;
  const background = new BackgroundResponses(services);
  app.addHook('onClose', () => background.close());

  app.post<{ Body: ResponseBody }>(
    '/v1/responses',
    {
      schema: {
        body: responseBody,
        summary: 'A response, whole, as a stream or in the background',
        operationId: 'createResponse',
        tags: ['responses'],
        response: answers(responseAnswers),
      },
    },
    async (request, reply) => {
      request.outcome.model = request.body.model;
      if (!request.body.background) return answer(services, request, reply);
      const prepared = await prepareResponse(services, request.caller, request.body);
      const { id } = prepared.response;
      const events = background.start(request.caller, prepared);
      if (request.body.stream) return follow(services, request, reply, events, -1);
      return keptResponse(store, request.caller.tenant, id).response;
    },
  );

  app.post<{ Body: CountBody }>(
    '/v1/responses/input_tokens',
    {
      schema: {
        body: countBody,
        summary: 'How many tokens an input is',
        operationId: 'countResponseInputTokens',
        tags: ['responses'],
        response: answers(inputTokensAnswer),
      },
    },
    async ({ body, caller }) => ({
      object: 'response.input_tokens',
      input_tokens: await countInput(services, caller, body),
    }),
  );

  const retrieved = {
    schema: {
      params,
      querystring: retrieval,
      summary: 'One response, or its events',
      operationId: 'retrieveResponse',
      tags: ['responses'],
      response: answers(responseAnswers),
    },
  };
  app.get<ById & { Querystring: Retrieval }>('/v1/responses/:id', retrieved, async (request, reply) => {
    const { id } = request.params;
    const { response } = keptResponse(store, request.caller.tenant, id);
    const after = readRetrieval(request.query);
    if (after === undefined) return response;
    const events = background.events(id);
    if (events) return follow(services, request, reply, events, after);
    throw new ColophonError(
      response.background
        ? `The events of the response '${id}' are not kept any more. Retrieve it without 'stream'.`
        : `The response '${id}' was not made in the background, so it has no events to follow. Retrieve it without 'stream'.`,
      { param: 'stream', code: 'stream_not_available' },
    );
  });

  app.delete<ById>(
    '/v1/responses/:id',
    {
      schema: {
        params,
        summary: 'Delete a response',
        operationId: 'deleteResponse',
        tags: ['responses'],
        response: answers(deletedAnswer('response')),
      },
    },
    async ({ params: { id }, caller }) => {
      keptResponse(store, caller.tenant, id);
      await background.delete(id);
      store.delete('response', caller.tenant, id);
      return { id, object: 'response', deleted: true };
    },
  );

  app.post<ById>(
    '/v1/responses/:id/cancel',
    {
      schema: {
        params,
        summary: 'End one that runs in the background',
        operationId: 'cancelResponse',
        tags: ['responses'],
        response: answers(responseAnswer),
      },
    },
    async ({ params: { id }, caller }) => {
      const { response } = keptResponse(store, caller.tenant, id);
      if (!response.background) {
        throw new ColophonError('Cannot cancel a synchronous response.', {
          code: 'response_not_cancellable',
        });
      }
      await background.cancel(id);
      return keptResponse(store, caller.tenant, id).response;
    },
  );

  const listed = {
    schema: {
      params,
      querystring: Type.Object(pagingFields()),
      summary: 'What the model was given',
      operationId: 'listResponseInputItems',
      tags: ['responses'],
      response: answers(listAnswer(inputItem)),
    },
  };
  app.get<ById & { Querystring: PagingQuery }>('/v1/responses/:id/input_items', listed, async (request) => {
    const { input } = keptResponse(store, request.caller.tenant, request.params.id);
    return listBody(pageOf(input, readPaging(request.query, 'desc'), 'input item'));
  });
}

/** One that its client waits for. */
async function answer(
  services: Services,
  request: FastifyRequest<{ Body: ResponseBody }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { body, caller, outcome } = request;
  const prepared = await prepareResponse(services, caller, body);
  const { metered } = prepared;
  let next = 0;
  return serveClient(
    services,
    request,
    reply,
    { stream: body.stream ?? false, metered },
    async (client, write) => {
      const ended = await runResponse(services, caller, prepared, client.signal, (event) => {
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
      return write ? lastEvent : JSON.stringify(ended.response);
    },
    (error) => inWriting(errorEvent(error, next)),
  );
}

/** Streams the events of one that runs in the background, which goes on when the client leaves. */
function follow(
  services: Services,
  request: FastifyRequest,
  reply: FastifyReply,
  events: EventLog,
  after: number,
): Promise<FastifyReply> {
  return serveClient(
    services,
    request,
    reply,
    { stream: true, metered: undefined },
    async (client, write) => {
      await events.follow(after, client.signal, (event) => write!(inWriting(event)));
      if (client.signal.aborted) throw new Cancelled();
      return lastEvent;
    },
    (error) => inWriting(errorEvent(error, events.length)),
  );
}

/** As Open Responses has it; OpenAI's clients take it too. */
const lastEvent = 'data: [DONE]\n\n';

function inWriting(event: ResponseEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

/** In OpenAI's flat form and in that of Open Responses. */
function errorEvent(error: ColophonError, sequence: number): ResponseEvent {
  const { code, message, param } = error;
  return { type: 'error', sequence_number: sequence, code, message, param, ...error.toBody() };
}

/** From which event on a retrieval follows a stream; undefined where it wants the response. Values of a query are text. */
function readRetrieval({ stream, starting_after: after = '-1' }: Retrieval): number | undefined {
  if (stream !== 'true') return undefined;
  if (/^(-1|\d{1,9})$/.test(after)) return Number(after);
  throw new ColophonError(
    `Invalid 'starting_after': expected the sequence number of an event, but got '${after.slice(0, 64)}' instead.`,
    { param: 'starting_after', code: 'invalid_value' },
  );
}
