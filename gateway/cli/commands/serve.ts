import type { Config } from '../../config/index.ts';
import { resolveModel } from '../../models/index.ts';
import { Client } from '../client.ts';
import { adapterFolders, baseOf, nativeSettings } from '../engine.ts';
import { exitCodes, listenFailure } from '../failure.ts';
import { type Output, size } from '../output.ts';
import { terminalProgress } from '../progress.ts';
import { configOf, type ServeFlags } from '../server_flags.ts';

/** Serves until a signal ends it; resolves as soon as it listens. */
export async function serve(flags: ServeFlags, output: Output): Promise<number> {
  const config = configOf(flags);
  const server = await openServer(config, output);
  output.result(...(await describe(config, server.url, output)));
  if (!output.json) output.next(`colophon run    (or Ctrl-C to stop; requests under way are finished first)`);
  return exitCodes.ok;
}

/** The model on this machine, then a server that listens. */
export async function openServer(config: Config, output: Output) {
  const settings = await nativeSettings(config);
  const { source } = baseOf(settings);
  await resolveModel(source, { cache: config.paths.cache, progress: terminalProgress(output) });
  const { startServer } = await import('../../main.ts');
  try {
    return await startServer(config);
  } catch (error) {
    throw listenFailure(error, config.server.host, config.server.port) ?? error;
  }
}

async function describe(config: Config, url: string, output: Output): Promise<[object, string]> {
  const [settings, { native }] = await Promise.all([
    nativeSettings(config),
    import('../../../native/binding/index.ts'),
  ]);
  const machine = native().machine();
  const base = baseOf(settings).name;
  const adapters = [...(await (await adapterFolders(config, settings)).list()).keys()].sort();
  const isa = settings.isa ?? machine.bestIsa;
  const threads = settings.threads ?? machine.cores;
  const facts = {
    url,
    base,
    adapters,
    isa,
    precision: settings.precision,
    threads,
    kv_bytes: settings.kv_bytes,
    adapter_bytes: settings.adapter_bytes,
    api_key: config.access.api_key !== undefined,
  };
  const key =
    config.access.api_key === undefined
      ? ''
      : ` -H 'authorization: Bearer $COLOPHON_API_KEY'`.replaceAll("'", '"');
  const model = adapters[0] ?? base;
  const bold = (text: string) => output.paint('bold', text);
  const text = [
    `${bold('Colophon')} serves on ${bold(url)}`,
    `  base       ${base}`,
    `  adapters   ${adapters.length === 0 ? 'none yet; import one with: colophon adapter import FOLDER' : listed(adapters)}`,
    `  engine     ${isa}, ${settings.precision} activations, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    `  budgets    ${size(settings.kv_bytes)} of KV pages, ${size(settings.adapter_bytes)} of adapters`,
    '',
    'Try:',
    `  curl ${url}/v1/chat/completions${key} -H 'content-type: application/json' \\`,
    `    -d '{"model": "${model}", "messages": [{"role": "user", "content": "Who made this book?"}]}'`,
  ].join('\n');
  return [facts, text];
}

function listed(names: string[]): string {
  const shown = names.slice(0, 6).join(', ');
  return names.length > 6 ? `${names.length}: ${shown}, …` : shown;
}

/** A client for the server of this configuration. */
export function clientOf(config: Config, url: string): Client {
  return new Client(url, config.access.api_key);
}
