/** A whole server over a mock backend, for tests that speak HTTP to it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { pino } from 'pino';
import { type Config, loadConfig } from '../config/index.ts';
import type { Plugin } from '../contract/index.ts';
import {
  createMockBackend,
  type MockBackend,
  type MockOptions,
  mockPlugin,
} from '../host/testing/mock_backend.ts';
import { type RunningServer, startServer } from '../main.ts';

export interface TestServer extends RunningServer {
  backend: MockBackend;
  openai: OpenAI;
  /** Lines of the log. */
  logged: Array<Record<string, unknown>>;
  /** POSTs JSON (or a body as it is) and gives the status, the headers and the body, parsed where it is JSON. */
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answered>;
}

export interface Answered {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests reach into bodies of every shape
  body: any;
}

export interface TestServerOptions extends MockOptions {
  env?: Record<string, string>;
  change?: (config: Config) => void;
  /** Beside the mock backend's. */
  plugins?: Plugin[];
}

/** On a free port, with a configuration of its own. Close it. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const home = mkdtempSync(join(tmpdir(), 'colophon-test-'));
  const config = loadConfig({ env: { COLOPHON_HOME: home, COLOPHON_PORT: '0', ...options.env } });
  options.change?.(config);
  const backend = createMockBackend(options);
  const logged: Array<Record<string, unknown>> = [];
  const log = pino({ level: 'info', base: null }, { write: (line: string) => logged.push(JSON.parse(line)) });
  const server = await startServer(config, {
    plugins: [mockPlugin(backend), ...(options.plugins ?? [])],
    log,
  });
  const key = config.access.api_key;
  return {
    ...server,
    close: async () => {
      await server.close();
      rmSync(home, { recursive: true, force: true });
    },
    backend,
    logged,
    openai: new OpenAI({ baseURL: `${server.url}/v1`, apiKey: key ?? 'none', maxRetries: 0 }),
    async post(path, body, headers = {}) {
      const response = await fetch(server.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
      });
      return answered(response);
    },
  };
}

export async function answered(response: Response): Promise<Answered> {
  const text = await response.text();
  const json = /^application\/json(;|$)/.test(response.headers.get('content-type') ?? '');
  return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text };
}

/** The JSON of every event of a stream, and whether it ended with [DONE]. */
// biome-ignore lint/suspicious/noExplicitAny: as above
export function eventsOf(stream: string): { events: any[]; done: boolean } {
  const data = stream
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => event.slice('data: '.length));
  const done = data.at(-1) === '[DONE]';
  return { events: data.filter((text) => text !== '[DONE]').map((text) => JSON.parse(text)), done };
}

/** Waits for what must become true; it failing to is a test that runs into its limit, not a race. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
}
