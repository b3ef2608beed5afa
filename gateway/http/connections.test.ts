import { connect, type Socket } from 'node:net';
import { APIError } from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import { ColophonError } from '../contract/index.ts';
import { mockTokens } from '../host/testing/mock_text.ts';
import { eventsOf, startTestServer, type TestServer, type TestServerOptions, until } from './testing.ts';

const model = 'mock/base';
const path = '/v1/chat/completions';
const messages = [{ role: 'user' as const, content: 'Hi' }];
const endless = { model, messages, ignore_eos: true, max_tokens: 1_000_000 };
const context = 2_000_000;

let server: TestServer;
afterEach(() => server?.close());

async function start(options: TestServerOptions = {}): Promise<TestServer> {
  server = await startTestServer({ context, ...options });
  return server;
}

/** A request over a bare socket, whose answer nobody reads until somebody does. */
function rawPost(body: object): Socket {
  const text = JSON.stringify(body);
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  socket.pause();
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
  return socket;
}

function post(body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
}

describe('a client that goes away ends its generation', () => {
  test('in a stream', async () => {
    await start();
    const stream = await server.openai.chat.completions.create({ ...endless, stream: true });
    let chunks = 0;
    for await (const _ of stream) if (++chunks === 5) break;
    await until(() => server.backend.running === 0);
    await until(() => server.logged.some((line) => line.status === 499));
    expect(server.logged.find((line) => line.status === 499)).toMatchObject({
      msg: 'request cut',
      finish: 'cancelled',
      completionTokens: expect.any(Number),
    });
  });

  test('that it was waiting for in one piece', async () => {
    await start();
    const controller = new AbortController();
    const answer = post(endless, controller.signal);
    await until(() => server.backend.running === 1);
    controller.abort();
    await expect(answer).rejects.toThrow();
    await until(() => server.backend.running === 0);
  });

  test('before the first token', async () => {
    await start();
    server.backend.pause();
    const controller = new AbortController();
    const answer = post({ ...endless, stream: true }, controller.signal);
    await until(() => server.backend.running === 1);
    controller.abort();
    await expect(answer).rejects.toThrow();
    await until(() => server.backend.running === 0);
    server.backend.resume();
  });

  test('with all its choices', async () => {
    await start();
    const socket = rawPost({ ...endless, n: 16, stream: true });
    await until(() => server.backend.running === 16);
    socket.destroy();
    await until(() => server.backend.running === 0);
  });

  test('200 of them, at random points', async () => {
    await start();
    const sockets = Array.from({ length: 200 }, () => rawPost({ ...endless, stream: true }));
    for (const [index, socket] of sockets.entries()) {
      if (index % 2) socket.resume();
      setTimeout(() => socket.destroy(), Math.random() * 100);
    }
    await until(() => server.backend.requests.length > 0 && sockets.every((socket) => socket.destroyed));
    await until(() => server.backend.running === 0);
    expect((await post({ model, messages, max_tokens: 1 })).status).toBe(200);
  });
});

describe('a slow client', () => {
  const heavy = { ...endless, logprobs: true, top_logprobs: 20, stream: true, max_tokens: 6000 };

  test('holds up neither its own generation nor the others, and gets everything when it reads', async () => {
    await start();
    const slow = rawPost(heavy);
    await until(() => server.backend.running === 1);
    const other = await server.post(path, { model, messages, max_tokens: 50, ignore_eos: true });
    expect(other.body.usage.completion_tokens).toBe(50);
    await until(() => server.backend.running === 0);
    let text = '';
    slow.on('data', (data) => {
      text += data.toString('latin1');
    });
    slow.resume();
    await until(() => text.includes('data: [DONE]'));
    expect(text.match(/"finish_reason":"length"/g)?.length).toBe(1);
    expect(text.match(/"top_logprobs"/g)?.length).toBe(6000);
    slow.destroy();
  });

  test('that takes nothing for too long is cut', async () => {
    await start({
      change: (config) => {
        config.server.stalled_client_seconds = 0.05;
      },
    });
    const stalled = rawPost({ ...heavy, max_tokens: 1_000_000 });
    await until(() => server.logged.some((line) => String(line.msg).includes('takes nothing')));
    await until(() => server.backend.running === 0);
    stalled.destroy();
  });
});

describe('a failure', () => {
  const failAt = (at: number, error: () => Error, adapterOnly = false) => ({
    adapters: ['doomed'],
    reply: () => 'an answer that would end only after its failure',
    fail: (request: { model: string; sampling: { seed: bigint } }, made: number) =>
      made === at && (!adapterOnly || request.sampling.seed === 1n) ? error() : undefined,
  });
  const evicted = () =>
    new ColophonError('The adapter was taken away.', { type: 'conflict_error', code: 'gone' });

  test('before the first token has a status of its own, also for a stream', async () => {
    await start(failAt(0, evicted));
    for (const stream of [false, true]) {
      const answer = await server.post(path, { model, messages, stream });
      expect(answer.status).toBe(409);
      expect(answer.body.error).toEqual({
        message: 'The adapter was taken away.',
        type: 'conflict_error',
        param: null,
        code: 'gone',
      });
    }
  });

  test('in the middle of a stream is an error event, which the openai client throws', async () => {
    await start(failAt(3, evicted));
    const { status, body } = await server.post(path, { model, messages, stream: true });
    expect(status).toBe(200);
    const { events, done } = eventsOf(body);
    expect(done).toBe(false);
    expect(events.length).toBe(1 + 3 + 1);
    expect(events.at(-1).error.code).toBe('gone');
    const read = async () => {
      for await (const _ of await server.openai.chat.completions.create({ model, messages, stream: true }));
    };
    await expect(read()).rejects.toThrow(APIError);
  });

  test('that nobody foresaw is a 500 whose cause only the log has', async () => {
    await start(failAt(2, () => new Error('secret detail')));
    const answer = await server.post(path, { model, messages });
    expect(answer.status).toBe(500);
    expect(answer.body.error).toMatchObject({ type: 'server_error', code: 'internal_error' });
    const { body } = await server.post(path, { model, messages, stream: true });
    expect(eventsOf(body).events.at(-1).error.code).toBe('internal_error');
    expect(JSON.stringify(answer.body) + body).not.toContain('secret detail');
    expect(JSON.stringify(server.logged)).toContain('secret detail');
  });

  test('of one choice ends the others', async () => {
    await start(failAt(4, evicted, true));
    const answer = await server.post(path, { ...endless, n: 4, seed: 0 });
    expect(answer.status).toBe(409);
    expect(server.backend.running).toBe(0);
  });
});

test('what one step gives a client is written at once', async () => {
  await start({ reply: () => 'abc' });
  const socket = rawPost({ model, messages, n: 8, stream: true });
  const pieces: string[] = [];
  socket.on('data', (data) => void pieces.push(data.toString('utf8')));
  socket.resume();
  await until(() => pieces.join('').includes('[DONE]'));
  socket.destroy();
  // Chunks of the transfer coding: a length, then the events of a step.
  const chunks = pieces
    .join('')
    .split(/\r\n[0-9a-f]+\r\n/)
    .slice(1);
  const eventsIn = chunks.map((chunk) => chunk.split('data: ').length - 1).filter((count) => count > 0);
  // Three letters and an end for each choice, its role before the first, [DONE] after the last.
  expect(eventsIn).toEqual([16, 8, 8, 8 + 1]);
});

describe('a server that is asked to stop', () => {
  test('lets running answers end, and takes no more', async () => {
    await start({ reply: () => 'abcdef' });
    server.backend.pause();
    const plain = post({ model, messages });
    const stream = post({ model, messages, stream: true });
    await until(() => server.backend.running === 2);
    const closed = server.close();
    server.backend.resume();
    expect(((await (await plain).json()) as { choices: unknown[] }).choices.length).toBe(1);
    expect(eventsOf(await (await stream).text()).done).toBe(true);
    await closed;
    await expect(post({ model, messages })).rejects.toThrow();
  });

  test('ends what takes too long, and says so', async () => {
    await start({
      change: (config) => {
        config.server.drain_seconds = 0.05;
      },
    });
    const socket = rawPost({ ...endless, stream: true });
    let text = '';
    socket.on('data', (data) => {
      text += data.toString('utf8');
    });
    socket.resume();
    await until(() => text.includes('"content":'));
    server.backend.pause();
    const plain = post(endless);
    await until(() => server.backend.running === 2);
    const closed = server.close();
    expect((await plain).status).toBe(503);
    await until(() => text.includes('"error"'));
    expect(text).toContain('"code":"shutting_down"');
    await closed;
    expect(server.backend.running).toBe(0);
  });
});

test('a connection that asks nothing does not hold up the end', async () => {
  await start();
  const silent = connect(Number(new URL(server.url).port), '127.0.0.1');
  const ended = new Promise((resolve) => silent.once('close', resolve));
  silent.resume();
  expect((await post({ model, messages, max_tokens: 1 })).status).toBe(200);
  await server.close();
  await ended;
});

test('HTTP that is none gets an answer', async () => {
  await start();
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  let text = '';
  socket.on('data', (data) => {
    text += data.toString('utf8');
  });
  socket.write('NONSENSE\r\n\r\n');
  await until(() => text.includes('}'));
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
  expect(JSON.parse(text.slice(text.indexOf('{'))).error.code).toBe('invalid_http');
  socket.destroy();
});

test('tokens of one batch arrive as one chunk of text', async () => {
  await start({ reply: () => 'abcdefgh', tokensPerStep: 4 });
  const { body } = await server.post(path, { model, messages, stream: true });
  const texts = eventsOf(body).events.map((event) => event.choices[0].delta.content);
  expect(texts).toEqual(['', 'abcd', 'efgh', undefined]);
  expect(mockTokens('abcd').length).toBe(4);
});
