/**
 * Server-sent events to one client. What one step of the engine gives is joined into one write. A client that reads
 * slowly holds up nobody: its events wait here (no more than its own token limit allows), and when it takes nothing for
 * too long it is cut, which ends its generation.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Taken } from './metered.ts';

/** Events, and what is to be called once they have gone to the socket. */
interface Events {
  texts: string[];
  handed: Array<() => void>;
}

const none = (): Events => ({ texts: [], handed: [] });

export class EventStream {
  readonly #request: FastifyRequest;
  readonly #reply: FastifyReply;
  readonly #stallMs: number;
  #pending = none();
  /** What waits until tokens in it are recorded. */
  #held: Events | undefined;
  #scheduled = false;
  #blocked = false;
  #ended = false;
  #stall: NodeJS.Timeout | undefined;

  constructor(request: FastifyRequest, reply: FastifyReply, stallSeconds: number) {
    this.#request = request;
    this.#reply = reply;
    this.#stallMs = stallSeconds * 1000;
  }

  /** Whether the status and headers are on their way; before that a failure can still have a status of its own. */
  opened = false;

  /**
   * Adds whole events, and the tokens in them. These are handed over when they have gone to the socket; never where the client goes away
   * before. Until they are recorded nothing more leaves, and where they cannot be, what waited for it is gone.
   */
  write(events: string, taken?: Taken): void {
    if (taken?.recorded) this.#hold(taken.recorded);
    const { texts, handed } = this.#held ?? this.#pending;
    texts.push(events);
    if (taken) handed.push(taken.handed);
    if (this.#held) return;
    if (!this.opened) this.#open();
    this.#schedule();
  }

  /** One record at a time: the next is made once what waits for this one is free, or gone. */
  #hold(recorded: Promise<void>): void {
    const held = none();
    this.#held = held;
    recorded.then(
      () => {
        if (this.#held !== held) return;
        this.#held = undefined;
        this.#pending.texts.push(...held.texts);
        this.#pending.handed.push(...held.handed);
        if (!this.opened) this.#open();
        this.#flush();
      },
      () => {
        if (this.#held === held) this.#held = undefined;
      },
    );
  }

  /** Sends what is left, then ends the answer. */
  end(): void {
    this.#ended = true;
    this.#schedule();
  }

  #open(): void {
    this.opened = true;
    const { raw } = this.#reply;
    for (const [name, value] of Object.entries(this.#reply.getHeaders())) {
      if (value !== undefined) raw.setHeader(name, value);
    }
    raw.setHeader('content-type', 'text/event-stream; charset=utf-8');
    raw.setHeader('cache-control', 'no-cache');
    raw.setHeader('x-accel-buffering', 'no');
    raw.setHeader('openai-processing-ms', String(Math.round(performance.now() - this.#request.startedAt)));
    this.#reply.hijack();
    raw.statusCode = 200;
    raw.once('close', () => this.#close());
    raw.on('drain', () => {
      this.#blocked = false;
      clearTimeout(this.#stall);
      this.#flush();
    });
  }

  /** After the microtasks of this turn: by then every choice of this client has its part of the step. */
  #schedule(): void {
    if (this.#scheduled || this.#blocked) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const { raw } = this.#reply;
    if (this.#blocked || raw.destroyed) return;
    const { texts, handed } = this.#pending;
    if (texts.length > 0) {
      this.#pending = none();
      if (!raw.write(texts.length === 1 ? texts[0]! : texts.join(''))) this.#block();
      for (const tell of handed) tell();
    }
    if (this.#ended) raw.end();
  }

  #block(): void {
    this.#blocked = true;
    this.#stall = setTimeout(() => {
      this.#request.log.warn(
        { seconds: this.#stallMs / 1000 },
        'A stream whose client takes nothing was cut.',
      );
      this.#reply.raw.destroy();
    }, this.#stallMs);
    this.#stall.unref();
  }

  #close(): void {
    clearTimeout(this.#stall);
    this.#pending = none();
    this.#held = undefined;
  }
}
