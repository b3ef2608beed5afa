/** The Realtime API in text mode: one session and one conversation a socket. */
import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import { checked } from './checked.ts';
import { type ClientEvent, type Connection, closing, type Protocol } from './connection.ts';
import { Conversation } from './realtime_conversation.ts';
import { givenItem, type Item, missingItem, newId, readItem } from './realtime_items.ts';
import { RealtimeResponse, type ResponseParams, responseParams } from './realtime_response.ts';
import { Session, sessionUpdate, withGiven } from './realtime_session.ts';

const idField = Type.String({ minLength: 1, maxLength: 512 });

const updateSession = Type.Object({ session: sessionUpdate });
const createItem = Type.Object({ item: givenItem, previous_item_id: maybe(idField) });
const namedItem = Type.Object({ item_id: idField });
const createResponse = Type.Object({ response: maybe(responseParams) });
const cancelResponse = Type.Object({ response_id: maybe(idField) });

/** Opens the session of the model that the URL names. */
export async function serveRealtime(connection: Connection): Promise<void> {
  const { services, request } = connection;
  try {
    const model = modelOf(request.query as Record<string, unknown>);
    request.outcome.model = model;
    await services.catalogue.find(model);
    const { lifetime_seconds } = services.config.server.websocket;
    const session = new Session(model, Math.floor(Date.now() / 1000 + lifetime_seconds));
    connection.serve(new Realtime(connection, session));
  } catch (error) {
    // A browser cannot see why a handshake was refused: it hears of it as an event.
    const shown = connection.shown(error);
    connection.send(errorEvent(newId('event'), shown, undefined));
    connection.close(closing.policy, shown.message);
  }
}

class Realtime implements Protocol {
  readonly #connection: Connection;
  readonly #session: Session;
  readonly #conversation = new Conversation();
  readonly #responses = new Map<string, RealtimeResponse>();
  /** The response that writes into the conversation now. */
  #active: RealtimeResponse | undefined;
  /** Ids of events: random for the socket, then counted. */
  readonly #eventId = newId('event');
  #events = 0;

  constructor(connection: Connection, session: Session) {
    this.#connection = connection;
    this.#session = session;
    this.#send('session.created', { session: session.shown() });
  }

  receive(event: ClientEvent): void {
    switch (event.type) {
      case 'session.update':
        this.#session.update(checked(updateSession, event).session);
        this.#send('session.updated', { session: this.#session.shown() });
        break;
      case 'conversation.item.create':
        this.#createItem(checked(createItem, event));
        break;
      case 'conversation.item.retrieve': {
        const { item_id } = checked(namedItem, event);
        const item = this.#conversation.find(item_id) ?? missingItem(item_id, 'item_id');
        this.#send('conversation.item.retrieved', { item });
        break;
      }
      case 'conversation.item.delete': {
        const { item_id } = checked(namedItem, event);
        this.#conversation.delete(item_id);
        this.#send('conversation.item.deleted', { item_id });
        break;
      }
      case 'conversation.item.truncate':
        throw noAudio('Items of text cannot be truncated, only audio could be. Delete the item instead.');
      case 'response.create':
        this.#createResponse(checked(createResponse, event).response ?? {});
        break;
      case 'response.cancel':
        this.#cancel(checked(cancelResponse, event).response_id ?? undefined);
        break;
      case 'input_audio_buffer.append':
      case 'input_audio_buffer.commit':
      case 'input_audio_buffer.clear':
      case 'output_audio_buffer.clear':
        throw noAudio('Audio is not supported. Create items with content of the type "input_text".');
      default:
        throw unknownEvent(event.type);
    }
  }

  refuse(error: ColophonError, event: ClientEvent | undefined): void {
    this.#connection.send(errorEvent(this.#nextId(), error, event?.event_id));
  }

  #send(type: string, fields: object): void {
    this.#connection.send({ type, event_id: this.#nextId(), ...fields });
  }

  #nextId(): string {
    return `${this.#eventId}_${this.#events++}`;
  }

  #createItem({ item: given, previous_item_id }: Static<typeof createItem>): void {
    if (given.type === 'item_reference') {
      throw new ColophonError(
        `An item cannot be created from a reference to another; 'item.type' must be another.`,
        {
          param: 'item.type',
          code: 'invalid_value',
        },
      );
    }
    const item = readItem(given, 'item', () => undefined);
    const before = this.#conversation.add(item, previous_item_id);
    this.#send('conversation.item.added', { previous_item_id: before, item });
    this.#send('conversation.item.done', { previous_item_id: before, item });
  }

  #createResponse(params: ResponseParams): void {
    const outside = params.conversation === 'none';
    if (params.conversation && !outside && params.conversation !== 'auto') {
      throw new ColophonError(`'response.conversation' must be "auto" or "none".`, {
        param: 'response.conversation',
        code: 'invalid_value',
      });
    }
    if (!outside && this.#active) {
      throw new ColophonError(
        `The conversation already has an active response: ${this.#active.id}. Wait until it is done, or cancel it first.`,
        { code: 'conversation_already_has_active_response' },
      );
    }
    const response = new RealtimeResponse(
      this.#connection,
      {
        model: this.#session.model,
        settings: withGiven(this.#session.settings, params, 'response'),
        items: this.#context(params),
        conversation: outside ? undefined : this.#conversation,
        metadata: readMetadata(params.metadata),
      },
      this.#connection.begin(),
      (type, fields) => this.#send(type, fields),
    );
    if (!outside) this.#active = response;
    this.#responses.set(response.id, response);
    void response.run().finally(() => {
      this.#responses.delete(response.id);
      if (this.#active === response) this.#active = undefined;
      this.#connection.end(response.controller, response.usage);
    });
  }

  /** What the response reads: the conversation as it is now, or what the event gives instead. */
  #context({ input }: ResponseParams): readonly Item[] {
    if (!input) return [...this.#conversation.items];
    return input.map((given, index) =>
      readItem(given, `response.input[${index}]`, (id) => this.#conversation.find(id)),
    );
  }

  #cancel(id: string | undefined): void {
    const response = id === undefined ? this.#active : this.#responses.get(id);
    if (!response) {
      throw new ColophonError(
        id === undefined
          ? 'There is no active response to cancel.'
          : `There is no active response with the id '${id.slice(0, 100)}' to cancel.`,
        { param: id === undefined ? null : 'response_id', code: 'response_cancel_not_active' },
      );
    }
    response.controller.abort();
  }
}

/** `cause`: the id that the client gave the event at fault. */
function errorEvent(event_id: string, error: ColophonError, cause: unknown): object {
  const { type, code, message, param } = error;
  const given = typeof cause === 'string' ? cause.slice(0, 512) : null;
  return { type: 'error', event_id, error: { type, code, message, param, event_id: given } };
}

function modelOf(query: Record<string, unknown>): string {
  if (typeof query.model === 'string' && query.model !== '') return query.model;
  throw new ColophonError(
    `Missing required parameter: 'model'. Name it in the URL: /v1/realtime?model=NAME.`,
    { param: 'model', code: 'missing_required_parameter' },
  );
}

function readMetadata(given: ResponseParams['metadata']): Record<string, string> | null {
  if (!given) return null;
  const keys = Object.keys(given);
  if (keys.length > 16 || keys.some((key) => key.length > 64)) {
    throw new ColophonError(
      `'response.metadata' can have 16 pairs at most, their keys 64 characters; these are ${keys.length}.`,
      { param: 'response.metadata', code: 'invalid_value' },
    );
  }
  return given;
}

function noAudio(sentence: string): ColophonError {
  return new ColophonError(sentence, { param: 'type', code: 'audio_not_supported' });
}

function unknownEvent(type: unknown): ColophonError {
  if (typeof type !== 'string') {
    return new ColophonError(`Missing required parameter: 'type', the name of the event.`, {
      param: 'type',
      code: 'missing_required_parameter',
    });
  }
  return new ColophonError(
    `Unknown event '${type.slice(0, 100)}'. Known are session.update, conversation.item.create, .retrieve, .delete and .truncate, response.create and response.cancel.`,
    { param: 'type', code: 'unknown_event' },
  );
}
