/** Reads JSON bodies: bounded, strictly UTF-8, with errors that a client gets to see. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ColophonError } from '../contract/index.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** What is read and thrown away of a body that is too large, so that the answer is not lost with the connection. */
const discardedAtMost = 64 * 2 ** 20;

/** Levels of lists and objects in a body. */
const deepest = 512;

const quote = 0x22;

/** Takes JSON and refuses every other content type. */
export function readJsonBodies(app: FastifyInstance, limit: number): void {
  app.removeAllContentTypeParsers();
  // With a callback: a promise for each body is work for every request.
  app.addContentTypeParser(/^application\/(?:[\w.+-]+\+)?json\b/i, (request, _payload, done) => {
    readAll(request, limit, (failure, body) => {
      if (failure) return done(failure);
      let value: unknown;
      try {
        value = parseJson(body!);
      } catch (error) {
        return done(error as Error);
      }
      done(null, value);
    });
  });
  app.addContentTypeParser('*', (request, _payload, done) => {
    readAll(request, limit, (failure) => {
      const given = request.headers['content-type'];
      const sentence = `The body must be JSON, sent with the header "Content-Type: application/json", but this one is ${given ? `'${given.slice(0, 100)}'` : 'without one'}.`;
      done(failure ?? new ColophonError(sentence, { status: 415, code: 'unsupported_media_type' }));
    });
  });
}

/** The value of a body; an empty body is undefined. */
export function parseJson(body: Uint8Array): unknown {
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    throw new ColophonError('The request body is not valid UTF-8.', { code: 'invalid_utf8' });
  }
  if (text === '') return undefined;
  refuseDepth(text);
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new ColophonError(
      `We could not parse the JSON body of your request: ${(cause as Error).message}. The API expects a JSON object.`,
      { code: 'invalid_json', cause },
    );
  }
}

/**
 * No request has a use for such depth, and whatever reads a value level by level (writing it as JSON, a schema's compiler, a
 * template) would run out of stack: refused here, once, before anything does.
 */
export function refuseDepth(text: string): void {
  let depth = 0;
  for (let at = text.length > deepest ? 0 : text.length; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === quote) {
      at = endOfString(text, at);
    } else if (unit === 0x5b || unit === 0x7b) {
      if (++depth > deepest)
        throw new ColophonError(`The JSON of the request is nested more than ${deepest} levels deep.`, {
          code: 'invalid_json',
        });
    } else if (unit === 0x5d || unit === 0x7d) depth--;
  }
}

/** Where the string that begins at `start` ends; strings are most of what bodies are, so they are leapt over. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

/** Calls `done` once, with the whole body or with what is wrong. */
function readAll(
  request: FastifyRequest,
  limit: number,
  done: (failure: ColophonError | null, body?: Buffer) => void,
): void {
  const stream = request.raw;
  const declared = Number(request.headers['content-length'] ?? 0);
  const tooLarge = () =>
    new ColophonError(
      `The request body is larger than the limit of ${limit} bytes. Send less, or raise server.body_limit.`,
      { status: 413, code: 'request_too_large' },
    );
  if (declared > discardedAtMost) {
    done(tooLarge());
    return;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  let ended = false;
  const end = (failure: ColophonError | null, body?: Buffer) => {
    if (ended) return;
    ended = true;
    done(failure, body);
  };
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk);
    else chunks.length = 0;
    if (size > discardedAtMost) {
      stream.pause();
      end(tooLarge());
    }
  });
  stream.on('end', () => {
    if (size > limit) end(tooLarge());
    else end(null, chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size));
  });
  stream.on('error', (cause) =>
    end(new ColophonError('The request body ended early.', { code: 'incomplete_body', cause })),
  );
}
