/** Chat completions that were asked to be kept (`store: true`): what is kept of them, and the routes to it. */
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import type { Caller } from '../access/callers.ts';
import { ColophonError } from '../contract/index.ts';
import type { ObjectStore } from '../store/object_store.ts';
import type { ChatBody } from './chat_request.ts';
import type { ChatCompletion } from './chat_response.ts';
import { checkMetadata, type Metadata, metadataField } from './metadata.ts';
import { answers } from './openapi.ts';
import { listBody, pageOf, pagingFields, readPaging } from './paging.ts';
import { deletedAnswer, storedChatAnswer, storedMessageAnswer } from './response_schemas.ts';
import type { Services } from './services.ts';
import { idParams, listAnswer } from './stored_schemas.ts';

const kind = 'chat_completion';
const secondsOfDay = 86_400;

/** The completion as the API shows it; its messages have a route of their own. */
interface Stored extends Record<string, unknown> {
  id: string;
  metadata: Metadata;
  messages: ChatBody['messages'];
}

/** For `chatAnswer`: keeps the completion; undefined where the request does not ask for it. */
export function keeper(
  services: Services,
  body: ChatBody,
  caller: Caller,
  requestId: string,
): ((completion: ChatCompletion) => void) | undefined {
  if (!body.store) return undefined;
  return (completion) => {
    const stored: Stored = {
      ...completion,
      request_id: requestId,
      ...askedFor(body),
      metadata: body.metadata ?? {},
      messages: body.messages,
    };
    const expires = completion.created + Math.round(services.config.store.days * secondsOfDay);
    try {
      services.store.put(kind, caller.tenant, completion.id, stored, expires);
    } catch (error) {
      // The answer is there, and was perhaps sent already: its client has more of it than of an error.
      services.log.error({ err: error, id: completion.id }, 'A chat completion could not be stored.');
    }
  };
}

/** What OpenAI shows of the request beside the answer. */
function askedFor(body: ChatBody) {
  return {
    seed: body.seed ?? null,
    temperature: body.temperature ?? 1,
    top_p: body.top_p ?? 1,
    presence_penalty: body.presence_penalty ?? 0,
    frequency_penalty: body.frequency_penalty ?? 0,
    input_user: body.user ?? null,
    tools: body.tools ?? null,
    tool_choice: body.tool_choice ?? null,
    response_format: body.response_format ?? null,
  };
}

const listQuery = Type.Object({ ...pagingFields(), model: Type.Optional(Type.String()) });
const messagesQuery = Type.Object(pagingFields());
const updateBody = Type.Object({ metadata: Type.Union([metadataField, Type.Null()]) });
const path = '/v1/chat/completions';
const params = idParams('chat completion');

interface ById {
  Params: { id: string };
}

export function storedCompletionRoutes(app: FastifyInstance, { store }: Services): void {
  app.get<{ Querystring: Static<typeof listQuery> }>(
    path,
    {
      schema: {
        querystring: listQuery,
        summary: 'The stored chat completions',
        operationId: 'listChatCompletions',
        tags: ['chat'],
        description: 'Any number of `metadata[key]=value` keep to those that have it.',
        response: answers(listAnswer(storedChatAnswer)),
      },
    },
    async (request) => {
      const options = { ...readPaging(request.query, 'asc'), where: filtersOf(request.query) };
      const page = store.list<Stored>(kind, request.caller.tenant, options);
      return listBody({ ...page, data: page.data.map(shown) });
    },
  );

  app.get<ById>(
    `${path}/:id`,
    {
      schema: {
        params,
        summary: 'One stored chat completion',
        operationId: 'retrieveChatCompletion',
        tags: ['chat'],
        response: answers(storedChatAnswer),
      },
    },
    async (request) => shown(find(store, request.caller, request.params.id)),
  );

  app.post<ById & { Body: Static<typeof updateBody> }>(
    `${path}/:id`,
    {
      schema: {
        params,
        body: updateBody,
        summary: 'Change its metadata',
        operationId: 'updateChatCompletion',
        tags: ['chat'],
        response: answers(storedChatAnswer),
      },
    },
    async (request) => {
      const { metadata } = request.body;
      checkMetadata(metadata);
      const { id } = request.params;
      const changed = store.change<Stored>(kind, request.caller.tenant, id, (stored) => ({
        ...stored,
        metadata: metadata ?? {},
      }));
      if (!changed) throw unknown(id);
      return shown(changed);
    },
  );

  app.delete<ById>(
    `${path}/:id`,
    {
      schema: {
        params,
        summary: 'Delete one',
        operationId: 'deleteChatCompletion',
        tags: ['chat'],
        response: answers(deletedAnswer('chat.completion.deleted')),
      },
    },
    async (request) => {
      const { id } = request.params;
      find(store, request.caller, id);
      store.delete(kind, request.caller.tenant, id);
      return { object: 'chat.completion.deleted', id, deleted: true };
    },
  );

  app.get<ById & { Querystring: Static<typeof messagesQuery> }>(
    `${path}/:id/messages`,
    {
      schema: {
        params,
        querystring: messagesQuery,
        summary: 'The messages that it was asked with',
        operationId: 'listChatCompletionMessages',
        tags: ['chat'],
        response: answers(listAnswer(storedMessageAnswer)),
      },
    },
    async (request) => {
      const { id, messages } = find(store, request.caller, request.params.id);
      return listBody(
        pageOf(
          messages.map((message, index) => storedMessage(`${id}-${index}`, message)),
          readPaging(request.query, 'asc'),
          'message',
        ),
      );
    },
  );
}

function find(store: ObjectStore, caller: Caller, id: string): Stored {
  const stored = store.get<Stored>(kind, caller.tenant, id);
  if (!stored) throw unknown(id);
  return stored;
}

function unknown(id: string): ColophonError {
  return new ColophonError(
    `There is no stored chat completion with the id '${id.slice(0, 100)}'. Only those that were made with "store": true are kept.`,
    { type: 'not_found_error', code: 'chat_completion_not_found', param: 'id' },
  );
}

function shown({ messages: _, ...completion }: Stored): Omit<Stored, 'messages'> & { id: string } {
  return completion as Omit<Stored, 'messages'> & { id: string };
}

/** `model` and any number of `metadata[key]`. */
function filtersOf(query: Record<string, unknown>): Record<string, string> {
  const where: Record<string, string> = {};
  for (const [name, value] of Object.entries(query)) {
    const key = /^metadata\[(.*)\]$/s.exec(name)?.[1];
    if (name !== 'model' && key === undefined) continue;
    if (typeof value !== 'string') {
      throw new ColophonError(`'${name.slice(0, 100)}' is given more than once; give it once.`, {
        param: name.slice(0, 100),
        code: 'invalid_value',
      });
    }
    where[key === undefined ? 'model' : `metadata.${key}`] = value;
  }
  return where;
}

function storedMessage(id: string, message: ChatBody['messages'][number]) {
  const { content } = message;
  const parts = Array.isArray(content) ? content : null;
  const text = parts ? parts.map((part) => part.text ?? part.refusal ?? '').join('\n') : (content ?? null);
  return { id, refusal: null, name: null, ...message, content: text, content_parts: parts };
}
