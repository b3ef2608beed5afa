/**
 * Server-sent events to one client. What one step of the engine gives is joined into one write. A client that reads
 * slowly holds up nobody: its events wait here (no more than its own token limit allows), and when it takes nothing for
 * too long it is cut, which ends its generation.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';

export class EventStream {
  readonly #request: FastifyRequest;
  readonly #reply: FastifyReply;
  readonly #stallMs: number;
  #pending: string[] = [];
  /** To be called once what is pending has gone to the socket. */
  #handed: Array<() => void> = [];
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

  /** Adds whole events. `handed` is called when they have gone to the socket; never where the client goes away before. */
  write(events: string, handed?: () => void): void {
    if (!this.opened) this.#open();
    this.#pending.push(events);
    if (handed) this.#handed.push(handed);
    this.#schedule();
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
    if (this.#pending.length > 0) {
      const data = this.#pending.length === 1 ? this.#pending[0]! : this.#pending.join('');
      this.#pending = [];
      if (!raw.write(data)) this.#block();
      for (const handed of this.#handed.splice(0)) handed();
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
    this.#pending = [];
    this.#handed = [];
  }
}
