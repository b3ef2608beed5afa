/** /v1/batches: requests of a file, answered by the very routes that they name. */
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { onBehalf } from '../access/access.ts';
import { Batches, type BatchesOptions } from '../batches/batches.ts';
import { ColophonError } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import { checkExpirySeconds } from './files.ts';
import { checkMetadata, metadataField } from './metadata.ts';
import { answers } from './openapi.ts';
import { listBody, type PagingQuery, pagingFields, readPaging } from './paging.ts';
import type { Services } from './services.ts';
import { batchAnswer, idParams, listAnswer } from './stored_schemas.ts';

const endpoints = ['/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/responses'];

const batchBody = Type.Object({
  input_file_id: Type.String({ minLength: 1, maxLength: 512, description: 'A file of the purpose "batch".' }),
  endpoint: Type.Enum(endpoints),
  completion_window: Type.Enum(['24h']),
  metadata: maybe(metadataField),
  output_expires_after: maybe(Type.Object({ anchor: Type.Enum(['created_at']), seconds: Type.Integer() })),
});

const params = idParams('batch');

export function batchRoutes(app: FastifyInstance, services: Services): void {
  const { config, store, files, log } = services;
  const batches = new Batches({
    store,
    files,
    log,
    folder: join(config.paths.data, 'batches'),
    limits: {
      lines: config.batches.lines,
      // The request itself, and what is around it in its line.
      lineBytes: config.server.body_limit + 4096,
      concurrency: config.batches.concurrency,
      unfinished: config.batches.unfinished,
    },
    send: sender(app, config.batches.priority),
  });
  app.addHook('onListen', async () => batches.resume());
  services.background.push(() => batches.stop());

  app.post<{ Body: Static<typeof batchBody> }>(
    '/v1/batches',
    {
      schema: {
        body: batchBody,
        summary: 'Begin a batch',
        operationId: 'createBatch',
        tags: ['batches'],
        response: answers(batchAnswer),
      },
    },
    async (request) => {
      const { endpoint, input_file_id, metadata, output_expires_after: expiry } = request.body;
      if (!app.hasRoute({ method: 'POST', url: endpoint })) {
        throw new ColophonError(`This server has no ${endpoint}.`, {
          param: 'endpoint',
          code: 'invalid_value',
        });
      }
      checkMetadata(metadata);
      const outputSeconds = expiry ? checkExpirySeconds(expiry.seconds, 'output_expires_after') : undefined;
      const { tenant, key, isolated } = request.caller;
      return batches.create(
        { tenant, key, isolated },
        { endpoint, input_file_id, metadata: metadata ?? null, outputSeconds },
      );
    },
  );

  app.get<{ Querystring: PagingQuery }>(
    '/v1/batches',
    {
      schema: {
        querystring: Type.Object(pagingFields()),
        summary: 'The batches',
        operationId: 'listBatches',
        tags: ['batches'],
        response: answers(listAnswer(batchAnswer)),
      },
    },
    async ({ query, caller }) => listBody(batches.list(caller.tenant, readPaging(query, 'desc'))),
  );

  app.get<{ Params: { id: string } }>(
    '/v1/batches/:id',
    {
      schema: {
        params,
        summary: 'One batch',
        operationId: 'retrieveBatch',
        tags: ['batches'],
        response: answers(batchAnswer),
      },
    },
    async (request) => {
      return batches.get(request.caller.tenant, request.params.id);
    },
  );

  app.post<{ Params: { id: string } }>(
    '/v1/batches/:id/cancel',
    {
      schema: {
        params,
        summary: 'End a batch early',
        operationId: 'cancelBatch',
        tags: ['batches'],
        response: answers(batchAnswer),
      },
    },
    async (request) => {
      return batches.cancel(request.caller.tenant, request.params.id);
    },
  );
}

/** Through the app itself, with all its checks, as the tenant and in a class of its own. */
function sender(app: FastifyInstance, priority: number): BatchesOptions['send'] {
  return async ({ tenant, key, isolated }, endpoint, body) => {
    if (body.stream) {
      const refused = new ColophonError('A batch has no streams; leave it out.', {
        param: 'stream',
        code: 'unsupported_parameter',
      });
      return { status: refused.status, requestId: '', body: refused.toBody() };
    }
    // How many lines run at once is what limits them.
    const caller = {
      tenant,
      key,
      isolated,
      minPriority: Number.NEGATIVE_INFINITY,
      priorityAtLeast: priority,
      unlimited: true,
    };
    // inject() begins only once it is awaited.
    const response = await onBehalf.run(
      caller,
      async () => await app.inject({ method: 'POST', url: endpoint, payload: body }),
    );
    const retry = response.headers['retry-after'];
    return {
      status: response.statusCode,
      requestId: String(response.headers['x-request-id']),
      body: response.json(),
      retryAfterSeconds: retry === undefined ? undefined : Number(retry),
    };
  };
}
