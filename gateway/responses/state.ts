/** Responses that are kept: in the store, by tenant, with everything that led to them. */
import { ColophonError } from '../contract/index.ts';
import type { Services } from '../http/services.ts';
import type { ObjectStore } from '../store/object_store.ts';
import type { ResponseObject } from './events.ts';
import { responseOfItem } from './ids.ts';
import type { Item, Recall } from './items.ts';

export interface KeptResponse {
  response: ResponseObject;
  /** All that the model was given, oldest first: earlier responses' input and output too, so that deleting one breaks no chain. */
  input: Item[];
}

/** Responses that one caller can go on from, by id. */
export type FindResponse = (id: string) => KeptResponse | undefined;

export function keptBy(store: ObjectStore, tenant: string): FindResponse {
  return (id) => store.get<KeptResponse>('response', tenant, id);
}

/** Stores a response, in place of what was stored of it before. */
export function keep({ store, config }: Services, tenant: string, kept: KeptResponse): void {
  const expires = Math.ceil(kept.response.created_at + config.store.days * 86_400);
  store.put('response', tenant, kept.response.id, kept, expires);
}

/** The stored response of that id. Throws ColophonError, a 404, where the tenant has none. */
export function keptResponse(store: ObjectStore, tenant: string, id: string): KeptResponse {
  const kept = keptBy(store, tenant)(id);
  if (kept) return kept;
  throw new ColophonError(`Response with id '${id.slice(0, 100)}' not found.`, {
    status: 404,
    code: 'response_not_found',
  });
}

/** What a request with this previous_response_id begins with. Throws ColophonError where there is none, or none yet. */
export function chainOf(find: FindResponse, previous: string | null | undefined): Item[] {
  if (previous === undefined || previous === null) return [];
  const kept = find(previous);
  const param = 'previous_response_id';
  if (!kept) {
    throw new ColophonError(`Previous response with id '${previous.slice(0, 100)}' not found.`, {
      param,
      code: 'previous_response_not_found',
    });
  }
  const { status, output } = kept.response;
  if (status === 'queued' || status === 'in_progress') {
    throw new ColophonError(
      `The previous response '${previous}' is still ${status}. Wait until it has ended.`,
      {
        param,
        code: 'previous_response_not_finished',
      },
    );
  }
  return [...kept.input, ...output];
}

/** Stored responses that one request may take items from. */
const recalledAtMost = 128;

/** Items of the chain, then those of any response that is kept. */
export function recallFrom(chain: readonly Item[], find: FindResponse): Recall {
  const known = new Map(chain.map((item) => [item.id, item]));
  const looked = new Set<string>();
  return (itemId) => {
    const responseId = responseOfItem(itemId);
    if (known.has(itemId) || responseId === undefined || looked.has(responseId)) return known.get(itemId);
    if (looked.size === recalledAtMost) {
      throw new ColophonError(
        `'input' refers to items of more than ${recalledAtMost} responses. Use previous_response_id, or send the items themselves.`,
        { param: 'input', code: 'invalid_value' },
      );
    }
    looked.add(responseId);
    const kept = find(responseId);
    for (const item of kept ? [...kept.input, ...kept.response.output] : []) known.set(item.id, item);
    return known.get(itemId);
  };
}
