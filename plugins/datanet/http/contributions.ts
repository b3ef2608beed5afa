/** /datanets/{name}/contributions: what is given, and what becomes of it. */
import type { Readable } from 'node:stream';
import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { ColophonError, readForm } from '../../../gateway/contract/index.ts';
import { type Caller, contributorFor, datanetFor, has, notFound } from '../access.ts';
import type { Arrival } from '../contributions.ts';
import { checkMapping } from '../formats/mapped.ts';
import type { ColumnMapping, Contribution, FormatName, Role } from '../model.ts';
import type { DatanetStore } from '../store/datanet_store.ts';
import { tooLarge } from '../store/spool.ts';
import { contributionAnswer, givenAnswer, listAnswer, refusedRowAnswer } from './answers.ts';
import {
  type IdParams,
  idParams,
  listJson,
  type NameParams,
  nameParams,
  pageOf,
  pageQuery,
  type RouteParts,
  reasonText,
  told,
} from './routes.ts';

const states = ['submitted', 'checked', 'failed', 'accepted', 'rejected', 'withdrawn'] as const;
const formats = ['chat', 'completion', 'alpaca', 'sharegpt', 'csv', 'parquet', 'text', 'markdown'];
/** Characters of the longest field, of up to four bytes each. */
const longestText = 4000;
const text = (maxLength: number) => Type.String({ minLength: 1, maxLength });
const uploadQuery = Type.Object({
  contributor: text(100),
  filename: text(255),
  licence: text(100),
  source: text(2000),
  rights: text(longestText),
  signature: Type.Optional(Type.String({ pattern: '^[0-9a-f]{128}$' })),
  format: Type.Optional(Type.Enum(formats)),
  columns: Type.Optional(
    Type.String({
      maxLength: 2000,
      description:
        'Which column (of rows of JSON: which key) is which part: "prompt=question,completion=answer".',
    }),
  ),
});
const listQuery = pageQuery({ state: Type.Optional(Type.Enum([...states])) });
const reviewBody = Type.Object({
  decision: Type.Enum(['accept', 'reject']),
  reason: reasonText,
});
const withdrawBody = Type.Object({ reason: reasonText });

/** The same in a form, in any order, with the file. */
const uploadForm = Type.Object({
  ...uploadQuery.properties,
  filename: Type.Optional(Type.String({ description: "Instead of the file's own." })),
  file: Type.String({
    description: 'At most `plugins.datanet.upload_bytes` long.',
    contentMediaType: 'application/octet-stream',
  }),
});

export function contributionRoutes(app: FastifyInstance, { service, caller }: RouteParts): void {
  // The file is the body as it comes, of any size, with what is said of it in the query; or both are in a form.
  app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
    await scope.register(multipart, { throwFileSizeLimit: false });
    const forms = new WeakMap<FastifyRequest, Arrival>();
    const discard = async (request: FastifyRequest) => {
      const arrival = forms.get(request);
      if (arrival) await (await service()).contributions.discard(arrival);
    };
    scope.post<{ Params: NameParams; Querystring: Static<typeof uploadQuery>; Body?: Readable }>(
      '/datanets/:name/contributions',
      {
        bodyLimit: Number.MAX_SAFE_INTEGER,
        schema: {
          params: nameParams,
          querystring: uploadQuery,
          described: { form: uploadForm, querystring: Type.Partial(uploadQuery) },
          description:
            'As a form; or the file is the body, of the type application/octet-stream, and the fields are in the query.',
          ...told('contribute', 'Give a file', givenAnswer),
        },
        // A form's fields are checked as the query's are, once they are here.
        preValidation: async (request) => {
          if (!request.isMultipart()) return;
          const { store, contributions } = await service();
          await datanetFor(store, request.params.name, caller(request), 'contributor');
          const { fields, file } = await readForm(request, 'file', {
            bytes: contributions.uploadBytes,
            fieldBytes: 4 * longestText,
            tooLarge: () => tooLarge(contributions.uploadBytes),
            take: (source) => contributions.receive(source),
            undo: (arrival) => contributions.discard(arrival),
          });
          if (!file) throw noFile();
          forms.set(request, file.content);
          const filename = file.filename.slice(0, 255);
          request.query = { filename, ...(request.query as object), ...Object.fromEntries(fields) } as never;
        },
        onError: discard,
      },
      async (request) => {
        const { store, contributions } = await service();
        const { datanet } = await datanetFor(store, request.params.name, caller(request), 'contributor');
        const { contributor: id, format, columns, signature, ...said } = request.query;
        const contributor = await contributorFor(store, id, caller(request));
        const { filename, licence, source, rights } = said;
        const statement = {
          ...{ filename, licence, source, rights },
          format: {
            ...(format === undefined ? {} : { format: format as FormatName }),
            ...(columns === undefined ? {} : { columns: columnsOf(columns) }),
          },
          signature: signature ?? null,
        };
        const arrival = forms.get(request);
        const { contribution, job } = arrival
          ? await contributions.keep(datanet, contributor, statement, arrival)
          : await contributions.submit(datanet, contributor, statement, fileOf(request.body));
        return { ...contributionJson(contribution), job: job.id };
      },
    );
  });

  app.get<{ Params: NameParams; Querystring: Static<typeof listQuery> }>(
    '/datanets/:name/contributions',
    {
      schema: {
        params: nameParams,
        querystring: listQuery,
        ...told(
          'listContributions',
          'The contributions; of others, a curator alone sees them',
          listAnswer(contributionAnswer),
        ),
      },
    },
    async (request) => {
      const { store } = await service();
      const { datanet } = await datanetFor(store, request.params.name, caller(request), 'curator');
      const { state } = request.query;
      const filter = {
        datanet: datanet.id,
        ...(state === undefined ? {} : { state: state as Contribution['state'] }),
      };
      return listJson(await store.contributions(filter, pageOf(request.query)), contributionJson);
    },
  );

  app.get<{ Params: IdParams }>(
    '/datanets/:name/contributions/:id',
    { schema: { params: idParams, ...told('retrieveContribution', 'One contribution', contributionAnswer) } },
    async (request) => {
      const { store } = await service();
      return contributionJson((await contributionFor(store, request.params, caller(request))).contribution);
    },
  );

  app.get<{ Params: IdParams; Querystring: { after?: string; limit?: string } }>(
    '/datanets/:name/contributions/:id/refused_rows',
    {
      schema: {
        params: idParams,
        querystring: pageQuery({}),
        ...told('listRefusedRows', 'Its rows that are no examples, and why', listAnswer(refusedRowAnswer)),
      },
    },
    async (request) => {
      const { store } = await service();
      const { contribution } = await contributionFor(store, request.params, caller(request));
      return listJson(await store.refusedRows(contribution.id, pageOf(request.query)), (row) => row);
    },
  );

  app.post<{ Params: IdParams; Body: Static<typeof reviewBody> }>(
    '/datanets/:name/contributions/:id/review',
    {
      schema: {
        params: idParams,
        body: reviewBody,
        ...told('reviewContribution', 'Accept or reject it', contributionAnswer),
      },
    },
    async (request) => {
      const { store, contributions } = await service();
      const { contribution } = await contributionFor(store, request.params, caller(request), 'curator');
      const { decision, reason } = request.body;
      const word = {
        accept: decision === 'accept',
        reviewer: caller(request).tenant,
        reason: reason ?? null,
      };
      return contributionJson(await contributions.review(contribution, word));
    },
  );

  app.post<{ Params: IdParams; Body: Static<typeof withdrawBody> }>(
    '/datanets/:name/contributions/:id/withdraw',
    {
      schema: {
        params: idParams,
        body: withdrawBody,
        ...told('withdrawContribution', 'Take it back', contributionAnswer),
      },
    },
    async (request) => {
      const { store, contributions } = await service();
      const { contribution } = await contributionFor(store, request.params, caller(request));
      return contributionJson(await contributions.withdraw(contribution, request.body.reason ?? null));
    },
  );
}

/** "part=column", one after another with commas between. */
function columnsOf(columns: string): ColumnMapping {
  const pairs = columns.split(',').map((pair) => pair.split('='));
  const mapping = Object.fromEntries(
    pairs.map(([part, ...column]) => [part!.trim(), column.join('=').trim()]),
  );
  const wrong = pairs.some(([, ...column]) => column.join('').trim() === '')
    ? 'Write part=column, with commas between.'
    : checkMapping(mapping);
  if (wrong === undefined) return mapping;
  throw new ColophonError(`The columns '${columns}' cannot be mapped. ${wrong}`, {
    param: 'columns',
    code: 'invalid_value',
  });
}

/** A contribution of the caller's own tenant, or any for a curator; 404 for others, 403 where its role is below `needed`. */
export async function contributionFor(
  store: DatanetStore,
  { name, id }: IdParams,
  caller: Caller,
  needed: Role = 'contributor',
) {
  const { datanet, role } = await datanetFor(store, name, caller, needed);
  const contribution = await store.contribution(id);
  if (contribution?.datanet !== datanet.id) throw notFound('contribution', id);
  if (!has(role, 'curator')) {
    const contributor = await store.contributor(contribution.contributor);
    if (contributor?.tenant !== caller.tenant) throw notFound('contribution', id);
  }
  return { datanet, contribution };
}

function contributionJson({ publicKey, createdAt, reviewedAt, ...same }: Contribution) {
  return {
    object: 'datanet.contribution' as const,
    ...same,
    public_key: publicKey,
    created_at: createdAt,
    reviewed_at: reviewedAt,
  };
}

function noFile(): ColophonError {
  return new ColophonError("Missing required parameter: 'file'.", {
    param: 'file',
    code: 'missing_required_parameter',
  });
}

/**
 * The body as it comes. What a refusal leaves of it is read and thrown away: a connection that is ended, or no longer read, with
 * bytes on their way would lose the answer, and a client that sends all before it reads would wait for ever.
 */
async function* fileOf(body?: Readable): AsyncGenerator<Buffer> {
  if (!body) return;
  try {
    yield* body.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>;
  } finally {
    body.resume();
  }
}
