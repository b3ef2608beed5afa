import { Client, serverUrl } from '../client.ts';
import { exitCodes } from '../failure.ts';
import { type Output, table } from '../output.ts';
import { configOf, type ServeFlags } from '../server_flags.ts';

const running = 'colophon_generations_running';

/** The models of a running server, with where their weights are. */
export async function ps(flags: ServeFlags & { url?: string }, output: Output): Promise<number> {
  const config = configOf(flags);
  const client = new Client(flags.url ?? serverUrl(config), config.access.api_key);
  const models = await client.models();
  const load = await client.metrics([running]);
  const rows = models.map((model) => [
    model.id,
    model.parent ? 'adapter' : 'base',
    model.residency ?? (model.parent ? '' : 'ram'),
  ]);
  output.result(
    {
      url: client.url,
      generations_running: load[running] ?? 0,
      models: models.map(({ id, parent, root, residency }) => ({
        id,
        parent,
        root,
        residency: residency ?? null,
      })),
    },
    table(['NAME', 'KIND', 'WEIGHTS'], rows),
  );
  output.say(`${load[running] ?? 0} generations run on ${client.url}.`);
  output.next(`colophon run ${models[0]?.id ?? ''}`.trim());
  return exitCodes.ok;
}
