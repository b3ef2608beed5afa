/** Every failure becomes OpenAI's envelope; only what is meant for clients is in it. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ColophonError } from '../contract/index.ts';

/** What Fastify says in words that are no sentence. */
const reworded: Record<string, [sentence: string, code: string]> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'The Content-Type header of the request is no media type; JSON is sent with "Content-Type: application/json".',
    'unsupported_media_type',
  ],
};

/** The error as clients may see it. Anything unforeseen is a plain 500 whose cause only the log knows. */
export function publicError(error: unknown): ColophonError {
  if (error instanceof ColophonError) return error;
  const {
    statusCode,
    message,
    code: given,
  } = error as { statusCode?: number; message?: string; code?: string };
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    const [sentence, code] = reworded[given ?? ''] ?? [message ?? 'The request is not valid.'];
    return new ColophonError(sentence, { status: statusCode, code, cause: error });
  }
  return new ColophonError('The server had an error while processing your request. Its log says more.', {
    type: 'server_error',
    code: 'internal_error',
    cause: error,
  });
}

/** Fastify's error handler. */
export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const shown = publicError(error);
  if (shown.status >= 500) request.log.error({ err: error }, shown.message);
  request.outcome.error = shown;
  if (shown.retryAfterSeconds !== undefined) {
    reply.header('retry-after', Math.ceil(shown.retryAfterSeconds));
    reply.header('retry-after-ms', Math.ceil(shown.retryAfterSeconds * 1000));
  }
  if (shown.status === 401) reply.header('www-authenticate', 'Bearer');
  reply.code(shown.status).type('application/json; charset=utf-8').send(JSON.stringify(shown.toBody()));
}
