/** A server's payouts, as the commands ask for them. */
import { Client, serverUrl } from '../../../../gateway/cli/client.ts';
import { configOf, type ServeFlags } from '../../../../gateway/cli/server_flags.ts';

export type ServerFlags = ServeFlags & { url?: string };

export interface ListFlags extends ServerFlags {
  limit?: string;
  before?: string;
}

/** An answer's fields, as docs/payouts.md has them. */
// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes, shown as they are
export type Answer = Record<string, any>;

export function clientOf(flags: ServerFlags): Client {
  const config = configOf(flags);
  return new Client(flags.url ?? serverUrl(config), config.access.api_key);
}

export const path = (...parts: string[]) => ['/admin/payouts', ...parts.map(encodeURIComponent)].join('/');

/** A query of what is given. */
export function query(fields: Record<string, string | undefined>): string {
  const given = Object.entries(fields).filter((one): one is [string, string] => one[1] !== undefined);
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
}

/** "2027-03-01 12:00:00" of Unix seconds, UTC. */
export const time = (seconds: number) =>
  new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');
