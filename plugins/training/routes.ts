/** /v1/fine_tuning/jobs, as OpenAI has them. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { type TSchema, Type } from 'typebox';
import { ColophonError, type Host } from '../../gateway/contract/index.ts';
import { ended, type JobEvent } from './job.ts';
import type { Jobs } from './jobs.ts';
import { recipeSchema } from './recipe.ts';
import { type CreateBody, createBody } from './settings.ts';

const nullable = (schema: TSchema) => Type.Union([schema, Type.Null()]);
const record = Type.Record(Type.String(), Type.Unknown());

const jobAnswer = Type.Object(
  {
    object: Type.Literal('fine_tuning.job'),
    id: Type.String(),
    model: Type.String(),
    created_at: Type.Integer(),
    finished_at: nullable(Type.Integer()),
    fine_tuned_model: nullable(Type.String()),
    organization_id: Type.String(),
    status: Type.Enum([
      'validating_files',
      'queued',
      'running',
      'paused',
      'succeeded',
      'failed',
      'cancelled',
    ]),
    hyperparameters: record,
    method: record,
    training_file: Type.String(),
    validation_file: nullable(Type.String()),
    result_files: Type.Array(Type.String()),
    trained_tokens: nullable(Type.Integer()),
    estimated_finish: nullable(Type.Integer()),
    seed: Type.Integer(),
    error: nullable(record),
    integrations: Type.Array(Type.Unknown()),
    metadata: nullable(record),
    priority: Type.Integer(),
    tokens_per_second: nullable(Type.Integer()),
    recipe: recipeSchema,
  },
  { description: 'A fine-tuning job.' },
);
const listOf = (item: TSchema) =>
  Type.Object({
    object: Type.Literal('list'),
    data: Type.Array(item),
    first_id: nullable(Type.String()),
    last_id: nullable(Type.String()),
    has_more: Type.Boolean(),
  });
const eventAnswer = Type.Object({
  object: Type.Literal('fine_tuning.job.event'),
  id: Type.String(),
  created_at: Type.Integer(),
  level: Type.Enum(['info', 'warn', 'error']),
  type: Type.Enum(['message', 'metrics']),
  message: Type.String(),
  data: Type.Optional(record),
});
const checkpointAnswer = Type.Object({
  object: Type.Literal('fine_tuning.job.checkpoint'),
  id: Type.String(),
  created_at: Type.Integer(),
  fine_tuned_model_checkpoint: Type.String(),
  fine_tuning_job_id: Type.String(),
  step_number: Type.Integer(),
  metrics: record,
});

const errors = Type.Object({ error: record }, { description: 'What went wrong.' });
const answers = (schema: TSchema) => ({
  200: { description: 'The answer.', content: { 'application/json': { schema } } },
  '4xx': errors,
  '5xx': errors,
});
const params = Type.Object({ fine_tuning_job_id: Type.String({ maxLength: 512 }) });
const pageQuery = {
  after: Type.Optional(Type.String({ description: 'Id of the last one of the page before.' })),
  limit: Type.Optional(Type.String({ description: '1 to 100; default 20.' })),
};

export function fineTuningRoutes(app: FastifyInstance, host: Host, jobs: Jobs): void {
  const describe = (summary: string, operationId: string, response: TSchema) => ({
    summary,
    operationId,
    tags: ['fine-tuning'],
    response: answers(response),
  });
  app.post<{ Body: CreateBody }>(
    '/v1/fine_tuning/jobs',
    {
      schema: { body: createBody, ...describe('Begin a fine-tuning job', 'createFineTuningJob', jobAnswer) },
    },
    async (request) => jobs.create(host.caller(request), request.body),
  );
  app.get(
    '/v1/fine_tuning/jobs',
    {
      schema: {
        described: { querystring: Type.Object(pageQuery) },
        ...describe('The fine-tuning jobs', 'listFineTuningJobs', listOf(jobAnswer)),
      },
    },
    async (request) => pageOf(jobs.list(host.caller(request).tenant), request.query),
  );
  app.get<{ Params: { fine_tuning_job_id: string } }>(
    '/v1/fine_tuning/jobs/:fine_tuning_job_id',
    { schema: { params, ...describe('A fine-tuning job', 'retrieveFineTuningJob', jobAnswer) } },
    async (request) => jobs.get(host.caller(request).tenant, request.params.fine_tuning_job_id).job,
  );
  for (const [verb, summary] of [
    ['cancel', 'End a fine-tuning job'],
    ['pause', 'Let a fine-tuning job rest'],
    ['resume', 'Go on with a fine-tuning job'],
  ] as const) {
    app.post<{ Params: { fine_tuning_job_id: string } }>(
      `/v1/fine_tuning/jobs/:fine_tuning_job_id/${verb}`,
      { schema: { params, ...describe(summary, `${verb}FineTuningJob`, jobAnswer) } },
      async (request) => jobs[verb](host.caller(request).tenant, request.params.fine_tuning_job_id),
    );
  }
  app.get<{ Params: { fine_tuning_job_id: string }; Querystring: { stream?: string } }>(
    '/v1/fine_tuning/jobs/:fine_tuning_job_id/events',
    {
      schema: {
        params,
        described: {
          querystring: Type.Object({
            ...pageQuery,
            stream: Type.Optional(
              Type.String({ description: '"true": all events as they come, as server-sent events.' }),
            ),
          }),
        },
        summary: "A fine-tuning job's events",
        operationId: 'listFineTuningEvents',
        tags: ['fine-tuning'],
        response: {
          ...answers(listOf(eventAnswer)),
          200: {
            description: 'The events, newest first; as a stream, oldest first.',
            content: {
              'application/json': { schema: listOf(eventAnswer) },
              'text/event-stream': { schema: Type.String() },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { tenant } = host.caller(request);
      const id = request.params.fine_tuning_job_id;
      if (request.query.stream === 'true') return follow(jobs, tenant, id, reply);
      return pageOf(jobs.events(tenant, id).reverse(), request.query);
    },
  );
  app.get<{ Params: { fine_tuning_job_id: string } }>(
    '/v1/fine_tuning/jobs/:fine_tuning_job_id/checkpoints',
    {
      schema: {
        params,
        described: { querystring: Type.Object(pageQuery) },
        ...describe("A fine-tuning job's checkpoints", 'listFineTuningCheckpoints', listOf(checkpointAnswer)),
      },
    },
    async (request) => {
      const { checkpoints } = jobs.get(host.caller(request).tenant, request.params.fine_tuning_job_id);
      return pageOf(checkpoints.toReversed(), request.query);
    },
  );
}

function pageOf<Item extends { id: string }>(items: Item[], query: unknown) {
  const { after, limit = '20' } = query as Record<string, unknown>;
  const wrong = (param: string, what: string) =>
    new ColophonError(`'${param}' ${what}`, { param, code: 'invalid_value' });
  if (typeof limit !== 'string' || !/^\d{1,3}$/.test(limit) || Number(limit) < 1 || Number(limit) > 100)
    throw wrong('limit', `is '${String(limit).slice(0, 100)}'; use an integer from 1 to 100.`);
  const at = after === undefined ? -1 : items.findIndex(({ id }) => id === after);
  if (after !== undefined && at < 0)
    throw wrong('after', `is '${String(after).slice(0, 100)}', which is not in the list.`);
  const data = items.slice(at + 1, at + 1 + Number(limit));
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: at + 1 + data.length < items.length,
  };
}

/** All events so far and those that come, until the job has ended or the client leaves. */
function follow(jobs: Jobs, tenant: string, id: string, reply: FastifyReply): FastifyReply {
  const { job } = jobs.get(tenant, id);
  const { raw } = reply;
  const known = jobs.events(tenant, id);
  reply.hijack();
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
  });
  const write = (event: JobEvent) => raw.write(`data: ${JSON.stringify(event)}\n\n`);
  const end = () => {
    jobs.told.off(id, onEvent);
    raw.end('data: [DONE]\n\n');
  };
  const onEvent = (event: JobEvent) => {
    write(event);
    if (ended.has(job.status)) end();
  };
  for (const event of known) write(event);
  raw.once('close', () => jobs.told.off(id, onEvent));
  if (ended.has(job.status)) end();
  else jobs.told.on(id, onEvent);
  return reply;
}
