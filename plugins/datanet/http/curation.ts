/** /datanets/{name}/curate, /curations and /examples/{seq}/word: what curations find, and what curators say to it. */
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { datanetFor, notFound } from '../access.ts';
import { heldOutFile } from '../curation/heldout_files.ts';
import { CurationChange, settingsOf } from '../curation/settings.ts';
import type { CurateParams } from '../jobs/curate.ts';
import type { Datanet } from '../model.ts';
import type { DatanetStore, Job, Verdict } from '../store/datanet_store.ts';
import {
  jobAnswer,
  listAnswer,
  setAsideAnswer,
  verdictAnswer,
  wordAnswer,
  wordDeletedAnswer,
} from './answers.ts';
import { jobJson } from './jobs.ts';
import {
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

const curateBody = Type.Object({
  settings: Type.Optional(
    Type.Unsafe<CurationChange>({
      ...CurationChange,
      description: "What it does otherwise than the Datanet's `curation` and the defaults say.",
    }),
  ),
});
const seq = Type.String({ pattern: '^[1-9][0-9]{0,14}$' });
const verdictsQuery = Type.Object({
  ...pageQuery({}).properties,
  after: Type.Optional(
    Type.String({ pattern: '^[0-9]{1,15}$', description: 'The row after which it begins.' }),
  ),
  stage: Type.Optional(Type.String({ maxLength: 100 })),
  action: Type.Optional(Type.Enum(['quarantine', 'duplicate', 'mask', 'note'])),
  seq: Type.Optional(seq),
});
const exampleParams = Type.Object({ name: Type.String(), seq });
const wordBody = Type.Object({
  decision: Type.Enum(['accept', 'refuse']),
  name: Type.Optional(
    Type.String({ minLength: 1, maxLength: 256, description: 'Who says it; default: the tenant.' }),
  ),
  reason: Type.String({ minLength: 1, maxLength: 4000 }),
});

export function curationRoutes(app: FastifyInstance, { service, caller, files }: RouteParts): void {
  app.post<{ Params: NameParams; Body: Static<typeof curateBody> }>(
    '/datanets/:name/curate',
    {
      schema: {
        params: nameParams,
        body: curateBody,
        ...told(
          'curate',
          'Run the stages over all accepted rows: a job, whose report has the totals',
          jobAnswer,
        ),
      },
    },
    async (request) => {
      const { store, jobs } = await service();
      const who = caller(request);
      const { datanet } = await datanetFor(store, request.params.name, who, 'curator');
      const settings = settingsOf(datanet.curation, request.body.settings);
      for (const id of settings.contamination.heldOut) await heldOutFile(id, files, who);
      const params: CurateParams = { settings, tenant: who.tenant, operator: who.operator };
      return jobJson(await jobs.submit(datanet.id, 'curate', params));
    },
  );

  app.get<{ Params: IdParams; Querystring: Static<typeof verdictsQuery> }>(
    '/datanets/:name/curations/:id/verdicts',
    {
      schema: {
        params: idParams,
        querystring: verdictsQuery,
        ...told(
          'listVerdicts',
          'What a curation says of rows; one of which it says nothing is kept as it is',
          listAnswer(verdictAnswer),
        ),
      },
    },
    async (request) => {
      const { store } = await service();
      const { params, query } = request;
      const { datanet } = await datanetFor(store, params.name, caller(request), 'curator');
      const { id } = await curationFor(store, datanet, params.id);
      const filter = {
        ...(query.stage === undefined ? {} : { stage: query.stage }),
        ...(query.action === undefined ? {} : { action: query.action as Verdict['action'] }),
        ...(query.seq === undefined ? {} : { seq: Number(query.seq) }),
      };
      return listJson(await store.verdicts(id, filter, pageOf(query)), verdictJson);
    },
  );

  app.get<{ Params: NameParams; Querystring: { after?: string; limit?: string } }>(
    '/datanets/:name/quarantine',
    {
      schema: {
        params: nameParams,
        querystring: Type.Object({ ...pageQuery({}).properties, after: verdictsQuery.properties.after }),
        ...told(
          'listQuarantine',
          'Rows that a snapshot would not have now, why, and what they say',
          listAnswer(setAsideAnswer),
        ),
      },
    },
    async (request) => {
      const { store, blobs } = await service();
      const { datanet } = await datanetFor(store, request.params.name, caller(request), 'curator');
      const curation = await store.latestCuration(datanet.id);
      const page = await store.examples(datanet.id, { standing: 'set_aside' }, pageOf(request.query));
      const data = await Promise.all(
        page.data.map(async (example) => {
          const filter = { seq: example.seq };
          const said = curation ? (await store.verdicts(curation.id, filter, { limit: 1 })).data : [];
          const { data: words } = await store.overrides(datanet.id, { after: example.seq - 1, limit: 1 });
          const { contribution, line, place } = example;
          const chunks: Uint8Array[] = [];
          if (place) for await (const chunk of blobs.read(place.blob, place)) chunks.push(chunk);
          return {
            seq: example.seq,
            contribution,
            line,
            content: JSON.parse(Buffer.concat(chunks).toString() || 'null'),
            verdicts: said.map(verdictJson),
            word: words[0]?.seq === example.seq ? wordJson(words[0]) : null,
          };
        }),
      );
      return { object: 'list', data, has_more: page.hasMore };
    },
  );

  app.put<{ Params: Static<typeof exampleParams>; Body: Static<typeof wordBody> }>(
    '/datanets/:name/examples/:seq/word',
    {
      schema: {
        params: exampleParams,
        body: wordBody,
        ...told('setWord', "A curator's word on a row, which stands above what curations say", wordAnswer),
      },
    },
    async (request) => {
      const { store } = await service();
      const who = caller(request);
      const { datanet } = await datanetFor(store, request.params.name, who, 'curator');
      const row = Number(request.params.seq);
      if (!(await store.example(datanet.id, row))) throw notFound('example', request.params.seq);
      const { decision, name = who.tenant, reason } = request.body;
      await store.override(datanet.id, row, { keep: decision === 'accept', by: name, reason });
      const { data } = await store.overrides(datanet.id, { after: row - 1, limit: 1 });
      return wordJson(data[0]!);
    },
  );

  app.delete<{ Params: Static<typeof exampleParams> }>(
    '/datanets/:name/examples/:seq/word',
    {
      schema: {
        params: exampleParams,
        ...told('deleteWord', 'Take a word on a row back', wordDeletedAnswer),
      },
    },
    async (request) => {
      const { store } = await service();
      const { datanet } = await datanetFor(store, request.params.name, caller(request), 'curator');
      await store.override(datanet.id, Number(request.params.seq), null);
      return { object: 'datanet.word.deleted', seq: Number(request.params.seq), deleted: true };
    },
  );

  app.get<{ Params: NameParams; Querystring: { after?: string; limit?: string } }>(
    '/datanets/:name/words',
    {
      schema: {
        params: nameParams,
        querystring: Type.Object({ ...pageQuery({}).properties, after: verdictsQuery.properties.after }),
        ...told('listWords', "Curators' words on rows", listAnswer(wordAnswer)),
      },
    },
    async (request) => {
      const { store } = await service();
      const { datanet } = await datanetFor(store, request.params.name, caller(request), 'curator');
      return listJson(await store.overrides(datanet.id, pageOf(request.query)), wordJson);
    },
  );
}

/** A curation that is done, whose verdicts are whole; 404 where there is no such, 409 while it runs or where it was cut. */
export async function curationFor(store: DatanetStore, datanet: Datanet, id: string): Promise<Job> {
  const job = await store.job(id);
  if (job?.datanet !== datanet.id || job.kind !== 'curate') throw notFound('curation', id);
  if (job.state === 'succeeded') return job;
  throw new ColophonError(`The curation '${id}' is ${job.state}; only one that has succeeded has verdicts.`, {
    type: 'conflict_error',
    code: 'curation_not_done',
  });
}

/** Where a mask lies is the store's affair; its hash names it. */
function verdictJson({ masked, canonical, ...same }: Verdict) {
  return { ...same, canonical: canonical ?? null, masked_hash: masked?.hash ?? null };
}

function wordJson({
  seq,
  keep,
  by,
  reason,
  at,
}: {
  seq: number;
  keep: boolean;
  by: string;
  reason: string;
  at: number;
}) {
  return {
    object: 'datanet.word' as const,
    seq,
    decision: keep ? 'accept' : 'refuse',
    name: by,
    reason,
    created_at: at,
  };
}
