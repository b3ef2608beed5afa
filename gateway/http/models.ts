import type { FastifyInstance } from 'fastify';
import { ColophonError, type ModelCard } from '../contract/index.ts';
import type { Services } from './services.ts';

export function modelRoutes(app: FastifyInstance, services: Services): void {
  app.get('/v1/models', async () => {
    const cards = await services.catalogue.list();
    return { object: 'list', data: cards.map(modelJson) };
  });

  // Ids may hold slashes, encoded or not.
  app.get<{ Params: { '*': string } }>('/v1/models/*', async (request) => {
    const id = request.params['*'];
    const found = await services.catalogue.card(id);
    if (found) return modelJson(found.card);
    throw new ColophonError(`The model '${id.slice(0, 100)}' does not exist.`, {
      type: 'not_found_error',
      code: 'model_not_found',
      param: 'model',
    });
  });
}

/** OpenAI's model object with what vLLM adds, and where an adapter's weights are. */
export function modelJson(card: ModelCard) {
  return {
    id: card.id,
    object: 'model',
    created: card.created,
    owned_by: card.ownedBy,
    root: card.root,
    parent: card.parent,
    max_model_len: card.maxModelLength,
    ...(card.residency ? { residency: card.residency } : {}),
    ...(card.contentHash ? { content_hash: card.contentHash } : {}),
  };
}
