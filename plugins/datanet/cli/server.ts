/** A server's Datanets, as the commands ask for them. */
import { setTimeout } from 'node:timers/promises';
import { Client, serverUrl } from '../../../gateway/cli/client.ts';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import type { Output } from '../../../gateway/cli/output.ts';
import { configOf, type ServeFlags } from '../../../gateway/cli/server_flags.ts';

export type ServerFlags = ServeFlags & { url?: string };

/** An answer's fields, as docs/datanets.md has them. */
// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes, shown as they are
export type Answer = Record<string, any>;

export function clientOf(flags: ServerFlags): Client {
  const config = configOf(flags);
  return new Client(flags.url ?? serverUrl(config), config.access.api_key);
}

/** The path of something in a Datanet. */
export const path = (name: string, ...rest: string[]) =>
  ['/datanets', ...[name, ...rest].map(encodeURIComponent)].join('/');

/** All of a list, page after page. `key`: what the next page begins after. */
export async function* listed(
  client: Client,
  url: string,
  query: Record<string, string> = {},
  key = 'id',
): AsyncGenerator<Answer> {
  for (let after: string | undefined; ; ) {
    const asked = new URLSearchParams({ limit: '100', ...query, ...(after === undefined ? {} : { after }) });
    const page = await client.json<Answer>('GET', `${url}?${asked}`);
    yield* page.data;
    if (!page.has_more) return;
    after = String(page.last_id ?? page.data.at(-1)[key]);
  }
}

/** Waits for a job, and tells how it gets on. A job that failed is a CliError with its sentence. */
export async function waitFor(client: Client, name: string, id: string, output: Output): Promise<Answer> {
  let told = '';
  for (let wait = 50; ; wait = Math.min(1000, wait * 1.5)) {
    const job = await client.json<Answer>('GET', path(name, 'jobs', id));
    if (job.state === 'succeeded') return job;
    if (job.state === 'failed' || job.state === 'cancelled')
      throw new CliError(job.error ?? `The job ${id} was cancelled.`);
    const total = job.total === null ? '' : ` of ${job.total}`;
    const line = `${job.stage ?? job.kind}: ${job.done}${total} rows`;
    if (job.done > 0 && line !== told) output.say(`  ${line}`);
    told = line;
    await setTimeout(wait);
  }
}

/** "NAME@SNAPSHOT"; without a snapshot the latest. */
export function snapshotOf(text: string): { name: string; snapshot: string } {
  const [, name, snapshot = 'latest'] = /^([a-z0-9-]+)(?:@([0-9a-f]{64}|latest))?$/.exec(text) ?? [];
  if (name !== undefined) return { name, snapshot };
  throw new CliError(
    `"${text}" names no snapshot. Write NAME@SNAPSHOT, with the snapshot's id or "latest".`,
    exitCodes.usage,
  );
}

/** CliError where it is no example's. */
export function checkHash(hash: string): void {
  if (/^[0-9a-f]{64}$/.test(hash)) return;
  throw new CliError(
    `"${hash}" is no hash of an example: 64 digits of hex, as the snapshot's entries have them.`,
    exitCodes.usage,
  );
}
