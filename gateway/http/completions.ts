import type { FastifyInstance } from 'fastify';
import { sendAnswer } from './answer.ts';
import { followChoices } from './attribution.ts';
import { type CompletionBody, completionBody, readCompletionRequest } from './completion_request.ts';
import { completionAnswer } from './completion_response.ts';
import { meterChoices } from './metered.ts';
import { answers } from './openapi.ts';
import { completionAnswers } from './response_schemas.ts';
import type { Services } from './services.ts';
import { envelopeOf } from './shared_request.ts';

export function completionRoutes(app: FastifyInstance, services: Services): void {
  app.post<{ Body: CompletionBody }>(
    '/v1/completions',
    {
      schema: {
        body: completionBody,
        summary: 'Text that continues prompts, whole or as a stream',
        operationId: 'createCompletion',
        tags: ['chat'],
        response: answers(completionAnswers),
      },
    },
    async (request, reply) => {
      const { body } = request;
      request.outcome.model = body.model;
      const served = await services.catalogue.find(body.model);
      const completion = await readCompletionRequest(body, served, request.caller);
      const envelope = envelopeOf('cmpl', body, served);
      followChoices(
        services,
        envelope.id,
        request.caller.tenant,
        served,
        completion.choices,
        body.attribution,
      );
      const metered = meterChoices(services, envelope.id, request.caller, served, completion.choices);
      const answer = completionAnswer(body, completion, served, envelope);
      return sendAnswer(services, request, reply, answer, body.stream ?? false, metered);
    },
  );
}
