/** The log of one request, whose lines carry its id. It is made when its first line is: nearly no request has one. */
import type { FastifyBaseLogger } from 'fastify';

type Write = FastifyBaseLogger['info'];

export class RequestLog implements FastifyBaseLogger {
  readonly #parent: FastifyBaseLogger;
  readonly #bindings: object;
  #made: FastifyBaseLogger | undefined;

  constructor(parent: FastifyBaseLogger, bindings: object) {
    this.#parent = parent;
    this.#bindings = bindings;
  }

  get #log(): FastifyBaseLogger {
    this.#made ??= this.#parent.child(this.#bindings as never);
    return this.#made;
  }

  get level(): string {
    return this.#log.level;
  }

  set level(level: string) {
    this.#log.level = level;
  }

  child(...given: Parameters<FastifyBaseLogger['child']>): FastifyBaseLogger {
    return this.#log.child(...given);
  }

  fatal(...line: Parameters<Write>): void {
    this.#log.fatal(...line);
  }

  error(...line: Parameters<Write>): void {
    this.#log.error(...line);
  }

  warn(...line: Parameters<Write>): void {
    this.#log.warn(...line);
  }

  info(...line: Parameters<Write>): void {
    this.#log.info(...line);
  }

  debug(...line: Parameters<Write>): void {
    this.#log.debug(...line);
  }

  trace(...line: Parameters<Write>): void {
    this.#log.trace(...line);
  }

  silent(): void {}
}
