/** vLLM's /tokenize and /detokenize. */
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import { messagesField } from './chat_messages.ts';
import { templated, templateFields } from './chat_request.ts';
import { modelField, tokenId } from './fields.ts';
import { answers } from './openapi.ts';
import { refuseUnsupported } from './refused.ts';
import { detokenizeAnswer, tokenizeAnswer } from './response_schemas.ts';
import { checkTokenIds } from './sampling.ts';
import type { Services } from './services.ts';
import { readTools, toolFields } from './tools.ts';

const tokenizeBody = Type.Object({
  model: maybe(modelField),
  prompt: maybe(Type.String()),
  messages: maybe(messagesField),
  add_special_tokens: maybe(Type.Boolean()),
  return_token_strs: maybe(Type.Boolean()),
  ...templateFields,
  ...toolFields,
});

const detokenizeBody = Type.Object({ model: maybe(modelField), tokens: Type.Array(tokenId) });

export function tokenizeRoutes(app: FastifyInstance, services: Services): void {
  const special = services.config.text.special_tokens_in_content;

  app.post<{ Body: Static<typeof tokenizeBody> }>(
    '/tokenize',
    {
      schema: {
        body: tokenizeBody,
        summary: 'A text or a chat as token ids',
        operationId: 'tokenize',
        tags: ['tokens'],
        response: answers(tokenizeAnswer),
      },
    },
    async (request, reply) => {
      const { body } = request;
      refuseUnsupported(body);
      const served = await services.catalogue.findOrFirst(body.model);
      const { messages, prompt } = body;
      if ((typeof prompt === 'string') === Boolean(messages)) {
        throw new ColophonError("Give either 'prompt' or 'messages'.", {
          param: messages ? 'messages' : 'prompt',
          code: messages ? 'invalid_value' : 'missing_required_parameter',
        });
      }
      const chat = messages && templated({ ...body, messages }, readTools(body, served));
      const { count, ids, strings } = await served.encoder.list(chat ? chat.messages : prompt!, {
        special: messages ? special : 'parse',
        addBos: body.add_special_tokens ?? true,
        strings: body.return_token_strs ?? false,
        ...chat?.options,
      });
      const { maxModelLength } = served.card;
      return reply
        .type('application/json; charset=utf-8')
        .send(`{"count":${count},"max_model_len":${maxModelLength},"tokens":${ids},"token_strs":${strings}}`);
    },
  );

  app.post<{ Body: Static<typeof detokenizeBody> }>(
    '/detokenize',
    {
      schema: {
        body: detokenizeBody,
        summary: 'Token ids as text',
        operationId: 'detokenize',
        tags: ['tokens'],
        response: answers(detokenizeAnswer),
      },
    },
    async (request) => {
      const { model, tokens } = request.body;
      const { text, encoder } = await services.catalogue.findOrFirst(model);
      checkTokenIds(tokens, text.vocabularySize, 'tokens');
      return { prompt: await encoder.decode(tokens) };
    },
  );
}
