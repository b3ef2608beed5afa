import { ResponsesWS } from 'openai/resources/responses/ws';
import { afterEach, describe, expect, test } from 'vitest';
import { mockTokens } from '../host/testing/mock_text.ts';
import { startTestServer, type TestServer, type TestServerOptions, until } from '../http/testing.ts';
import { type AnyEvent, openSocket, type TestSocket } from './testing.ts';

const path = '/v1/responses';
const model = 'mock/base';
let server: TestServer;
afterEach(() => server.close());

async function open(options: TestServerOptions = {}): Promise<TestSocket> {
  server = await startTestServer(options);
  return openSocket(server, path);
}

const create = (input: unknown, more: object = {}) => ({ type: 'response.create', model, input, ...more });

const promptOf = (index: number) =>
  Buffer.from(server.backend.requests[index]!.prompt.map((id) => id - mockTokens('\0')[0]!)).toString();

describe("OpenAI's client", () => {
  test('gets the events of a stream, and goes on from what was not stored', async () => {
    server = await startTestServer({ env: { COLOPHON_API_KEY: 'a-key' }, reply: () => 'Good day.' });
    const client = new ResponsesWS(server.openai);
    const events: AnyEvent[] = [];
    const turn = (previous?: string) =>
      new Promise<AnyEvent>((resolve, reject) => {
        client.on('error', reject);
        client.once('response.completed', (event) => resolve(event.response));
        client.send({
          type: 'response.create',
          model,
          input: previous ? 'And again?' : 'Hello!',
          store: false,
          ...(previous ? { previous_response_id: previous } : {}),
        });
      });
    client.on('event', (event) => events.push(event));
    const first = await turn();
    expect(first).toMatchObject({ object: 'response', status: 'completed', store: false });
    expect([...new Set(events.map((event) => event.type))]).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
    const second = await turn(first.id);
    expect(second.previous_response_id).toBe(first.id);
    expect(promptOf(1)).toContain('Hello!');
    expect(promptOf(1)).toContain('Good day.');
    client.close();
    await until(() => server.logged.some((line) => line.msg === 'socket closed'));
    expect(server.logged.find((line) => line.msg === 'socket closed')).toMatchObject({
      route: path,
      responses: 2,
      events: 2,
      completionTokens: 20,
      close: 1000,
    });
  });

  test('opens a new socket when the server restarts', async () => {
    server = await startTestServer({ env: { COLOPHON_API_KEY: 'a-key' } });
    const client = new ResponsesWS(server.openai, {
      reconnect: { onReconnecting: () => ({ abort: true }) },
    });
    const closed = new Promise<number>((resolve) => {
      client.on('reconnecting', (event) => resolve(event.closeCode));
      client.on('close', (code) => resolve(code));
    });
    await new Promise<void>((resolve) => client.socket.once('open', resolve));
    await server.close();
    expect(await closed).toBe(1012);
  });
});

describe('lanes', () => {
  test('run side by side, each in order, and name themselves on each event', async () => {
    const socket = await open({ reply: () => 'abc' });
    server.backend.pause();
    socket.send(create('one', { stream_id: 'left' }));
    socket.send(create('two', { stream_id: 'left' }));
    socket.send(create('three', { stream_id: 'right' }));
    await until(() => server.backend.running === 2);
    expect(promptOf(0)).toContain('one');
    expect(promptOf(1)).toContain('three');
    server.backend.resume();
    for (let count = 0; count < 3; count++) await socket.next('response.completed');
    expect(promptOf(2)).toContain('two');
    expect(socket.events.every((event) => ['left', 'right'].includes(event.stream_id))).toBe(true);
    const left = socket.events.filter((event) => event.stream_id === 'left').map((event) => event.type);
    expect(left.indexOf('response.completed')).toBeLessThan(left.lastIndexOf('response.created'));
    socket.socket.close();
  });

  test('are as many as the server allows', async () => {
    const socket = await open({
      change: (config) => {
        config.server.websocket.max_streams = 2;
      },
    });
    server.backend.pause();
    for (const lane of ['a', 'b', 'c']) socket.send(create('x', { stream_id: lane }));
    expect(await socket.next('error')).toEqual({
      type: 'error',
      status: 429,
      stream_id: 'c',
      error: expect.objectContaining({ code: 'websocket_stream_limit_reached' }),
    });
    server.backend.resume();
    await socket.next('response.completed');
    await socket.next('response.completed');
    socket.send(create('x', { stream_id: 'c' }));
    expect((await socket.next('response.completed')).stream_id).toBe('c');
    socket.socket.close();
  });
});

test('a response goes on from one that was stored over HTTP, but not from that of another tenant', async () => {
  server = await startTestServer({
    change: (config) => {
      const key = { min_priority: 0, isolate: false };
      config.access.keys = [
        { key: 'one', tenant: 'one', ...key },
        { key: 'two', tenant: 'two', ...key },
      ];
    },
  });
  const { body } = await server.post(path, { model, input: 'Remember me' }, { authorization: 'Bearer one' });
  for (const tenant of ['one', 'two']) {
    const socket = await openSocket(server, path, { headers: { authorization: `Bearer ${tenant}` } });
    socket.send(create('Go on', { previous_response_id: body.id }));
    if (tenant === 'one') {
      await socket.next('response.completed');
      expect(promptOf(1)).toContain('Remember me');
    } else {
      expect((await socket.next('error')).error).toMatchObject({
        code: 'previous_response_not_found',
        param: 'previous_response_id',
      });
    }
    socket.socket.close();
  }
});

describe('a warm-up', () => {
  test('generates nothing, and its response can be gone on from', async () => {
    const socket = await open({ reply: () => 'Yes.' });
    socket.send(
      create('A long beginning of a prompt, longer than a page.', { generate: false, store: false }),
    );
    const { response } = await socket.next('response.completed');
    expect(response).toMatchObject({ status: 'completed', output: [], usage: { output_tokens: 0 } });
    socket.send(create('Now?', { previous_response_id: response.id, store: false }));
    const { response: next } = await socket.next('response.completed');
    expect(promptOf(1)).toContain('A long beginning');
    expect(next.usage.input_tokens_details.cached_tokens).toBeGreaterThan(0);
    socket.socket.close();
  });

  test('needs no input', async () => {
    const socket = await open();
    socket.send(create([], { generate: false, instructions: 'Be brief.' }));
    const { response } = await socket.next('response.completed');
    socket.send(create('Hello', { previous_response_id: response.id, instructions: 'Be brief.' }));
    await socket.next('response.completed');
    expect(promptOf(1)).toContain('Be brief.');
    expect(promptOf(1).split('user\n')).toHaveLength(2);
    socket.socket.close();
  });
});

test.each([
  ['background', create('x', { background: true }), 'unsupported_parameter', 'background'],
  ['no model', { type: 'response.create', input: 'x' }, 'missing_required_parameter', 'model'],
  ['a model that is not there', create('x', { model: 'none' }), 'model_not_found', 'model'],
  ['no input', { type: 'response.create', model }, 'missing_required_parameter', 'input'],
  ['an unknown event', { type: 'response.cancel' }, 'unknown_event', 'type'],
  ['no type', { model }, 'missing_required_parameter', 'type'],
  ['a wrong field', create('x', { temperature: 9 }), 'decimal_above_max_value', 'temperature'],
  ['an empty lane', create('x', { stream_id: '' }), 'empty_string', 'stream_id'],
  [
    'an unknown response',
    create('x', { previous_response_id: 'resp_no' }),
    'previous_response_not_found',
    'previous_response_id',
  ],
])('%s is an error event, and the socket goes on', async (_name, event, code, param) => {
  const socket = await open();
  socket.send(event);
  const error = await socket.next('error');
  expect(error).toMatchObject({ type: 'error', error: { code, param } });
  expect(error.status).toBeGreaterThanOrEqual(400);
  expect(error.status).toBeLessThan(500);
  socket.send(create('x'));
  await socket.next('response.completed');
  socket.socket.close();
});

test('what waits in a lane goes with its socket', async () => {
  const socket = await open();
  server.backend.pause();
  for (let count = 0; count < 5; count++) socket.send(create('x'));
  await until(() => server.backend.running === 1);
  socket.socket.terminate();
  await until(() => server.backend.running === 0);
  server.backend.resume();
  await until(() => server.logged.some((line) => line.msg === 'socket closed'));
  expect(server.backend.requests).toHaveLength(1);
});
