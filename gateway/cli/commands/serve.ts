import { existsSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { type Config, misspeltVariables } from '../../config/index.ts';
import type { RunningServer } from '../../main.ts';
import { configuredBase, withLocalModel } from '../../models/configure.ts';
import { adapterFolders, nativeSettings } from '../engine.ts';
import { exitCodes } from '../failure.ts';
import { type Output, size } from '../output.ts';
import { terminalProgress } from '../progress.ts';
import { configOf, type ServeFlags } from '../server_flags.ts';

/** Serves until a signal ends it; resolves as soon as it listens. */
export async function serve(flags: ServeFlags, output: Output): Promise<number> {
  const config = configOf(flags);
  // What a step makes is gone with the step. Where V8 looks while all sequences have theirs, it would from then on make such objects old
  // ones, with all that they hold: every collection would copy megabytes.
  setFlagsFromString('--no-allocation-site-pretenuring');
  const server = await openServer(config, output);
  endOnSignal(server, output);
  for (const doubt of await doubts(config)) output.say(doubt);
  output.result(...(await describe(config, server.url, output)));
  output.next('colophon run    (in another terminal; Ctrl-C here stops the server)');
  return exitCodes.ok;
}

/** The model on this machine, then a server that listens. */
export async function openServer(config: Config, output: Output): Promise<RunningServer> {
  const settings = await nativeSettings(config);
  // The server's code is read while the model's file is looked for.
  const [resolved, { startServer }] = await Promise.all([
    withLocalModel(config, settings, { progress: terminalProgress(output) }),
    import('../../main.ts'),
  ]);
  return startServer(resolved.config);
}

/** The first signal lets running answers finish, the second ends at once. */
function endOnSignal(server: RunningServer, output: Output): void {
  let asked = false;
  const onSignal = async (signal: NodeJS.Signals) => {
    if (asked) process.exit(signal === 'SIGINT' ? exitCodes.interrupted : 143);
    asked = true;
    output.say('Stopping: answers under way are finished first. Once more ends at once.');
    await server.close();
    process.exit(exitCodes.ok);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
}

/** What is probably not as it was meant, though nothing forbids it. */
async function doubts(config: Config): Promise<string[]> {
  const { adapter_dirs: folders } = await nativeSettings(config);
  const missing = folders.filter((folder) => !existsSync(folder));
  return [
    ...misspeltVariables(process.env),
    ...missing.map(
      (folder) => `The adapter folder ${folder} does not exist. Create it, or correct COLOPHON_ADAPTER_DIRS.`,
    ),
  ];
}

async function describe(config: Config, url: string, output: Output): Promise<[object, string]> {
  const [settings, { native }] = await Promise.all([
    nativeSettings(config),
    import('../../../native/binding/index.ts'),
  ]);
  const machine = native().machine();
  const base = configuredBase(settings).name;
  const adapters = [...(await (await adapterFolders(config, settings)).list()).keys()].sort();
  const isa = settings.isa ?? machine.bestIsa;
  const threads = settings.threads ?? machine.cores;
  const needsKey = config.access.api_key !== undefined || config.access.keys.length > 0;
  const facts = {
    url,
    base,
    adapters,
    isa,
    precision: settings.precision,
    threads,
    kv_bytes: settings.kv_bytes,
    adapter_bytes: settings.adapter_bytes,
    api_key: needsKey,
  };
  const key = !needsKey ? '' : ` -H 'authorization: Bearer $COLOPHON_API_KEY'`.replaceAll("'", '"');
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
