/**
 * What the gateway costs around an engine: the whole server over a backend that costs nothing, beside bare Fastify routes
 * that give the same bytes. Rates are per second of the server's processor time (one core), so that a client or a neighbour
 * that takes the other core changes little.
 *
 *     npm run -s bench -- gateway [--cases A,B] [--peers A,B] [--repeats N] [--quick] [--output FILE]
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments } from '../lib/arguments.ts';
import { Child } from '../lib/child.ts';
import { publish, runBench, say } from '../lib/main.ts';
import { type CaseResult, caseResult, report, type Unit } from '../lib/report.ts';
import { median, percentile, significant } from '../lib/statistics.ts';
import { ask, askSockets, eventsOf, postBytes } from './client.ts';
import { held, streamed, whole } from './free_backend.ts';
import type { Recorded, Used } from './worker.ts';

const streams = 64;
const tokensPerStream = 256;
const messages = [{ role: 'user', content: 'Tell me of the fox.' }];
const streamBody = { model: streamed, messages, stream: true, max_tokens: tokensPerStream };
const wholeBody = { model: whole, prompt: 'Tell me of the fox.', max_tokens: 16 };
const chat = '/v1/chat/completions';
const completions = '/v1/completions';
const responses = '/v1/responses';
const createEvent = JSON.stringify({
  type: 'response.create',
  model: streamed,
  input: messages[0]!.content,
  max_output_tokens: tokensPerStream,
  store: false,
});

const socketUrl = (port: number, path: string) => `ws://127.0.0.1:${port}${path}`;

function posts(path: string, body: object, connections: number): Load['ours'] {
  const request = postBytes(path, body);
  return (port, requests) => ask(port, request, connections, requests);
}

interface Load {
  case: string;
  unit: Unit;
  peer: string;
  /** Asks so many times. */
  ours: (port: number, requests: number) => Promise<void>;
  bare: (port: number, requests: number) => Promise<void>;
  requests: number;
  /** What is counted, of one request. */
  counts: number;
}

const loads: Load[] = [
  {
    case: 'inprocess-stream-tokens-per-core',
    unit: 'tok/s',
    peer: 'bare-fastify-sse',
    ours: posts(chat, streamBody, streams),
    bare: posts('/sse', streamBody, streams),
    requests: 12 * streams,
    counts: tokensPerStream,
  },
  {
    case: 'inprocess-rps-per-core',
    unit: 'req/s',
    peer: 'bare-fastify-json',
    ours: posts(completions, wholeBody, 16),
    bare: posts('/json', wholeBody, 16),
    requests: 20_000,
    counts: 1,
  },
  {
    case: 'ws-stream-tokens-per-core',
    unit: 'tok/s',
    peer: 'bare-fastify-ws',
    ours: (port, requests) => askSockets(socketUrl(port, responses), createEvent, streams, requests),
    bare: (port, requests) => askSockets(socketUrl(port, '/ws'), createEvent, streams, requests),
    requests: 12 * streams,
    counts: tokensPerStream,
  },
];

/** The streams that go on while a client leaves. */
const beside = { ...streamBody, max_tokens: 4096 };
const cancels = [
  { name: 'cancel-ms', body: { ...streamBody, max_tokens: 1_000_000 }, barePath: '/sse' },
  { name: 'cancel-before-first-byte-ms', body: { ...streamBody, model: held }, barePath: '/held' },
] as const;

async function main(argv: string[]): Promise<void> {
  const args = readArguments(argv, {
    cases: [...loads.map((load) => load.case), ...cancels.map(({ name }) => name), 'memory-growth'],
    peers: loads.map((load) => load.peer),
    values: ['output'],
    switches: [],
  });
  const ours = await Server.start(['ours']);
  const folder = mkdtempSync(join(tmpdir(), 'colophon-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'answers.json');
  writeFileSync(file, JSON.stringify(await recordAnswers(ours.port)));
  const bare = await Server.start(['bare', file]);
  const results: CaseResult[] = [];
  for (const load of loads) {
    if (!args.cases.includes(load.case)) continue;
    const peer = args.peers.includes(load.peer);
    const requests = Math.ceil(load.requests / (args.quick ? 8 : 1));
    const rates = { ours: [] as number[], bare: [] as number[] };
    // Round 0 warms up: it is not counted.
    for (let round = 0; round <= args.repeats; round++) {
      for (const side of peer ? (['ours', 'bare'] as const) : (['ours'] as const)) {
        const server = side === 'ours' ? ours : bare;
        const before = await server.used();
        await load[side](server.port, requests);
        const seconds = ((await server.used()).cpu - before.cpu) / 1e6;
        if (round === 0) continue;
        rates[side].push((requests * load.counts) / seconds);
        say(
          `${load.case} ${round}/${args.repeats} ${side}: ${significant(rates[side].at(-1)!, 4)} ${load.unit}`,
        );
      }
    }
    const peers: Record<string, number> = peer ? { [load.peer]: median(rates.bare) } : {};
    results.push(caseResult(load.case, load.unit, median(rates.ours), peers));
  }
  const count = args.quick ? 20 : 200;
  for (const { name, body, barePath } of cancels) {
    if (!args.cases.includes(name)) continue;
    const request = postBytes(chat, body);
    const streams = body.model === streamed;
    const oursTimes = await cancelTimes(ours, postBytes(chat, beside), request, streams, count);
    const bareBytes = postBytes(barePath, body);
    const bareTimes = await cancelTimes(bare, postBytes('/sse', beside), bareBytes, streams, count);
    for (const [side, times] of [
      ['ours', oursTimes],
      ['bare', bareTimes],
    ] as const) {
      say(
        `${name} ${side}: median ${significant(median(times), 3)} ms, worst ${significant(Math.max(...times), 3)} ms`,
      );
    }
    for (const [suffix, of] of [
      ['median', median],
      ['p99', (times: number[]) => percentile(times, 0.99)],
    ] as const) {
      results.push(
        caseResult(`${name}-${suffix}`, 'ms', of(oursTimes), { 'bare-fastify-close': of(bareTimes) }),
      );
    }
  }
  if (args.cases.includes('memory-growth')) {
    results.push(...(await memoryGrowth(ours, args.quick ? 10 : 1)));
  }
  publish(report('gateway', results), args);
}

/** A server in a process of its own, alone on the first core where the machine can promise that. */
class Server {
  readonly #child: Child;
  readonly port: number;

  private constructor(child: Child, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start(args: string[]): Promise<Server> {
    const worker = join(dirname(fileURLToPath(import.meta.url)), 'worker.js');
    const command = [process.execPath, worker, ...args];
    const child = pin(process.pid, 1)
      ? new Child('taskset', ['-c', '0', ...command])
      : new Child(command[0]!, command.slice(1));
    const { port } = JSON.parse(await child.line(60)) as { port: number };
    return new Server(child, port);
  }

  async used(collect = false): Promise<Used> {
    this.#child.send(collect ? 'collect' : 'used');
    return JSON.parse(await this.#child.line(60)) as Used;
  }

  /** When the backend was told next that a client has left; nanoseconds of the machine's clock. */
  async aborted(): Promise<bigint> {
    return BigInt((JSON.parse(await this.#child.line(60)) as { aborted: string }).aborted);
  }
}

/** Keeps a process to one core; false where the machine has one core, or no taskset. */
function pin(pid: number, core: number): boolean {
  if (availableParallelism() < 2 && spawnSync('nproc').stdout?.toString().trim() === '1') return false;
  return spawnSync('taskset', ['-acp', String(core), String(pid)]).status === 0;
}

/** What ours answers, so that the bare routes give the same. */
async function recordAnswers(port: number): Promise<Recorded> {
  const post = async (path: string, body: object) => {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    });
    return answer.text();
  };
  const events = (await post(chat, streamBody)).split(/(?<=\n\n)/);
  // One token a write; the role goes before the first, what ends the stream with the last.
  const writes = events.slice(1, tokensPerStream + 1);
  writes[0] = events[0]! + writes[0]!;
  writes.push(writes.pop()! + events.slice(tokensPerStream + 1).join(''));
  return {
    writes,
    json: await post(completions, wholeBody),
    frames: framesOf(await eventsOf(socketUrl(port, responses), createEvent)),
  };
}

/** A step for each token: what begins a response goes with the first, what ends it with the last. */
function framesOf(events: readonly string[]): string[][] {
  const steps: string[][] = [[]];
  let tokens = 0;
  for (const event of events) {
    const token = event.startsWith('{"type":"response.output_text.delta"');
    if (token && tokens++ > 0) steps.push([]);
    steps.at(-1)!.push(event);
  }
  return steps;
}

/** Milliseconds from a client's leaving to the server's (ours: the backend's) knowing, while eight others stream. */
async function cancelTimes(
  server: Server,
  other: Buffer,
  request: Buffer,
  streams: boolean,
  count: number,
): Promise<number[]> {
  const times: number[] = [];
  let going = true;
  const streaming = (async () => {
    while (going) await ask(server.port, other, 8, 8);
  })();
  for (let i = 0; i < count; i++) {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(request);
    if (streams) await new Promise((resolve) => socket.once('data', resolve));
    socket.resume();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const left = process.hrtime.bigint();
    socket.destroy();
    times.push(Number((await server.aborted()) - left) / 1e6);
  }
  going = false;
  await streaming;
  return times;
}

/** What the server holds after 100,000 requests, plain and streamed, beside what it held after the first 20,000. */
async function memoryGrowth(server: Server, divisor: number): Promise<CaseResult[]> {
  const plain = postBytes(completions, wholeBody);
  const short = postBytes(chat, { ...streamBody, max_tokens: 4 });
  const hold = async (requests: number) => {
    await ask(server.port, plain, 16, requests / 2);
    await ask(server.port, short, 16, requests / 2);
    return server.used(true);
  };
  const early = await hold(20_000 / divisor);
  const late = await hold(80_000 / divisor);
  return (['rss', 'heap'] as const).map((kind) =>
    caseResult(`memory-growth-${kind}`, 'MB', late[kind] / 1e6, { 'at-a-fifth': early[kind] / 1e6 }),
  );
}

runBench(main);
