/** The whole server on the default model, in this process, on a free port. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { pino } from 'pino';
import { loadConfig } from '../config/index.ts';
import { type RunningServer, startServer } from '../main.ts';
import { withLocalModel } from '../models/configure.ts';
import { modelPath } from './engine.ts';

export interface EngineServer extends RunningServer {
  openai: OpenAI;
  /** Id of the base. */
  base: string;
  /** COLOPHON_HOME, removed on close. */
  home: string;
  post(path: string, body: unknown): Promise<{ status: number; body: unknown }>;
  /** A figure of /metrics. */
  metric(name: string): Promise<number>;
}

/** `env` holds COLOPHON_ variables. Without demo adapters unless `demo`. */
export async function startEngineServer(
  env: Record<string, string> = {},
  demo = false,
): Promise<EngineServer> {
  const home = mkdtempSync(join(tmpdir(), 'colophon-e2e-'));
  const variables = { COLOPHON_HOME: home, COLOPHON_PORT: '0', COLOPHON_MODEL: modelPath(), ...env };
  const loaded = loadConfig({ env: variables });
  const { config } = await withLocalModel(loaded, { model: modelPath(), model_name: 'base' });
  const section = config.plugin;
  if (!demo) {
    config.plugin = (name, schema) =>
      ({
        ...(section(name, schema) as object),
        ...(name === 'native' ? { demo_adapters: false } : {}),
      }) as ReturnType<typeof section<typeof schema>>;
  }
  const server = await startServer(config, { log: pino({ level: 'silent' }) });
  return {
    ...server,
    home,
    base: 'base',
    openai: new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0, timeout: 600_000 }),
    close: async () => {
      await server.close();
      rmSync(home, { recursive: true, force: true });
    },
    async post(path, body) {
      const response = await fetch(server.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      const text = await response.text();
      return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
    },
    async metric(name) {
      const text = await (await fetch(`${server.url}/metrics`)).text();
      const line = text.split('\n').find((one) => one.startsWith(`${name} `));
      if (!line) throw new Error(`/metrics has no ${name}.`);
      return Number(line.slice(name.length + 1));
    },
  };
}
