/** /datanets/{name}/examples/{hash}/withdraw and /withdrawals: examples that are taken back while their contributions stay. */
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { datanetFor, has } from '../access.ts';
import type { ExampleWithdrawal } from '../model.ts';
import type { Copy } from '../store/datanet_store.ts';
import { exampleWithdrawalAnswer, exampleWithdrawnAnswer, listAnswer } from './answers.ts';
import { contributionFor } from './contributions.ts';
import {
  listJson,
  type NameParams,
  nameParams,
  pageOf,
  pageQuery,
  type RouteParts,
  reasonText,
  told,
} from './routes.ts';

const hashParams = Type.Object({ name: Type.String(), hash: Type.String({ pattern: '^[0-9a-f]{64}$' }) });
const withdrawBody = Type.Object({
  reason: reasonText,
  contribution: Type.Optional(
    Type.String({ maxLength: 100, description: 'Only where it is in this one; left out: in all.' }),
  ),
});
const listQuery = pageQuery({});
const withdrawalsQuery = Type.Object({
  ...listQuery.properties,
  after: Type.Optional(
    Type.String({ pattern: '^[0-9]{1,15}$', description: 'The id after which it begins.' }),
  ),
});

export function exampleWithdrawalRoutes(app: FastifyInstance, { service, caller }: RouteParts): void {
  app.post<{ Params: Static<typeof hashParams>; Body: Static<typeof withdrawBody> }>(
    '/datanets/:name/examples/:hash/withdraw',
    {
      schema: {
        params: hashParams,
        body: withdrawBody,
        ...told(
          'withdrawExample',
          'Take an example back: your own copies of it, or as a curator all',
          exampleWithdrawnAnswer,
        ),
      },
    },
    async (request) => {
      const { store, contributions } = await service();
      const who = caller(request);
      const { name, hash } = request.params;
      const { datanet, role } = await datanetFor(store, name, who, 'contributor');
      const { contribution: only, reason = null } = request.body;
      if (only !== undefined) await contributionFor(store, { name, id: only }, who);
      const tenants = new Map<string, string | undefined>();
      const isTheirs = async ({ contribution, contributor }: Copy) => {
        if (only !== undefined && contribution !== only) return false;
        if (has(role, 'curator')) return true;
        if (!tenants.has(contributor))
          tenants.set(contributor, (await store.contributor(contributor))?.tenant);
        return tenants.get(contributor) === who.tenant;
      };
      const counts = await contributions.withdrawExample(datanet, hash, {
        by: who.tenant,
        reason,
        isTheirs,
      });
      return { object: 'datanet.example.withdrawn', hash, ...counts };
    },
  );

  app.get<{ Params: NameParams; Querystring: Static<typeof withdrawalsQuery> }>(
    '/datanets/:name/withdrawals',
    {
      schema: {
        params: nameParams,
        querystring: withdrawalsQuery,
        ...told(
          'listExampleWithdrawals',
          'Examples that were taken back, by whom and why',
          listAnswer(exampleWithdrawalAnswer),
        ),
      },
    },
    async (request) => {
      const { store } = await service();
      const { datanet } = await datanetFor(store, request.params.name, caller(request), 'curator');
      return listJson(
        await store.exampleWithdrawals(datanet.id, pageOf(request.query)),
        exampleWithdrawalJson,
      );
    },
  );
}

function exampleWithdrawalJson({ id, hash, by, reason, examples, at }: ExampleWithdrawal) {
  return { object: 'datanet.example.withdrawal' as const, id, hash, by, reason, examples, created_at: at };
}
