/** What OpenAI has and this server does not: said as such, with what to use instead, whatever the method and the body. */
import type { FastifyInstance } from 'fastify';
import { ColophonError } from '../contract/index.ts';

const chatInstead = 'Ask a model of your own through /v1/chat/completions.';
const responsesInstead = 'Use /v1/responses or /v1/chat/completions.';

/** First segment under /v1, what it is, what to use instead. */
const notOffered: Array<[segment: string, what: string, instead: string]> = [
  ['moderations', 'moderation', chatInstead],
  ['images', 'images', 'Its models read and write text.'],
  ['videos', 'videos', 'Its models read and write text.'],
  ['audio', 'audio', 'Its models read and write text; transcribe before, or speak after.'],
  ['assistants', 'assistants', responsesInstead],
  ['threads', 'threads', responsesInstead],
  ['vector_stores', 'vector stores', 'Search yourself and put what you found into the messages.'],
  ['containers', 'containers', 'Run code yourself, as a tool of /v1/chat/completions.'],
  ['evals', 'evaluations', 'Run them over /v1/batches.'],
  [
    'fine_tuning',
    'this part of fine-tuning',
    'Jobs are under /v1/fine_tuning/jobs where the plugin "training" is enabled.',
  ],
];

export function refuseNotOffered(app: FastifyInstance): void {
  for (const [segment, what, instead] of notOffered) {
    const refuse = async () => {
      throw new ColophonError(`This server does not offer ${what} (/v1/${segment}). ${instead}`, {
        type: 'not_found_error',
        code: 'not_offered',
      });
    };
    for (const url of [`/v1/${segment}`, `/v1/${segment}/*`]) {
      // Before the body is read: that may be anything.
      app.route({
        method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
        url,
        // They are no operations: a client that is made of the document must not have them.
        schema: { hide: true },
        onRequest: refuse,
        handler: refuse,
      });
    }
  }
}
