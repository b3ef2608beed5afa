import type { FastifyInstance } from 'fastify';
import { sendAnswer } from './answer.ts';
import { followChoices } from './attribution.ts';
import { type ChatBody, chatBody, readChatRequest } from './chat_request.ts';
import { chatAnswer } from './chat_response.ts';
import { meterChoices } from './metered.ts';
import { answers } from './openapi.ts';
import { chatAnswers } from './response_schemas.ts';
import type { Services } from './services.ts';
import { envelopeOf } from './shared_request.ts';
import { keeper } from './stored_completions.ts';

export function chatCompletionRoutes(app: FastifyInstance, services: Services): void {
  const special = services.config.text.special_tokens_in_content;
  app.post<{ Body: ChatBody }>(
    '/v1/chat/completions',
    {
      schema: {
        body: chatBody,
        summary: 'Chat, whole or as a stream',
        operationId: 'createChatCompletion',
        tags: ['chat'],
        response: answers(chatAnswers),
      },
    },
    async (request, reply) => {
      const { body } = request;
      request.outcome.model = body.model;
      const served = await services.catalogue.find(body.model);
      const chat = await readChatRequest(body, served, special, request.caller);
      const keep = keeper(services, body, request.caller, request.id);
      const envelope = envelopeOf('chatcmpl', body, served);
      followChoices(services, envelope.id, request.caller.tenant, served, chat.choices, body.attribution);
      const metered = meterChoices(services, envelope.id, request.caller, served, chat.choices);
      const answer = chatAnswer(body, chat, served, envelope, keep);
      return sendAnswer(services, request, reply, answer, body.stream ?? false, metered);
    },
  );
}
