/** What was used: a tenant asks of itself, the operator of all. */
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { ColophonError, type Host } from '../../gateway/contract/index.ts';
import { operatorOnly } from './operator.ts';
import type { Store } from './store/store.ts';
import { type UsageKey, usageKeys } from './store/usage.ts';

const text = Type.String({ minLength: 1, maxLength: 512 });
const number = Type.String({ pattern: '^[0-9]{1,12}$' });

const query = Type.Object({
  start: Type.Optional({ ...number, description: 'Unix seconds; default: 30 days ago.' }),
  end: Type.Optional({ ...number, description: 'Unix seconds, exclusive; default: now.' }),
  group_by: Type.Optional(
    Type.String({
      maxLength: 100,
      description: `Some of ${usageKeys.join(', ')}, with commas; default: model,day. Without any: one sum.`,
    }),
  ),
  model: Type.Optional(text),
  key: Type.Optional(text),
  adapter: Type.Optional({ ...text, description: 'Content hash.' }),
  limit: Type.Optional({ ...number, description: 'Rows, 1 to 1000; default 100.' }),
  after: Type.Optional({ ...number, description: 'Rows to leave out before: `next` of the answer before.' }),
});
const adminQuery = Type.Object({ ...query.properties, tenant: Type.Optional(text) });

const count = Type.Integer();
const named = Type.Optional(Type.Union([Type.String(), Type.Null()]));
const answer = Type.Object({
  object: Type.Literal('usage'),
  start: count,
  end: count,
  data: Type.Array(
    Type.Object({
      tenant: named,
      key: named,
      model: named,
      adapter: named,
      day: named,
      responses: count,
      prompt_tokens: count,
      cached_tokens: count,
      completion_tokens: count,
      generated_tokens: count,
    }),
  ),
  next: Type.Union([Type.String(), Type.Null()], { description: 'For `after`, where there is more.' }),
});

const monthSeconds = 30 * 86_400;

export function usageRoutes(app: FastifyInstance, host: Host, store: Store): void {
  const shown = async (asked: Static<typeof adminQuery>) => {
    const now = Math.floor(Date.now() / 1000);
    const end = asked.end === undefined ? now + 1 : Number(asked.end);
    const start = asked.start === undefined ? end - monthSeconds : Number(asked.start);
    if (start > end) {
      throw new ColophonError(`'start' is ${start}, after 'end' ${end}. Give an earlier one.`, {
        param: 'start',
        code: 'invalid_value',
      });
    }
    const limit = Math.min(Math.max(Number(asked.limit ?? 100), 1), 1000);
    const offset = Number(asked.after ?? 0);
    const { tenant, key, model, adapter } = asked;
    const rows = await store.call('usage', {
      start,
      end,
      by: readGroups(asked.group_by),
      ...(tenant === undefined ? {} : { tenant }),
      ...(key === undefined ? {} : { key }),
      ...(model === undefined ? {} : { model }),
      ...(adapter === undefined ? {} : { adapter }),
      limit: limit + 1,
      offset,
    });
    const next = rows.length > limit ? String(offset + limit) : null;
    return { object: 'usage' as const, start, end, data: rows.slice(0, limit), next };
  };

  app.get<{ Querystring: Static<typeof query> }>(
    '/v1/usage',
    {
      schema: {
        querystring: query,
        summary: 'What you used',
        description: 'Tokens as they were handed over, of answers that ended; recorded before they left.',
        operationId: 'retrieveUsage',
        tags: ['usage'],
        response: { 200: answer },
      },
    },
    (request) => shown({ ...request.query, tenant: host.caller(request).tenant }),
  );

  app.get<{ Querystring: Static<typeof adminQuery> }>(
    '/admin/usage',
    {
      schema: {
        querystring: adminQuery,
        summary: 'What everyone used',
        operationId: 'retrieveAllUsage',
        tags: ['usage'],
        response: { 200: answer },
      },
    },
    (request) => {
      operatorOnly(host.caller(request).operator, 'see the usage of all tenants');
      return shown(request.query);
    },
  );
}

function readGroups(asked = 'model,day'): UsageKey[] {
  const names = asked.split(',').filter((name) => name !== '');
  for (const name of names) {
    if (usageKeys.includes(name as UsageKey)) continue;
    throw new ColophonError(
      `'group_by' has ${JSON.stringify(name)}. Give some of ${usageKeys.join(', ')}, with commas between them.`,
      { param: 'group_by', code: 'invalid_value' },
    );
  }
  return [...new Set(names)] as UsageKey[];
}
