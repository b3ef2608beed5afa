/** /datanets: what there is, and who may do what in it. */
import { randomUUID } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { datanetFor, roleOf } from '../access.ts';
import { CurationChange } from '../curation/settings.ts';
import { now } from '../jobs/runner.ts';
import type { Datanet, ExampleKind, Role } from '../model.ts';
import { compileSchema, type DatanetSchema } from '../schemas/json_schema.ts';
import { eraseTexts } from '../store/erase_texts.ts';
import {
  datanetAnswer,
  datanetDeletedAnswer,
  datanetsAnswer,
  ownDatanetAnswer,
  roleAnswer,
  rolesAnswer,
} from './answers.ts';
import { listJson, type NameParams, nameParams, pageOf, pageQuery, type RouteParts, told } from './routes.ts';

const spdxIds = Type.Array(Type.String({ minLength: 1, maxLength: 100 }), { maxItems: 200 });
const changeable = {
  domain: Type.Optional(Type.String({ maxLength: 200 })),
  description: Type.Optional(Type.String({ maxLength: 10_000 })),
  kinds: Type.Optional(
    Type.Array(Type.Enum(['chat', 'completion', 'text', 'preference']), { minItems: 1, maxItems: 4 }),
  ),
  schema: Type.Optional(Type.Union([Type.Object({}, { additionalProperties: true }), Type.Null()])),
  licence_policy: Type.Optional(
    Type.Object({
      allowed: Type.Optional(spdxIds),
      denied: Type.Optional(spdxIds),
      outbound: Type.Optional(Type.Union([Type.String({ minLength: 1, maxLength: 100 }), Type.Null()])),
    }),
  ),
  curation: Type.Optional(CurationChange),
  open: Type.Optional(Type.Boolean({ description: 'Whether every tenant may contribute.' })),
  contributor_bytes: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
};
const createBody = Type.Object({
  name: Type.String({ pattern: '^[a-z0-9](-?[a-z0-9])*$', maxLength: 64 }),
  ...changeable,
});
const changeBody = Type.Object(changeable);
const roleBody = Type.Object({
  tenant: Type.String({ minLength: 1, maxLength: 256 }),
  role: Type.Union([Type.Enum(['contributor', 'curator', 'owner']), Type.Null()]),
});

export function datanetRoutes(app: FastifyInstance, { service, caller, contributorBytes }: RouteParts): void {
  app.post<{ Body: Static<typeof createBody> }>(
    '/datanets',
    { schema: { body: createBody, ...told('createDatanet', 'Make a Datanet', datanetAnswer) } },
    async (request) => {
      const { store } = await service();
      const datanet: Datanet = {
        id: `datanet_${randomUUID().replaceAll('-', '')}`,
        name: request.body.name,
        domain: '',
        description: '',
        kinds: ['chat'],
        schema: null,
        licencePolicy: { allowed: [], denied: [], outbound: null },
        curation: {},
        owner: caller(request).tenant,
        open: false,
        contributorBytes,
        createdAt: now(),
      };
      const made = { ...datanet, ...changeOf(request.body, datanet) };
      await store.createDatanet(made);
      return datanetJson(made);
    },
  );

  app.get<{ Querystring: { after?: string; limit?: string } }>(
    '/datanets',
    {
      schema: {
        querystring: pageQuery({}),
        ...told('listDatanets', 'The Datanets that you have a role in', datanetsAnswer),
      },
    },
    async (request) => {
      const { store } = await service();
      const page = await store.datanets(pageOf(request.query));
      const roles = await Promise.all(page.data.map((datanet) => roleOf(store, datanet, caller(request))));
      // Pages go by all Datanets, so that one may have fewer than were asked for and still more behind it.
      const { data } = listJson({ ...page, data: page.data.filter((_, at) => roles[at]) }, datanetJson);
      return { object: 'list', data, has_more: page.hasMore, last_id: page.data.at(-1)?.id ?? null };
    },
  );

  app.get<{ Params: NameParams }>(
    '/datanets/:name',
    { schema: { params: nameParams, ...told('retrieveDatanet', 'One Datanet', ownDatanetAnswer) } },
    async (request) => {
      const { store } = await service();
      const { datanet, role } = await datanetFor(store, request.params.name, caller(request), 'contributor');
      return { ...datanetJson(datanet), role };
    },
  );

  app.patch<{ Params: NameParams; Body: Static<typeof changeBody> }>(
    '/datanets/:name',
    {
      schema: {
        params: nameParams,
        body: changeBody,
        ...told('updateDatanet', 'Change a Datanet', datanetAnswer),
      },
    },
    async (request) => {
      const { store } = await service();
      const { datanet } = await datanetFor(store, request.params.name, caller(request), 'owner');
      const change = changeOf(request.body, datanet);
      await store.updateDatanet(datanet.id, change);
      return datanetJson({ ...datanet, ...change });
    },
  );

  app.delete<{ Params: NameParams; Querystring: { confirm?: string } }>(
    '/datanets/:name',
    {
      schema: {
        params: nameParams,
        querystring: Type.Object({
          confirm: Type.Optional(Type.String({ description: 'Its name once more, unless it is empty.' })),
        }),
        ...told('deleteDatanet', 'Delete a Datanet with all that is in it', datanetDeletedAnswer),
      },
    },
    async (request) => {
      const { store, blobs } = await service();
      const { name } = request.params;
      const { datanet } = await datanetFor(store, name, caller(request), 'owner');
      const { data } = await store.contributions({ datanet: datanet.id }, { limit: 1 });
      if (data.length > 0 && request.query.confirm !== name) {
        throw new ColophonError(
          `The Datanet '${name}' has contributions, which go with it for good. To delete it send ?confirm=${name}.`,
          { param: 'confirm', code: 'confirmation_required' },
        );
      }
      await store.deleteDatanet(datanet.id);
      await eraseTexts(store, blobs);
      return { object: 'datanet', id: datanet.id, name, deleted: true };
    },
  );

  app.get<{ Params: NameParams }>(
    '/datanets/:name/roles',
    { schema: { params: nameParams, ...told('listDatanetRoles', 'Who may do what', rolesAnswer) } },
    async (request) => {
      const { store } = await service();
      const { datanet } = await datanetFor(store, request.params.name, caller(request), 'owner');
      return { object: 'list', data: await store.roles(datanet.id), has_more: false };
    },
  );

  app.put<{ Params: NameParams; Body: Static<typeof roleBody> }>(
    '/datanets/:name/roles',
    {
      schema: {
        params: nameParams,
        body: roleBody,
        ...told('setDatanetRole', 'Give or take a role', roleAnswer),
      },
    },
    async (request) => {
      const { store } = await service();
      const { datanet } = await datanetFor(store, request.params.name, caller(request), 'owner');
      const { tenant, role } = request.body;
      await store.setRole(datanet.id, tenant, role as Role | null);
      return { tenant, role };
    },
  );
}

function changeOf(body: Static<typeof changeBody>, { licencePolicy }: Datanet): Partial<Datanet> {
  const { domain, description, kinds, schema, licence_policy, curation, open, contributor_bytes } = body;
  if (schema) compileSchema(schema as DatanetSchema);
  return {
    ...(domain === undefined ? {} : { domain }),
    ...(description === undefined ? {} : { description }),
    ...(kinds === undefined ? {} : { kinds: [...new Set(kinds as ExampleKind[])] }),
    ...(schema === undefined ? {} : { schema: schema as Datanet['schema'] }),
    ...(licence_policy === undefined ? {} : { licencePolicy: { ...licencePolicy, ...licence_policy } }),
    ...(curation === undefined ? {} : { curation }),
    ...(open === undefined ? {} : { open }),
    ...(contributor_bytes === undefined ? {} : { contributorBytes: contributor_bytes }),
  };
}

function datanetJson(datanet: Datanet) {
  const { licencePolicy, contributorBytes, createdAt, ...same } = datanet;
  return {
    object: 'datanet' as const,
    ...same,
    licence_policy: licencePolicy,
    contributor_bytes: contributorBytes,
    created_at: createdAt,
  };
}
