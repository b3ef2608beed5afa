/** The sockets that are open: how many each tenant has, and all of them when the server stops. */
import { ColophonError } from '../contract/index.ts';
import { type Connection, closing } from './connection.ts';

export class Sockets {
  readonly #open = new Set<Connection>();
  readonly #perTenant = new Map<string, number>();
  readonly #limit: number;

  constructor(limits: { max_per_tenant: number }) {
    this.#limit = limits.max_per_tenant;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Counts a socket for a tenant; throws a 429 where it has too many. Every admit() has its leave(). */
  admit(tenant: string): void {
    const count = this.#perTenant.get(tenant) ?? 0;
    if (count >= this.#limit) {
      throw new ColophonError(
        `You have ${count} WebSockets open, as many as the server allows (server.websocket.max_per_tenant). Close one first.`,
        { type: 'rate_limit_error', code: 'websocket_limit_reached' },
      );
    }
    this.#perTenant.set(tenant, count + 1);
  }

  leave(tenant: string): void {
    const left = (this.#perTenant.get(tenant) ?? 0) - 1;
    if (left > 0) this.#perTenant.set(tenant, left);
    else this.#perTenant.delete(tenant);
  }

  add(connection: Connection): void {
    this.#open.add(connection);
  }

  delete(connection: Connection): void {
    this.#open.delete(connection);
  }

  /** The server stops: each closes once what it generates has ended, with a code after which clients come back. */
  retire(): void {
    const error = new ColophonError('The server is shutting down. Try again in a moment.', {
      type: 'service_unavailable_error',
      code: 'shutting_down',
    });
    for (const connection of this.#open) connection.retire(closing.restart, error);
  }

  terminate(): void {
    for (const connection of this.#open) connection.terminate();
  }
}
