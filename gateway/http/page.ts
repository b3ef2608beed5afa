/** Which page of a list a query asks for. */
import { ColophonError } from '../contract/index.ts';

export interface PageOptions {
  after?: string;
  limit: number;
  order: 'asc' | 'desc';
}

/** Reads `after`, `limit` and `order`; a 400 that names the one at fault. */
export function readPage(query: unknown, limits: { fallback: number; most: number }): PageOptions {
  const given = query as Record<string, unknown>;
  for (const name of ['after', 'limit', 'order']) {
    if (Array.isArray(given[name])) throw wrong(name, 'is given more than once; give it once.');
  }
  const { after, limit = String(limits.fallback), order = 'desc' } = given as Record<string, string>;
  if (!/^\d{1,9}$/.test(limit) || Number(limit) < 1 || Number(limit) > limits.most) {
    throw wrong('limit', `is '${limit.slice(0, 100)}'; use an integer from 1 to ${limits.most}.`);
  }
  if (order !== 'asc' && order !== 'desc') {
    throw wrong('order', `is '${order.slice(0, 100)}'; use 'asc' or 'desc'.`);
  }
  return { ...(after ? { after } : {}), limit: Number(limit), order };
}

/** OpenAI's list object. */
export function listJson<Item extends { id: string }>(page: { data: Item[]; hasMore: boolean }) {
  const { data, hasMore } = page;
  return {
    object: 'list' as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}

function wrong(param: string, what: string): ColophonError {
  return new ColophonError(`'${param}' ${what}`, { param, code: 'invalid_value' });
}
