/** Clients that leave at random points, over HTTP and sockets: afterwards the server holds what it held before. */
import { getEventListeners } from 'node:events';
import { readdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toFile } from 'openai';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { seeded } from '../../bench/lib/random.ts';
import { startTestServer, type TestServer } from '../http/testing.ts';
import type { KeptResponse } from '../responses/state.ts';
import { ObjectStore } from '../store/object_store.ts';
import { openSocket } from '../ws/testing.ts';
import { askAndLeave, atRest, calm, type Leaving, leavers, postOf, storm } from './storm.ts';

const model = 'mock/base';
/** More than all storms generate together, so that one reservation of tokens that is not given back shows. */
const endless = 1_000_000_000;
const limit = 1e15;
const socketsAtMost = 200;
const tenantBytes = 16 * 2 ** 20;

let server: TestServer;
let data: string;
let random: () => number;
beforeEach(async () => {
  random = seeded(11);
  server = await startTestServer({
    context: 2 * endless,
    change: (config) => {
      data = config.paths.data;
      config.access.limits = { tokens_per_minute: limit };
      config.server.websocket.max_per_tenant = socketsAtMost;
      config.store.file_bytes = tenantBytes;
      config.store.tenant_bytes = tenantBytes;
    },
  });
});
afterEach(() => server.close());

/** A storm of one kind of client, then the server as it was, and serving. */
async function weather(leave: (index: number) => Promise<void>): Promise<void> {
  // The first ones leave behind what a server that has worked holds for good.
  await storm(0, 50, leave);
  const before = await atRest(server);
  await storm(50, leavers, leave);
  await calm(server, before);
  expect(before).toMatchObject({ connections: 0, gauges: [], generations: 0 });
  expect(server.logged.filter((line) => (line.level as number) >= 50)).toEqual([]);
  const answer = await server.post('/v1/completions', { model, prompt: 'Hi', max_tokens: 2 });
  expect(answer.status).toBe(200);
  const remaining = Number(answer.headers.get('x-ratelimit-remaining-tokens'));
  expect(limit - remaining).toBeLessThan(endless);
}

/** Half of the requests end by themselves, where their client stays so long. */
const tokensOf = (index: number) => (index % 2 ? endless : 1 + Math.floor(random() * 200));

/** After some bytes of the answer, some milliseconds, or in the middle of the request. */
function sometime(request: Buffer, streams: boolean): Leaving {
  const kind = random();
  if (kind < 0.15) return { sent: Math.floor(random() * request.length) };
  return streams && kind < 0.7 ? { bytes: 1 + random() * 20_000 } : { ms: random() * 40 };
}

const ask = (path: string, body: object, streams: boolean) => {
  const request = postOf(path, JSON.stringify(body));
  return askAndLeave(server, request, sometime(request, streams));
};

/** What the store has of a kind, read beside the server. */
function stored<Body>(kind: Parameters<ObjectStore['all']>[0]): Body[] {
  const store = new ObjectStore(data);
  try {
    return store.all<Body>(kind).map(({ body }) => body);
  } finally {
    store.close();
  }
}

describe('answers', () => {
  const more = (index: number) => ({
    model,
    stream: index % 4 !== 0,
    max_tokens: tokensOf(index),
    ignore_eos: true,
    ...(index % 5 === 0 ? { n: 3 } : {}),
    ...(index % 7 === 0 ? { logprobs: index % 2 ? true : 1 } : {}),
  });
  const chat = (index: number) => ({ ...more(index), messages: [{ role: 'user', content: `Hi ${index}` }] });

  test('of chats and completions', async () => {
    await weather((index) => {
      const body = index % 2 ? chat(index) : { ...more(index), prompt: `Hi ${index}` };
      return ask(index % 2 ? '/v1/chat/completions' : '/v1/completions', body, index % 4 !== 0);
    });
    expect(server.backend.requests.length).toBeGreaterThan(leavers / 2);
    expect(server.logged.filter((line) => line.status === 499).length).toBeGreaterThan(leavers / 2);
  });

  test('that are kept: only those that ended are', async () => {
    await weather((index) =>
      ask('/v1/chat/completions', { ...chat(index), store: true, n: 1 }, index % 4 !== 0),
    );
    const kept = stored<{ choices: Array<{ finish_reason: string | null }> }>('chat_completion');
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.every(({ choices }) => choices.every((choice) => choice.finish_reason))).toBe(true);
  });

  test('of embeddings', async () => {
    const input = Array.from({ length: 300 }, (_, index) => `text ${index}`);
    await weather(() => ask('/v1/embeddings', { model, input }, false));
  });
});

describe('responses', () => {
  const unfinished = () =>
    stored<KeptResponse>('response').filter(({ response }) =>
      ['queued', 'in_progress'].includes(response.status),
    );

  test('that their clients wait for: none is kept half', async () => {
    await weather((index) =>
      ask(
        '/v1/responses',
        { model, input: `Hi ${index}`, stream: index % 4 !== 0, max_output_tokens: 16 + tokensOf(index) },
        index % 4 !== 0,
      ),
    );
    expect(stored('response').length).toBeGreaterThan(0);
    expect(unfinished()).toEqual([]);
  });

  test('in the background: each goes on to its end', async () => {
    await weather((index) =>
      ask(
        '/v1/responses',
        { model, input: `Hi ${index}`, stream: index % 4 !== 0, background: true, max_output_tokens: 200 },
        index % 4 !== 0,
      ),
    );
    expect(stored('response').length).toBeGreaterThan(0);
    expect(unfinished()).toEqual([]);
    expect(stored('background_response')).toEqual([]);
  });
});

describe('sockets', () => {
  /** How many of its events a socket has had the end of. */
  const over = (events: Array<{ type: string }>) =>
    events.filter(({ type }) => /^(error|response\.(done|completed|incomplete|failed))$/.test(type)).length;

  /** Opens one, asks and leaves after some events, in one of the ways in which sockets end. */
  async function openAndLeave(path: string, index: number, events: object[]): Promise<void> {
    const socket = await openSocket(server, path);
    const wire = (socket.socket as unknown as { _socket: Socket })._socket;
    socket.socket.on('error', () => {});
    for (const event of events) socket.send(event);
    const most = Math.floor(random() * 60);
    if (index % 4 === 0) await sleep(random() * 20);
    else
      while (socket.events.length < most && !socket.closed && over(socket.events) < events.length)
        await new Promise((resolve) => setImmediate(resolve));
    const ways = [
      () => socket.socket.terminate(),
      () => socket.socket.close(),
      () => wire.destroy(),
      () => wire.end(),
      // The beginning of a message of 4 KiB.
      () => wire.write(Buffer.from([0x81, 0xfe, 0x10, 0x00, 1, 2, 3, 4, 5]), () => wire.destroy()),
    ];
    ways[Math.floor(random() * ways.length)]!();
    await socket.end();
  }

  const afterwards = async () => {
    const opened = Array.from({ length: socketsAtMost }, () => openSocket(server, '/v1/responses'));
    for (const { socket } of await Promise.all(opened)) socket.terminate();
    const ended = server.logged.filter((line) => line.msg === 'socket closed').length;
    expect(ended).toBeGreaterThanOrEqual(leavers);
  };

  test('of Realtime', async () => {
    const response = { conversation: 'none', instructions: 'Speak.' };
    await weather((index) =>
      openAndLeave(
        '/v1/realtime?model=mock/base',
        index,
        Array.from({ length: 1 + (index % 3) }, () => ({ type: 'response.create', response })),
      ),
    );
    await afterwards();
  });

  test('of responses, with what waits in their lanes', async () => {
    await weather((index) =>
      openAndLeave(
        '/v1/responses',
        index,
        Array.from({ length: 1 + (index % 6) }, (_, lane) => ({
          type: 'response.create',
          model,
          input: `Hi ${index}`,
          store: index % 2 === 0,
          max_output_tokens: 16 + tokensOf(index + lane),
          stream_id: `lane ${lane % 3}`,
        })),
      ),
    );
    expect(
      stored<KeptResponse>('response').filter(({ response }) => response.status === 'in_progress'),
    ).toEqual([]);
    await afterwards();
  });
});

describe('files', () => {
  const boundary = 'between';
  const type = `multipart/form-data; boundary=${boundary}`;
  /** A form with one file, and fields around it. */
  const form = (name: string, content: Buffer | string) => {
    const part = (head: string, body: Buffer | string) =>
      Buffer.concat([
        Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; ${head}\r\n\r\n`),
        Buffer.from(body),
        Buffer.from('\r\n'),
      ]);
    return Buffer.concat([
      part('name="purpose"', 'user_data'),
      part(`name="${name}"; filename="a.txt"`, content),
      Buffer.from(`--${boundary}--\r\n`),
    ]);
  };
  const content = Buffer.alloc(200_000, 'x');

  test('that come half: nothing is on disk, nor counted as on its way', async () => {
    const request = postOf('/v1/files', form('file', content), type);
    await weather((index) =>
      askAndLeave(
        server,
        request,
        index % 50 === 0 ? { bytes: 1e9 } : { sent: Math.floor(random() * request.length) },
      ),
    );
    const listed = (await server.openai.files.list()).data;
    expect(listed.length).toBeGreaterThan(0);
    expect(readdirSync(join(data, 'files')).sort()).toEqual(listed.map(({ id }) => id).sort());
    for (const { id } of listed) await server.openai.files.delete(id);
    const all = await toFile(Buffer.alloc(tenantBytes), 'all.txt');
    expect((await server.openai.files.create({ file: all, purpose: 'user_data' })).bytes).toBe(tenantBytes);
  });

  test('in parts, of which some come half: the others become the file', async () => {
    const bytes = content.length * 4;
    const { id } = await server.openai.uploads.create({
      bytes,
      filename: 'a.txt',
      mime_type: 'text/plain',
      purpose: 'user_data',
    });
    const request = postOf(`/v1/uploads/${id}/parts`, form('data', content), type);
    await weather(() => askAndLeave(server, request, { sent: Math.floor(random() * (request.length - 60)) }));
    // What was half there is removed once its request has ended here.
    while (readdirSync(join(data, 'uploads', id)).length > 0) await sleep(20);
    const part_ids: string[] = [];
    for (let count = 0; count < 4; count++) {
      const part = await server.openai.uploads.parts.create(id, { data: await toFile(content, 'part') });
      part_ids.push(part.id);
    }
    expect((await server.openai.uploads.complete(id, { part_ids })).file?.bytes).toBe(bytes);
  });
});

test('a signal that outlives its generation keeps nothing of it', async () => {
  const signals: AbortSignal[] = [];
  const { generate } = server.backend;
  server.backend.generate = (request, signal) => {
    signals.push(signal);
    return generate.call(server.backend, request, signal);
  };
  for (let i = 0; i < 20; i++)
    await server.post('/v1/completions', { model, prompt: `Hi ${i}`, max_tokens: 3, n: 2 });
  expect(signals.length).toBe(40);
  expect(signals.flatMap((signal) => getEventListeners(signal, 'abort'))).toEqual([]);
});
