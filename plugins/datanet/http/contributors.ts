/** /datanets/{name}/contributors: who gives. */
import { randomUUID } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { contributorFor, datanetFor, has } from '../access.ts';
import { now } from '../jobs/runner.ts';
import type { Contributor } from '../model.ts';
import { contributorAnswer, listAnswer } from './answers.ts';
import {
  type IdParams,
  idParams,
  listJson,
  type NameParams,
  nameParams,
  nullable,
  pageOf,
  pageQuery,
  type RouteParts,
  told,
} from './routes.ts';

const payable = {
  payout_address: nullable(Type.String({ minLength: 1, maxLength: 256 })),
  public_key: nullable(Type.String({ pattern: '^[0-9a-f]{64}$', description: 'Ed25519, hex.' })),
};
const createBody = Type.Object({ name: Type.String({ minLength: 1, maxLength: 256 }), ...payable });
// Not the name: snapshots are bound to it.
const changeBody = Type.Object(payable);
const listQuery = pageQuery({
  mine: Type.Optional(
    Type.Enum(['true', 'false'], { description: 'Only your own, also those that gave nothing here yet.' }),
  ),
});

export function contributorRoutes(app: FastifyInstance, { service, caller }: RouteParts): void {
  app.post<{ Params: NameParams; Body: Static<typeof createBody> }>(
    '/datanets/:name/contributors',
    {
      schema: {
        params: nameParams,
        body: createBody,
        ...told('createContributor', 'Be a contributor', contributorAnswer),
      },
    },
    async (request) => {
      const { store } = await service();
      await datanetFor(store, request.params.name, caller(request), 'contributor');
      const { name, payout_address, public_key } = request.body;
      const contributor: Contributor = {
        id: `contributor_${randomUUID().replaceAll('-', '')}`,
        tenant: caller(request).tenant,
        name,
        payoutAddress: payout_address ?? null,
        publicKey: public_key ?? null,
        createdAt: now(),
      };
      await store.createContributor(contributor);
      return contributorJson(contributor);
    },
  );

  app.get<{ Params: NameParams; Querystring: Static<typeof listQuery> }>(
    '/datanets/:name/contributors',
    {
      schema: {
        params: nameParams,
        querystring: listQuery,
        ...told(
          'listContributors',
          'Who gave something here: your own, or for a curator all',
          listAnswer(contributorAnswer),
        ),
      },
    },
    async (request) => {
      const { store } = await service();
      const who = caller(request);
      const { datanet, role } = await datanetFor(store, request.params.name, who, 'contributor');
      const { mine } = request.query;
      const filter = {
        ...(mine === 'true' || !has(role, 'curator') ? { tenant: who.tenant } : {}),
        ...(mine === 'true' ? {} : { datanet: datanet.id }),
      };
      return listJson(await store.contributors(filter, pageOf(request.query)), contributorJson);
    },
  );

  app.patch<{ Params: IdParams; Body: Static<typeof changeBody> }>(
    '/datanets/:name/contributors/:id',
    {
      schema: {
        params: idParams,
        body: changeBody,
        ...told('updateContributor', 'Change where a contributor is paid, or its key', contributorAnswer),
      },
    },
    async (request) => {
      const { store } = await service();
      await datanetFor(store, request.params.name, caller(request), 'contributor');
      const contributor = await contributorFor(store, request.params.id, caller(request));
      const { payout_address, public_key } = request.body;
      const change = {
        ...(payout_address === undefined ? {} : { payoutAddress: payout_address }),
        ...(public_key === undefined ? {} : { publicKey: public_key }),
      };
      await store.updateContributor(contributor.id, change);
      return contributorJson({ ...contributor, ...change });
    },
  );
}

function contributorJson({ payoutAddress, publicKey, createdAt, ...same }: Contributor) {
  return {
    object: 'datanet.contributor' as const,
    ...same,
    payout_address: payoutAddress,
    public_key: publicKey,
    created_at: createdAt,
  };
}
