/** /datanets/{name}/jobs: what takes long, how it is getting on, and its end. */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { type Caller, datanetFor, notFound } from '../access.ts';
import type { Role } from '../model.ts';
import type { Job } from '../store/datanet_store.ts';
import { jobAnswer, listAnswer } from './answers.ts';
import {
  ByType,
  type IdParams,
  idParams,
  listJson,
  type NameParams,
  nameParams,
  pageOf,
  pageQuery,
  type RouteParts,
  told,
} from './routes.ts';

/** How often a job is looked at for its events, ms. It may run in another process: the store alone knows all of it. */
const lookEvery = 250;

const states = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const;
const listQuery = pageQuery({ state: Type.Optional(Type.Enum([...states])) });

const jobEvents = new ByType({
  'text/event-stream': Type.String({ description: '`data: ` is the job, as it is answered elsewhere.' }),
});

export function jobRoutes(app: FastifyInstance, { service, caller }: RouteParts): void {
  const found = async ({ name, id }: IdParams, who: Caller, needed: Role) => {
    const { store, jobs } = await service();
    const { datanet } = await datanetFor(store, name, who, needed);
    const job = await store.job(id);
    if (job?.datanet !== datanet.id) throw notFound('job', id);
    return { store, jobs, job };
  };
  app.get<{ Params: NameParams; Querystring: { after?: string; limit?: string; state?: Job['state'] } }>(
    '/datanets/:name/jobs',
    {
      schema: {
        params: nameParams,
        querystring: listQuery,
        ...told('listDatanetJobs', 'The jobs', listAnswer(jobAnswer)),
      },
    },
    async (request) => {
      const { store } = await service();
      const { datanet } = await datanetFor(store, request.params.name, caller(request), 'contributor');
      const { state } = request.query;
      const filter = { datanet: datanet.id, ...(state === undefined ? {} : { state: [state] }) };
      return listJson(await store.jobs(filter, pageOf(request.query)), jobJson);
    },
  );
  app.get<{ Params: IdParams }>(
    '/datanets/:name/jobs/:id',
    { schema: { params: idParams, ...told('retrieveDatanetJob', 'How a job is getting on', jobAnswer) } },
    async (request) => jobJson((await found(request.params, caller(request), 'contributor')).job),
  );
  app.post<{ Params: IdParams }>(
    '/datanets/:name/jobs/:id/cancel',
    {
      schema: {
        params: idParams,
        ...told('cancelDatanetJob', 'End a job; one that is over stays as it is', jobAnswer),
      },
    },
    async (request) => {
      const { store, jobs, job } = await found(request.params, caller(request), 'curator');
      await jobs.cancel(job.id);
      return jobJson((await store.job(job.id)) ?? job);
    },
  );
  app.get<{ Params: IdParams }>(
    '/datanets/:name/jobs/:id/events',
    {
      schema: {
        params: idParams,
        ...told(
          'streamDatanetJob',
          'Server-sent events: the job, each time that it has changed, to its end',
          jobEvents,
        ),
      },
    },
    async (request, reply) => {
      const { store, jobs, job } = await found(request.params, caller(request), 'contributor');
      async function* events() {
        let last = '';
        for (let current: Job | undefined = job; current; current = await store.job(job.id)) {
          const data = JSON.stringify(jobJson(current));
          if (data !== last) yield `event: job\ndata: ${data}\n\n`;
          last = data;
          if (current.finishedAt !== null || jobs.draining) return;
          await sleep(lookEvery);
        }
      }
      return reply
        .header('content-type', 'text/event-stream; charset=utf-8')
        .header('cache-control', 'no-cache')
        .header('x-accel-buffering', 'no')
        .send(Readable.from(events()));
    },
  );
}

export function jobJson({ id, kind, state, done, total, stage, report, error, createdAt, finishedAt }: Job) {
  return {
    object: 'datanet.job' as const,
    id,
    kind,
    state,
    done,
    total,
    stage,
    report,
    error,
    created_at: createdAt,
    finished_at: finishedAt,
  };
}
