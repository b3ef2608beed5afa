/**
 * A server under measurement in a process of its own: `worker.js ours` is the whole gateway over the free backend,
 * `worker.js bare FILE` a bare Fastify that gives the answers of FILE. Writes its port; to each line on stdin it answers
 * with what it has used so far, and of aborts it tells by itself.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import websocket from '@fastify/websocket';
import { fastify } from 'fastify';
import { loadConfig } from '../../gateway/config/index.ts';
import { startServer } from '../../gateway/main.ts';
import { freePlugin } from './free_backend.ts';

/** What a worker tells: microseconds of processor time, and bytes that it holds after a collection. */
export interface Used {
  cpu: number;
  rss: number;
  heap: number;
}

/** The answers of ours, for the bare routes. */
export interface Recorded {
  /** Whole events, joined as ours joins them: one write each. */
  writes: string[];
  json: string;
  /** Events of a response over a socket, by the step that they come with. */
  frames: string[][];
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const tell = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

/** Nanoseconds of a clock that all processes of a machine share. */
const aborted = () => tell({ aborted: String(process.hrtime.bigint()) });

async function ours(): Promise<number> {
  const home = mkdtempSync(join(tmpdir(), 'colophon-bench-'));
  process.on('exit', () => rmSync(home, { recursive: true, force: true }));
  const config = loadConfig({
    env: { COLOPHON_HOME: home, COLOPHON_PORT: '0', COLOPHON_LOG_LEVEL: 'error' },
  });
  const { url } = await startServer(config, { plugins: [freePlugin(aborted)] });
  return Number(new URL(url).port);
}

async function bare(file: string): Promise<number> {
  const { writes, json, frames } = JSON.parse(readFileSync(file, 'utf8')) as Recorded;
  const app = fastify();
  await app.register(websocket);
  app.post('/json', async (_request, reply) => reply.type('application/json; charset=utf-8').send(json));
  let running: Array<() => void> = [];
  const step = () => {
    const all = running;
    running = [];
    for (const one of all) one();
  };
  app.post('/held', async (_request, reply) => {
    reply.hijack();
    if (reply.raw.destroyed) aborted();
    else reply.raw.once('close', aborted);
  });
  // The recorded answer as often as it takes to have so many tokens.
  app.post<{ Body: { max_tokens: number } }>('/sse', async (request, reply) => {
    reply.hijack();
    const { raw } = reply;
    raw.once('close', () => {
      if (!raw.writableFinished) aborted();
    });
    raw.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    const last = request.body.max_tokens - 1;
    let at = 0;
    const one = () => {
      if (raw.destroyed) return;
      raw.write(at === last ? writes.at(-1) : writes[at % (writes.length - 1)]);
      if (at++ === last) raw.end();
      else if (running.push(one) === 1) setImmediate(step);
    };
    if (running.push(one) === 1) setImmediate(step);
  });
  app.get('/ws', { websocket: true }, (socket, request) => {
    const { socket: raw } = request.raw;
    socket.on('message', () => {
      let at = 0;
      const one = () => {
        if (raw.destroyed) return;
        raw.cork();
        for (const frame of frames[at++]!) socket.send(frame);
        raw.uncork();
        if (at < frames.length && running.push(one) === 1) setImmediate(step);
      };
      if (running.push(one) === 1) setImmediate(step);
    });
  });
  return Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port);
}

const [kind, file] = process.argv.slice(2);
tell({ port: kind === 'bare' ? await bare(file!) : await ours() });
createInterface({ input: process.stdin })
  .on('line', (line) => {
    if (line === 'collect') collect();
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed } = process.memoryUsage();
    tell({ cpu: user + system, rss, heap: heapUsed } satisfies Used);
  })
  .on('close', () => process.exit(0));
