/**
 * What every WebSocket has, whatever is spoken on it: events in and out, bounds on both, and generations that end with it.
 * A client that reads slowly holds up nobody: its events wait here, up to a limit, and when it takes nothing for too long
 * it is cut.
 */
import type { Socket } from 'node:net';
import type { FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import type { Caller } from '../access/callers.ts';
import { ColophonError } from '../contract/index.ts';
import { refuseDepth } from '../http/body.ts';
import { publicError } from '../http/errors.ts';
import type { Services } from '../http/services.ts';

/** What a client sends: a JSON object. */
export type ClientEvent = Record<string, unknown>;

/** What is spoken on a socket. */
export interface Protocol {
  /** Takes one event. What it throws is told to the client by `refuse`. */
  receive(event: ClientEvent): void;
  /** Tells the client that something went wrong, and with which event where that is known. */
  refuse(error: ColophonError, event: ClientEvent | undefined): void;
}

/** Where more than this waits to be sent, bytes, nothing more is read: a client that asks is to read its answers. */
const readWhileBelow = 2 ** 20;

/** Close codes of RFC 6455. OpenAI's client opens a new socket after the first two, and gives up after the last. */
export const closing = { goingAway: 1001, restart: 1012, policy: 1008 } as const;

export class Connection {
  readonly request: FastifyRequest;
  readonly services: Services;
  readonly #socket: WebSocket;
  readonly #stream: Socket;
  readonly #running = new Set<AbortController>();
  #protocol: Protocol | undefined;
  #retiring: { code: number; error: ColophonError } | undefined;
  #alive = true;
  #corked = false;
  #stall: NodeJS.Timeout | undefined;
  readonly #idle: NodeJS.Timeout;
  readonly #ping: NodeJS.Timeout;
  readonly #lifetime: NodeJS.Timeout;
  readonly #counts = { events: 0, responses: 0, promptTokens: 0, completionTokens: 0 };

  constructor(services: Services, socket: WebSocket, request: FastifyRequest) {
    this.services = services;
    this.request = request;
    this.#socket = socket;
    this.#stream = request.raw.socket;
    const limits = services.config.server.websocket;
    this.#idle = setTimeout(() => this.#whenIdle(), limits.idle_seconds * 1000).unref();
    this.#ping = setInterval(() => this.#beat(), limits.ping_seconds * 1000).unref();
    this.#lifetime = setTimeout(() => this.#tooOld(), limits.lifetime_seconds * 1000).unref();
    this.#stream.on('drain', () => this.#drained());
    socket.on('pong', () => {
      this.#alive = true;
    });
    socket.on('message', (data: Buffer, binary) => this.#take(data, binary));
    socket.on('error', (error) => {
      // A breach of the protocol; ws has begun to close the socket with the code for it.
      request.outcome.error ??= new ColophonError(error.message, { code: 'invalid_frame', cause: error });
      this.#abort();
    });
    socket.once('close', (code) => this.#closed(code));
    services.sockets.add(this);
    socket.pause();
  }

  get caller(): Caller {
    return this.request.caller;
  }

  /** Whether events still reach the client. */
  get open(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** From here on `protocol` gets what the client sends; nothing is read before. */
  serve(protocol: Protocol): void {
    this.#protocol = protocol;
    this.#socket.resume();
  }

  /** Sends one event; all those of a turn of the event loop in one write. */
  send(event: object): void {
    if (!this.open) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#stream.cork();
      setImmediate(() => this.#uncork());
    }
    this.#socket.send(JSON.stringify(event));
    const { send_limit } = this.services.config.server.websocket;
    const waiting = this.#socket.bufferedAmount;
    if (waiting > readWhileBelow) this.#socket.pause();
    if (waiting > send_limit) this.#cut(`more than ${send_limit} bytes wait for it`);
  }

  /**
   * Begins a generation: its controller is aborted when the socket closes, and when the server cannot wait, with an error
   * then. Throws where there are too many, or the socket takes no more. Every begin() has its end().
   */
  begin(): AbortController {
    if (this.#retiring) throw this.#retiring.error;
    const { max_streams } = this.services.config.server.websocket;
    if (this.#running.size >= max_streams) {
      throw new ColophonError(
        `This socket generates ${max_streams} responses already, as many as it may (server.websocket.max_streams). Wait for one to finish.`,
        { type: 'rate_limit_error', code: 'websocket_stream_limit_reached' },
      );
    }
    const controller = new AbortController();
    if (!this.open) controller.abort();
    this.#running.add(controller);
    this.services.answers.add(controller);
    this.#counts.responses++;
    return controller;
  }

  end(controller: AbortController, usage?: { promptTokens: number; completionTokens: number }): void {
    this.#running.delete(controller);
    this.services.answers.delete(controller);
    this.#counts.promptTokens += usage?.promptTokens ?? 0;
    this.#counts.completionTokens += usage?.completionTokens ?? 0;
    this.#idle.refresh();
    if (this.#retiring && this.#running.size === 0)
      this.close(this.#retiring.code, this.#retiring.error.message);
  }

  /** Takes no new work, and closes once what runs has ended. */
  retire(code: number, error: ColophonError): void {
    this.#retiring ??= { code, error };
    if (this.#running.size === 0) this.close(code, error.message);
  }

  close(code: number, reason: string): void {
    // So that the client's answer is read, whatever it sent before.
    this.#socket.resume();
    // A close frame has room for 123 bytes.
    this.#socket.close(code, reason.slice(0, 120).replace(/[^\x20-\x7e]/g, '?'));
  }

  /** Ends it without a farewell. */
  terminate(): void {
    this.#socket.terminate();
  }

  /** The error as the client may see it; one of the server's own goes to the log as well. */
  shown(error: unknown): ColophonError {
    const shown = publicError(error);
    if (shown.status >= 500) this.request.log.error({ err: error }, shown.message);
    this.request.outcome.error = shown;
    return shown;
  }

  #take(data: Buffer, binary: boolean): void {
    this.#alive = true;
    this.#counts.events++;
    this.#idle.refresh();
    if (!this.open) return;
    let event: ClientEvent | undefined;
    try {
      event = readEvent(data, binary);
      this.#protocol?.receive(event);
    } catch (error) {
      this.#protocol?.refuse(this.shown(error), event);
    }
  }

  #uncork(): void {
    this.#corked = false;
    this.#stream.uncork();
    if (!this.#stream.writableNeedDrain || this.#stall) return;
    const seconds = this.services.config.server.stalled_client_seconds;
    this.#stall = setTimeout(() => this.#cut(`it took nothing for ${seconds} s`), seconds * 1000).unref();
  }

  #drained(): void {
    clearTimeout(this.#stall);
    this.#stall = undefined;
    if (this.#protocol) this.#socket.resume();
  }

  #cut(why: string): void {
    this.request.log.warn(`A socket was cut: ${why}.`);
    this.terminate();
  }

  /** Half-open connections answer no ping. One that is slow to read gets its ping late; it has a limit of its own. */
  #beat(): void {
    if (!this.#alive && !this.#stall) {
      this.#cut('it did not answer a ping');
      return;
    }
    this.#alive = false;
    if (this.open) this.#socket.ping();
  }

  #whenIdle(): void {
    if (this.#running.size > 0) this.#idle.refresh();
    else this.close(closing.goingAway, 'Nothing was asked for a while.');
  }

  #tooOld(): void {
    const minutes = Math.round(this.services.config.server.websocket.lifetime_seconds / 60);
    const error = new ColophonError(
      `This WebSocket has reached its limit of ${minutes} minutes. Open a new one to go on.`,
      { code: 'websocket_connection_limit_reached' },
    );
    this.#protocol?.refuse(error, undefined);
    this.retire(closing.goingAway, error);
  }

  #abort(): void {
    for (const controller of this.#running) controller.abort();
  }

  #closed(code: number): void {
    clearTimeout(this.#idle);
    clearInterval(this.#ping);
    clearTimeout(this.#lifetime);
    clearTimeout(this.#stall);
    this.#abort();
    this.services.sockets.delete(this);
    const { error, ...outcome } = this.request.outcome;
    this.request.log.info(
      {
        reqId: this.request.id,
        route: this.request.routeOptions.url,
        ms: Math.round(performance.now() - this.request.startedAt),
        ...outcome,
        ...this.#counts,
        close: code,
        ...(error ? { error: error.code ?? error.type } : {}),
      },
      'socket closed',
    );
  }
}

/** The event of a message. ws has checked that a text is UTF-8. */
function readEvent(data: Buffer, binary: boolean): ClientEvent {
  if (binary) {
    throw new ColophonError('Binary messages are not supported. Send each event as a text message of JSON.', {
      code: 'unsupported_media_type',
    });
  }
  const text = data.toString();
  refuseDepth(text);
  let event: unknown;
  try {
    event = JSON.parse(text);
  } catch (cause) {
    throw new ColophonError(
      `We could not parse the JSON of your message: ${(cause as Error).message}. Each message must be one JSON object.`,
      { code: 'invalid_json', cause },
    );
  }
  if (typeof event !== 'object' || event === null || Array.isArray(event)) {
    throw new ColophonError('Each message must be a JSON object, such as {"type": "response.create"}.', {
      code: 'invalid_type',
    });
  }
  return event as ClientEvent;
}
