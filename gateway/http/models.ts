import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { ColophonError, type ModelCard } from '../contract/index.ts';
import { cardOf } from './adapters.ts';
import { answers } from './openapi.ts';
import { deletedAnswer, modelAnswer, modelsAnswer } from './response_schemas.ts';
import type { Services } from './services.ts';

export function modelRoutes(app: FastifyInstance, services: Services): void {
  app.get(
    '/v1/models',
    {
      schema: {
        summary: 'Every model and adapter',
        operationId: 'listModels',
        tags: ['models'],
        response: answers(modelsAnswer),
      },
    },
    async () => {
      const cards = await services.catalogue.list();
      return { object: 'list', data: cards.map(modelJson) };
    },
  );

  // Ids may hold slashes, encoded or not.
  app.get<{ Params: { '*': string } }>(
    '/v1/models/*',
    {
      schema: {
        summary: 'One model or adapter',
        operationId: 'retrieveModel',
        tags: ['models'],
        params: Type.Object({ '*': Type.String({ description: 'Its id; slashes need no escape.' }) }),
        response: answers(modelAnswer),
      },
    },
    async (request) => {
      const id = request.params['*'];
      const found = await services.catalogue.card(id);
      if (found) return modelJson(found.card);
      throw unknownModel(id);
    },
  );

  // An adapter goes as by /v1/unload_lora_adapter; its files stay where they are.
  app.delete<{ Params: { '*': string } }>(
    '/v1/models/*',
    {
      schema: {
        summary: 'Unload an adapter that was loaded by call',
        operationId: 'deleteModel',
        tags: ['models'],
        params: Type.Object({ '*': Type.String({ description: 'Its id; slashes need no escape.' }) }),
        response: answers(deletedAnswer('model')),
      },
    },
    async (request) => {
      const id = request.params['*'];
      const known = await cardOf(id, services);
      if (!known) throw unknownModel(id);
      if (known.card?.parent === null || !known.backend.adapters) {
        throw new ColophonError(
          `The model '${id.slice(0, 100)}' cannot be deleted: only adapters come and go by call. Take it out of the server's configuration instead.`,
          { type: 'permission_error', code: 'model_not_deletable', param: 'model' },
        );
      }
      const gone = await known.backend.adapters.unload(id).then(
        () => true,
        (error) => {
          if (error instanceof ColophonError && error.status === 404) return false;
          throw error;
        },
      );
      if (await cardOf(id, services)) {
        throw new ColophonError(
          `The adapter '${id.slice(0, 100)}' lies in a folder of the server, where it is found again when it is asked for. Take it out of there.`,
          { type: 'permission_error', code: 'model_not_deletable', param: 'model' },
        );
      }
      if (!gone) throw unknownModel(id);
      return { id, object: 'model', deleted: true };
    },
  );
}

function unknownModel(id: string): ColophonError {
  return new ColophonError(`The model '${id.slice(0, 100)}' does not exist.`, {
    type: 'not_found_error',
    code: 'model_not_found',
    param: 'model',
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
