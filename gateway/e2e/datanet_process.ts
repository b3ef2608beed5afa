/** A server with the Datanets alone, in a process of its own, which is killed in tests. It runs from dist/. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { packageFolder } from '../cli/installation.ts';

const program = `
const from = (path) => import(new URL(path, process.env.TEST_DIST));
const [{ startServer }, { loadConfig }, { default: datanet }] = await Promise.all(
  ['gateway/main.js', 'gateway/config/index.js', 'plugins/datanet/index.js'].map(from));
const { url } = await startServer(loadConfig({ env: process.env }), { plugins: [datanet] });
process.stdout.write(url + '\\n');
`;

export interface DatanetProcess {
  url: string;
  pid: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  ask(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }>;
  /** SIGKILL; resolves once it has ended. */
  kill(): Promise<void>;
}

/** Its data lie in `home`; `config` is a file of settings. */
export async function startDatanetProcess(home: string, config?: string): Promise<DatanetProcess> {
  const env = {
    PATH: process.env.PATH,
    COLOPHON_HOME: home,
    ...(config === undefined ? {} : { COLOPHON_CONFIG: config }),
    COLOPHON_PORT: '0',
    COLOPHON_LOG_LEVEL: 'silent',
    TEST_DIST: `${pathToFileURL(packageFolder()).href}/dist/`,
  };
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const url = await urlOf(child);
  return {
    url,
    pid: child.pid!,
    async ask(method, path, body) {
      const file = body instanceof Uint8Array;
      const headers = { 'content-type': file ? 'application/octet-stream' : 'application/json' };
      const sent = body === undefined ? {} : { headers, body: file ? body : JSON.stringify(body) };
      const answer = await fetch(url + path, { method, ...(sent as RequestInit) });
      return { status: answer.status, body: await answer.json() };
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

function urlOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4_000);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`The server ended with status ${code}: ${said}`)));
    let out = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      out = (out + text).slice(-4_000);
      const at = /^(http:\/\/127\.0\.0\.1:\d+)$/m.exec(out);
      if (at) resolve(at[1]!);
    });
  });
}
