/** /v1/attribution/{response}: an answer's spans with the examples that have them, and whom it is credited to. */
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import {
  ColophonError,
  type ExampleOrigin,
  type Host,
  type RequestCaller,
} from '../../gateway/contract/index.ts';
import type { Corpora, Origins } from './corpus.ts';
import { covered, tracedSpans } from './following.ts';
import type { AnswerRecord, Records } from './records.ts';
import type { Salt } from './salt.ts';
import type { Settling } from './settling.ts';

const integer = Type.Integer();
const text = Type.String();
const micro = Type.Integer({ description: 'Millionths of a token.' });

const exampleAnswer = Type.Object({
  number: Type.Integer({ description: 'In the corpus of the adapter.' }),
  contributor: text,
  contribution: text,
  example: Type.Optional(
    Type.String({ description: 'Its hash, and its text, where the reader may read it.' }),
  ),
  text: Type.Optional(text),
  withdrawn: Type.Optional(Type.Literal(true)),
  commitment: Type.Optional(
    Type.String({
      description: "Where the reader may not: HMAC-SHA-256 of its hash under this server's salt.",
    }),
  ),
});

const choiceAnswer = Type.Object({
  index: integer,
  model: text,
  adapter: Type.String({ description: 'Content hash.' }),
  finish_reason: Type.Enum(['stop', 'length', 'cut']),
  status: Type.Enum(['settling', 'settled', 'unattributed']),
  reason: Type.Optional(text),
  tokens: integer,
  matched_tokens: integer,
  spans: Type.Array(
    Type.Object({
      start: integer,
      end: integer,
      text: Type.Optional(text),
      occurrences: integer,
      log_frequency: Type.Number(),
      examples: Type.Array(exampleAnswer),
    }),
  ),
  second_level: Type.Optional(
    Type.Object(
      {
        status: Type.Enum(['wanted', 'done', 'failed']),
        why: Type.Enum(['asked', 'dispute', 'sample']),
        reason: Type.Optional(text),
      },
      { description: 'Whether it is, or was, settled by gradients too.' },
    ),
  ),
  shares: Type.Union([
    Type.Null(),
    Type.Object({
      level: integer,
      influence: Type.Union([text, Type.Null()]),
      policy: Type.String({ description: "SHA-256 of the policy's canonical JSON." }),
      total: micro,
      base: micro,
      base_from: Type.Array(text),
      pool: micro,
      pool_by: Type.Record(text, micro),
      contributors: Type.Array(
        Type.Object({
          contributor: text,
          micro,
          contributions: Type.Array(Type.Object({ contribution: text, micro })),
        }),
      ),
      tokens: Type.Optional(
        Type.Array(
          Type.Object({
            base: micro,
            pool: micro,
            contributors: Type.Array(Type.Object({ contributor: text, micro })),
          }),
        ),
      ),
    }),
  ]),
});

const answer = Type.Object({
  id: Type.String({ description: 'Of the response.' }),
  object: Type.Literal('attribution'),
  created_at: integer,
  choices: Type.Array(choiceAnswer),
});

const query = Type.Object({
  tokens: Type.Optional(
    Type.Enum(['true', 'false'], {
      description: 'With the shares of each token; as long as what was said is kept.',
    }),
  ),
});

const params = Type.Object({ response: Type.String({ maxLength: 200 }) });

export interface Rooms {
  host: Host;
  records: Records;
  corpora: Corpora;
  settling: Settling;
  salt: Salt;
}

export function attributionRoutes(app: FastifyInstance, rooms: Rooms): void {
  const { host, records } = rooms;
  app.get<{ Params: { response: string }; Querystring: { tokens?: string } }>(
    '/v1/attribution/:response',
    {
      schema: {
        params,
        querystring: query,
        summary: 'Who taught what a response says',
        operationId: 'retrieveAttribution',
        tags: ['attribution'],
        response: { 200: answer },
      },
    },
    async (request) => {
      const caller = host.caller(request);
      const { response } = request.params;
      return shownAnswer(
        rooms,
        caller,
        response,
        found(records, caller, response),
        request.query.tokens === 'true',
      );
    },
  );

  app.post<{ Params: { response: string } }>(
    '/v1/attribution/:response/settle',
    {
      schema: {
        params,
        summary: 'Settle a response by gradients too',
        description:
          'By the gradients of what it says and by how likely the base alone would have said it, within the budget and in its own time; the shares that it has stay until then.',
        operationId: 'settleAttribution',
        tags: ['attribution'],
        response: { 202: answer },
      },
    },
    async (request, reply) => {
      const caller = host.caller(request);
      const { response } = request.params;
      const any = await rooms.settling.again(found(records, caller, response), 'asked');
      const now = found(records, caller, response);
      if (!any && !now.some(({ second }) => second)) {
        throw new ColophonError(
          `The response '${response}' cannot be settled by gradients: its adapter has no index of them that is to be used, or what it said is no longer kept.`,
          { type: 'conflict_error', code: 'attribution_not_possible' },
        );
      }
      return reply.status(202).send(await shownAnswer(rooms, caller, response, now, false));
    },
  );
}

/** The choices of a response, as the caller may see them; 404 where there are none. */
function found(records: Records, caller: RequestCaller, response: string): AnswerRecord[] {
  const all = records.of(response, caller.operator ? undefined : caller.tenant);
  if (all.length > 0) return all;
  throw new ColophonError(
    `There is no attribution of '${response}': no adapter answered it, it has not ended, or it is not yours.`,
    { type: 'not_found_error', code: 'attribution_not_found' },
  );
}

async function shownAnswer(
  rooms: Rooms,
  caller: RequestCaller,
  id: string,
  all: AnswerRecord[],
  withTokens: boolean,
) {
  const choices = [];
  for (const record of all) choices.push(await choiceOf(rooms, caller, record, withTokens));
  return { id, object: 'attribution', created_at: all[0]!.created, choices };
}

async function choiceOf(rooms: Rooms, caller: RequestCaller, record: AnswerRecord, withTokens: boolean) {
  const { evidence, settlement, second } = record;
  return {
    index: record.choice,
    model: record.model,
    adapter: record.adapter,
    finish_reason: record.finish,
    status: record.status,
    ...(record.reason === null ? {} : { reason: record.reason }),
    tokens: record.tokens,
    matched_tokens: covered(record.spans),
    // What is wrong with its corpus, settling says.
    spans:
      evidence && record.status !== 'unattributed'
        ? await spansOf(rooms, caller, record, evidence.ids).catch(() => [])
        : [],
    ...(second
      ? {
          second_level: {
            status: second.status,
            why: second.why,
            ...(second.reason ? { reason: second.reason } : {}),
          },
        }
      : {}),
    shares: settlement && {
      level: settlement.level,
      influence: settlement.influence,
      policy: settlement.policy,
      total: settlement.total,
      base: settlement.base,
      base_from: settlement.baseFrom,
      pool: settlement.pool,
      pool_by: settlement.poolBy,
      contributors: settlement.contributors.map(({ contributor, micro, contributions }) => ({
        contributor,
        micro,
        contributions,
      })),
      ...(withTokens ? await tokenShares(rooms, record) : {}),
    },
  };
}

/** Made anew: the same evidence gives the same shares. */
async function tokenShares({ settling }: Rooms, record: AnswerRecord) {
  const tokens = await settling.tokens(record).catch(() => undefined);
  return tokens ? { tokens } : {};
}

async function spansOf(rooms: Rooms, caller: RequestCaller, record: AnswerRecord, ids: Int32Array) {
  const corpus = await rooms.corpora.of(record.folder, record.adapter);
  const origins = await corpus.origins();
  const text = await rooms.host.text(record.model).catch(() => undefined);
  const spans = [];
  for (const { start, end, occurrences, logFrequency, examples } of tracedSpans(corpus, ids, record.spans)) {
    spans.push({
      start,
      end,
      ...(text ? { text: text.decode(Array.from(ids.subarray(start, end))) } : {}),
      occurrences,
      log_frequency: logFrequency,
      examples: origins ? await shown(rooms, caller, origins, examples) : [],
    });
  }
  return spans;
}

async function shown({ host, salt }: Rooms, caller: RequestCaller, origins: Origins, numbers: number[]) {
  const source = host.all('fileSource').find(({ prefix }) => origins.source.startsWith(prefix));
  const known = await origins.of(numbers);
  const read = async ({ example }: ExampleOrigin) => {
    try {
      const line = await source?.example?.(origins.source, example, caller);
      return line === undefined ? { example, withdrawn: true as const } : { example, text: line };
    } catch {
      return { commitment: salt.commit(example) };
    }
  };
  const all = [];
  for (const number of numbers) {
    const origin = known.get(number)!;
    const { contributor, contribution } = origin;
    all.push({ number, contributor, contribution, ...(await read(origin)) });
  }
  return all;
}
