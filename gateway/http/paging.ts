/** Pages of a list, as OpenAI's API asks for them and shows them. */
import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import type { ListOptions, Page } from '../store/object_store.ts';

interface PageSize {
  /** Objects of a page, where the query does not say. */
  fallback: number;
  most: number;
}

const usual: PageSize = { fallback: 20, most: 100 };

/** Fields of a query, where all are text. */
export const pagingFields = ({ fallback, most }: PageSize = usual) => ({
  after: Type.Optional(
    Type.String({ minLength: 1, description: 'Id of the last object of the page before.' }),
  ),
  limit: Type.Optional(Type.String({ description: `1 to ${most}; default ${fallback}.` })),
  order: Type.Optional(Type.Enum(['asc', 'desc'], { description: 'By the time of creation.' })),
});

const shape = Type.Object(pagingFields());

/** What a query with those fields asks for. */
export type PagingQuery = Static<typeof shape>;

/** `order`: where the query says none. */
export function readPaging(
  query: PagingQuery,
  order: 'asc' | 'desc',
  { fallback, most } = usual,
): ListOptions {
  const { after, limit = String(fallback) } = query;
  const count = /^\d{1,9}$/.test(limit) ? Number(limit) : Number.NaN;
  if (!(count >= 1 && count <= most)) {
    throw new ColophonError(
      `Invalid 'limit': expected an integer from 1 to ${most}, but got '${limit.slice(0, 64)}' instead.`,
      { param: 'limit', code: 'invalid_value' },
    );
  }
  return { after, limit: count, order: query.order ?? order };
}

/** A page of a list that is whole in memory, oldest first. `what`: what an item of it is called. */
export function pageOf<Item extends { id: string }>(
  items: readonly Item[],
  { after, limit, order }: ListOptions,
  what: string,
): Page<Item> {
  const ordered = order === 'asc' ? items : items.toReversed();
  const at = after === undefined ? -1 : ordered.findIndex(({ id }) => id === after);
  if (after !== undefined && at < 0) {
    throw new ColophonError(`There is no ${what} with the id '${after.slice(0, 100)}'.`, {
      param: 'after',
      code: 'invalid_value',
    });
  }
  return { data: ordered.slice(at + 1, at + 1 + limit), hasMore: at + 1 + limit < ordered.length };
}

export function listBody<Item extends { id: string }>({ data, hasMore }: Page<Item>) {
  return {
    object: 'list' as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}
