/** /admin/payouts: epochs, addresses and disputes, for the operator. /v1/payouts/{account}: what an account got and is to get. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Static, type TSchema, Type } from 'typebox';
import { ColophonError, type Host } from '../../../gateway/contract/index.ts';
import { operatorOnly } from '../operator.ts';
import { longestAccount } from './accounts.ts';
import {
  accountAnswer,
  addressAnswer,
  disputeAnswer,
  disputeJson,
  distributionAnswer,
  epochAnswer,
  epochJson,
  epochSummaryAnswer,
  epochSummaryJson,
  listAnswer,
  proofAnswer,
  seconds,
} from './answers.ts';
import type { Page } from './money.ts';
import type { Payouts } from './payouts.ts';
import { type StatementRow, statementsCsv } from './statement_csv.ts';

const number = '^[1-9][0-9]{0,14}$';
const epochParams = Type.Object({ epoch: Type.String({ pattern: number }) });
const accountText = Type.String({
  minLength: 1,
  maxLength: longestAccount,
  description: '"platform", "pool", "owner:NAME", "stakers:MODEL" or "contributor:ID".',
});
const accountParams = Type.Object({ account: accountText });
const disputeParams = Type.Object({ id: Type.String({ pattern: number }) });

const pageFields = {
  before: Type.Optional(
    Type.String({ pattern: number, description: 'Lists go from the newest: what comes before this one.' }),
  ),
  limit: Type.Optional(
    Type.String({ pattern: '^([1-9]|[1-9][0-9]|100)$', description: '1 to 100; default 20.' }),
  ),
};
const pageQuery = Type.Object(pageFields);
const format = Type.Optional(
  Type.Enum(['json', 'csv'], { description: 'Default: as the Accept header says, else json.' }),
);
const formatQuery = Type.Object({ format });
const accountQuery = Type.Object({ ...pageFields, format });
const disputesQuery = Type.Object({
  ...pageFields,
  state: Type.Optional(Type.Enum(['open', 'rejected', 'upheld'])),
});

const words = Type.String({ minLength: 1, maxLength: 4000 });
const addressBody = Type.Object({
  address: Type.Union([Type.String({ maxLength: 100 }), Type.Null()], {
    description: 'EVM, with its checksum (EIP-55); null: it is paid nowhere any more.',
  }),
});
const disputeBody = Type.Object({
  receipt: Type.String({ minLength: 1, maxLength: 200, description: 'Its id, that of the response.' }),
  reason: words,
  by: Type.Optional(
    Type.String({ minLength: 1, maxLength: 200, description: 'Who disputes it; default: your tenant.' }),
  ),
});
const resolutionBody = Type.Object({
  state: Type.Enum(['rejected', 'upheld'], {
    description:
      'rejected: its amounts are paid; upheld: they are not, and what was is taken from what comes.',
  }),
  resolution: words,
});

export function payoutRoutes(app: FastifyInstance, host: Host, payouts: Payouts): void {
  /** Of the operator; 403 for all others. */
  const operator = (request: FastifyRequest) => {
    const caller = host.caller(request);
    operatorOnly(caller.operator, 'see or change payouts');
    return caller;
  };
  epochRoutes(app, operator, payouts);
  addressRoutes(app, operator, payouts);
  disputeRoutes(app, operator, payouts);

  app.get<{ Params: Static<typeof accountParams>; Querystring: Static<typeof accountQuery> }>(
    '/v1/payouts/:account',
    {
      schema: {
        params: accountParams,
        querystring: accountQuery,
        ...told('retrievePayouts', 'What an account got, and is to get', accountAnswer, 'csv'),
      },
    },
    async (request, reply) => {
      operator(request);
      const { account } = request.params;
      const known = await payouts.books('account', account);
      const statements = await payouts.books('statements', account, pageOf(request.query));
      if (!wantsCsv(request)) return { object: 'payout.account', ...known, statements };
      const rows = statements.map((one) => ({ ...one, currency: known.currency }));
      return sendCsv(reply, 'statements.csv', rows);
    },
  );
}

type Operator = (request: FastifyRequest) => { tenant: string };

function epochRoutes(app: FastifyInstance, operator: Operator, payouts: Payouts): void {
  app.post(
    '/admin/payouts/epochs',
    {
      schema: told(
        'closePayoutEpoch',
        'Close the open epoch: freeze its receipts, pay who is due, sign the statement',
        epochSummaryAnswer,
      ),
    },
    async (request) => {
      operator(request);
      return epochSummaryJson(await payouts.close(Date.now()));
    },
  );

  app.get<{ Querystring: Static<typeof pageQuery> }>(
    '/admin/payouts/epochs',
    {
      schema: {
        querystring: pageQuery,
        ...told('listPayoutEpochs', 'The closed epochs, the newest first', listAnswer(epochSummaryAnswer)),
      },
    },
    async (request) => {
      operator(request);
      return listJson(request.query, (page) => payouts.books('epochs', page), epochSummaryJson);
    },
  );

  app.get<{ Params: Static<typeof epochParams>; Querystring: Static<typeof formatQuery> }>(
    '/admin/payouts/epochs/:epoch',
    {
      schema: {
        params: epochParams,
        querystring: formatQuery,
        ...told('retrievePayoutEpoch', 'What a closed epoch says of every account', epochAnswer, 'csv'),
      },
    },
    async (request, reply) => {
      operator(request);
      const kept = await payouts.epoch(Number(request.params.epoch));
      if (!wantsCsv(request)) return epochJson(kept);
      const { epoch, currency, statements } = kept.predicate;
      const rows = statements.map((one) => ({ ...one, epoch, currency }));
      return sendCsv(reply, `payouts-${epoch}.csv`, rows);
    },
  );

  app.get<{ Params: Static<typeof epochParams> }>(
    '/admin/payouts/epochs/:epoch/distribution',
    {
      schema: {
        params: epochParams,
        ...told(
          'retrievePayoutDistribution',
          'The Merkle tree of what an epoch pays, as @openzeppelin/merkle-tree loads it',
          distributionAnswer,
        ),
      },
    },
    async (request) => {
      operator(request);
      const { epoch } = request.params;
      const file = await payouts.books('distribution', Number(epoch));
      if (file) return file;
      throw new ColophonError(`Nobody is paid in epoch ${epoch}, so that it has no distribution.`, {
        type: 'not_found_error',
        code: 'payout_not_found',
      });
    },
  );

  app.get<{ Params: Static<typeof epochParams> & Static<typeof accountParams> }>(
    '/admin/payouts/epochs/:epoch/proofs/:account',
    {
      schema: {
        params: Type.Object({ ...epochParams.properties, ...accountParams.properties }),
        ...told('provePayout', 'The proof of what the address of an account is paid', proofAnswer),
      },
    },
    async (request) => {
      operator(request);
      return payouts.books('proof', Number(request.params.epoch), request.params.account);
    },
  );
}

function addressRoutes(app: FastifyInstance, operator: Operator, payouts: Payouts): void {
  app.put<{ Params: Static<typeof accountParams>; Body: Static<typeof addressBody> }>(
    '/admin/payouts/addresses/:account',
    {
      schema: {
        params: accountParams,
        body: addressBody,
        ...told('setPayoutAddress', 'Say where an account is paid, from the next close on', addressAnswer),
      },
    },
    async (request) => {
      const { tenant } = operator(request);
      const { account } = request.params;
      const setting = { account, address: request.body.address, since: Date.now(), by: tenant };
      await payouts.books('setAddress', setting);
      return addressJson(setting);
    },
  );

  app.get<{ Params: Static<typeof accountParams> }>(
    '/admin/payouts/addresses/:account',
    {
      schema: {
        params: accountParams,
        ...told(
          'listPayoutAddresses',
          'Where an account is paid, and was before: the newest first, at most 100',
          listAnswer(addressAnswer),
        ),
      },
    },
    async (request) => {
      operator(request);
      const read = ({ limit }: Page) => payouts.books('addresses', request.params.account, limit);
      return listJson({ limit: '100' }, read, addressJson);
    },
  );
}

function disputeRoutes(app: FastifyInstance, operator: Operator, payouts: Payouts): void {
  app.post<{ Body: Static<typeof disputeBody> }>(
    '/admin/payouts/disputes',
    {
      schema: {
        body: disputeBody,
        ...told(
          'openDispute',
          'Dispute a receipt: its amounts are held until that is resolved, and its response settled again where that can be',
          disputeAnswer,
        ),
      },
    },
    async (request) => {
      const { tenant } = operator(request);
      const { receipt, reason, by = tenant } = request.body;
      return disputeJson(await payouts.openDispute({ receipt, reason, by, at: Date.now() }));
    },
  );

  app.get<{ Querystring: Static<typeof disputesQuery> }>(
    '/admin/payouts/disputes',
    {
      schema: {
        querystring: disputesQuery,
        ...told('listDisputes', 'Disputes, the newest first', listAnswer(disputeAnswer)),
      },
    },
    async (request) => {
      operator(request);
      const { state } = request.query;
      const read = (page: Page) => payouts.books('disputes', state === undefined ? page : { ...page, state });
      return listJson(request.query, read, disputeJson);
    },
  );

  app.get<{ Params: Static<typeof disputeParams> }>(
    '/admin/payouts/disputes/:id',
    { schema: { params: disputeParams, ...told('retrieveDispute', 'One dispute', disputeAnswer) } },
    async (request) => {
      operator(request);
      return disputeJson(await payouts.books('dispute', Number(request.params.id)));
    },
  );

  app.post<{ Params: Static<typeof disputeParams>; Body: Static<typeof resolutionBody> }>(
    '/admin/payouts/disputes/:id/resolve',
    {
      schema: {
        params: disputeParams,
        body: resolutionBody,
        ...told('resolveDispute', 'Reject or uphold a dispute', disputeAnswer),
      },
    },
    async (request) => {
      const { tenant } = operator(request);
      const resolving = { id: Number(request.params.id), ...request.body, by: tenant, at: Date.now() };
      return disputeJson(await payouts.books('resolveDispute', resolving));
    },
  );
}

/** What a route's schema says in the document beside what it checks. */
function told(operationId: string, summary: string, answer: TSchema, also?: 'csv') {
  const content = {
    'application/json': { schema: answer },
    ...(also
      ? { 'text/csv': { schema: Type.String({ description: 'A line a statement (RFC 4180).' }) } }
      : {}),
  };
  return {
    operationId,
    summary,
    tags: ['payouts'],
    response: { 200: { description: 'The answer.', content } },
  };
}

function pageOf({ before, limit = '20' }: Static<typeof pageQuery>): Page {
  return { limit: Number(limit), ...(before === undefined ? {} : { before: Number(before) }) };
}

/** One more than is asked for is read, to know whether there is more. */
async function listJson<Item, Shown>(
  query: Static<typeof pageQuery>,
  read: (page: Page) => Promise<Item[]>,
  show: (item: Item) => Shown,
) {
  const { limit, ...page } = pageOf(query);
  const items = await read({ ...page, limit: limit + 1 });
  return {
    object: 'list' as const,
    data: items.slice(0, limit).map(show),
    has_more: items.length > limit,
  };
}

function addressJson({
  since,
  ...same
}: {
  account: string;
  address: string | null;
  since: number;
  by: string;
}) {
  return { object: 'payout.address' as const, ...same, since: seconds(since) };
}

function wantsCsv({ query, headers }: FastifyRequest): boolean {
  const { format } = query as Static<typeof formatQuery>;
  return format === undefined ? /\btext\/csv\b/.test(headers.accept ?? '') : format === 'csv';
}

const sendCsv = (reply: FastifyReply, name: string, rows: StatementRow[]) =>
  reply
    .header('content-type', 'text/csv; charset=utf-8; header=present')
    .header('content-disposition', `attachment; filename="${name}"`)
    .send(statementsCsv(rows));
