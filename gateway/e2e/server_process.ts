/** A server in a process of its own, which is killed in tests. It runs from dist/. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageFolder } from '../cli/installation.ts';

const program = `
const from = (path) => import(new URL(path, process.env.TEST_DIST));
const [{ startServer }, { loadConfig }, { withLocalModel }] = await Promise.all(
  ['gateway/main.js', 'gateway/config/index.js', 'gateway/models/configure.js'].map(from));
const { TEST_PLUGIN: only, TEST_MODEL: model, ...env } = process.env;
const loaded = loadConfig({ env });
const { config } = model ? await withLocalModel(loaded, { model, model_name: 'base' }) : { config: loaded };
const plugins = only ? { plugins: [(await from('plugins/' + only + '/index.js')).default] } : {};
const { url } = await startServer(config, plugins);
process.stdout.write(url + '\\n');
`;

export interface ServerProcess {
  url: string;
  pid: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  ask(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }>;
  /** SIGKILL; resolves once it has ended. */
  kill(): Promise<void>;
}

export interface ServerProcessOptions {
  /** Sections of the configuration. */
  config?: object;
  /** The one plugin; else all. */
  plugin?: string;
  /** Of the base, which is then called "base". */
  model?: string;
  /** The data folder is a disk of so many bytes, which ends with the process: see `hasSmallDisks`. */
  diskBytes?: number;
}

/** Its data lie in `home`. */
export async function startServerProcess(
  home: string,
  { config = {}, plugin, model, diskBytes }: ServerProcessOptions = {},
): Promise<ServerProcess> {
  const data = join(home, 'data');
  mkdirSync(data, { recursive: true });
  writeFileSync(join(home, 'config.json'), JSON.stringify(config));
  const env = {
    PATH: process.env.PATH,
    COLOPHON_HOME: home,
    COLOPHON_CONFIG: join(home, 'config.json'),
    COLOPHON_PORT: '0',
    COLOPHON_LOG_LEVEL: 'silent',
    TEST_DIST: `${pathToFileURL(packageFolder()).href}/dist/`,
    ...(plugin === undefined ? {} : { TEST_PLUGIN: plugin }),
    ...(model === undefined ? {} : { TEST_MODEL: model }),
  };
  const command = [process.execPath, '--input-type=module', '--eval', program];
  if (diskBytes !== undefined) command.unshift(...onSmallDisk(data, diskBytes));
  const [file, ...args] = command;
  const child = spawn(file!, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const url = await urlOf(child);
  return {
    url,
    pid: child.pid!,
    async ask(method, path, body) {
      const isFile = body instanceof Uint8Array;
      const headers = { 'content-type': isFile ? 'application/octet-stream' : 'application/json' };
      const isForm = body instanceof FormData;
      const sent = isForm ? { body } : { headers, body: isFile ? body : JSON.stringify(body) };
      const answer = await fetch(url + path, {
        method,
        ...(body === undefined ? {} : (sent as RequestInit)),
      });
      const text = await answer.text();
      return { status: answer.status, body: text.startsWith('{') ? JSON.parse(text) : text };
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** What starts a command that has a disk of its own in `folder`, seen by itself and its children alone. */
function onSmallDisk(folder: string, bytes: number): string[] {
  const mounted = `mount -t tmpfs -o size=${bytes} tmpfs '${folder}' && exec "$@"`;
  return ['unshare', '--map-root-user', '--mount', 'sh', '-c', mounted, 'sh'];
}

/** Whether this system lets a process have a disk of its own. */
export async function hasSmallDisks(folder: string): Promise<boolean> {
  const [file, ...args] = [...onSmallDisk(folder, 2 ** 20), 'true'];
  const [code] = await once(
    spawn(file!, args, { stdio: 'ignore' }).on('error', () => {}),
    'close',
  );
  return code === 0;
}

/** A file as a process sees it that has a disk of its own. */
export const seenBy = ({ pid }: ServerProcess, path: string) => `/proc/${pid}/root${path}`;

function urlOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_000);
    });
    child.once('error', reject);
    // Its last words may come after its exit.
    child.once('close', (code) => reject(new Error(`The server ended with status ${code}: ${said}`)));
    let out = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      out = (out + text).slice(-4_000);
      const at = /^(http:\/\/127\.0\.0\.1:\d+)$/m.exec(out);
      if (at) resolve(at[1]!);
    });
  });
}
