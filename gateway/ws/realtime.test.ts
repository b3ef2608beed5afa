import { connect } from 'node:net';
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { mockTokens } from '../host/testing/mock_text.ts';
import { startTestServer, type TestServer, type TestServerOptions, until } from '../http/testing.ts';
import { type AnyEvent, openSocket, type TestSocket } from './testing.ts';

const path = '/v1/realtime?model=mock/base';
let server: TestServer;
afterEach(() => server.close());

async function start(options: TestServerOptions = {}): Promise<TestServer> {
  server = await startTestServer(options);
  return server;
}

async function session(options: TestServerOptions = {}): Promise<TestSocket> {
  await start(options);
  const socket = await openSocket(server, path);
  await socket.next('session.created');
  return socket;
}

const say = (text: string, more: object = {}) => ({
  type: 'conversation.item.create',
  item: { type: 'message', role: 'user', content: [{ type: 'input_text', text }] },
  ...more,
});

/** What the model was given, as text. */
const promptOf = (index: number) =>
  Buffer.from(server.backend.requests[index]!.prompt.map((id) => id - mockTokens('\0')[0]!)).toString();

describe("OpenAI's clients", () => {
  const key = 'a-key';
  const config = { env: { COLOPHON_API_KEY: key }, reply: () => 'Good day.' };

  /** They speak TLS only; here a plain connection stands for it. */
  function overHeaders(): OpenAIRealtimeWS {
    return new OpenAIRealtimeWS(
      {
        model: 'mock/base',
        options: {
          createConnection: (options: AnyEvent) => connect(Number(options.port), options.host),
        } as never,
      },
      server.openai,
    );
  }

  async function talk(client: OpenAIRealtimeWS | OpenAIRealtimeWebSocket): Promise<AnyEvent[]> {
    const events: AnyEvent[] = [];
    await new Promise<void>((resolve, reject) => {
      client.on('error', reject);
      client.on('event', (event) => events.push(event));
      client.on('session.created', () => {
        client.send({
          type: 'session.update',
          session: { type: 'realtime', output_modalities: ['text'], instructions: 'Be brief.' },
        });
        client.send({
          type: 'conversation.item.create',
          item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hello!' }] },
        });
        client.send({ type: 'response.create' });
      });
      client.on('response.done', () => resolve());
    });
    client.close();
    return events;
  }

  test('over headers: a whole turn, each event in its place', async () => {
    await start(config);
    const events = await talk(overHeaders());
    const types = events.map((event) => event.type);
    expect([...new Set(types)]).toEqual([
      'session.created',
      'session.updated',
      'conversation.item.added',
      'conversation.item.done',
      'response.created',
      'rate_limits.updated',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.done',
    ]);
    const deltas = events.filter((event) => event.type === 'response.output_text.delta');
    expect(deltas.map((event) => event.delta).join('')).toBe('Good day.');
    const { response } = events.at(-1)!;
    expect(response).toMatchObject({
      object: 'realtime.response',
      status: 'completed',
      output: [
        {
          type: 'message',
          role: 'assistant',
          status: 'completed',
          content: [{ type: 'output_text', text: 'Good day.' }],
        },
      ],
      usage: { output_tokens: 10, input_tokens: server.backend.requests[0]!.prompt.length },
    });
    expect(new Set(events.map((event) => event.event_id)).size).toBe(events.length);
    expect(promptOf(0)).toContain('Be brief.');
    expect(promptOf(0)).toContain('Hello!');
  });

  test('as in a browser: the key is among the subprotocols and never echoed', async () => {
    await start(config);
    const sockets: WebSocket[] = [];
    class Plain extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url.replace('wss:', 'ws:'), protocols);
        sockets.push(this);
      }
    }
    Object.assign(globalThis, { WebSocket: Plain });
    try {
      const events = await talk(new OpenAIRealtimeWebSocket({ model: 'mock/base' }, server.openai));
      expect(events.at(-1)!.response.status).toBe('completed');
      expect(sockets[0]!.protocol).toBe('realtime');
    } finally {
      Reflect.deleteProperty(globalThis, 'WebSocket');
    }
  });

  test('an error has the id of the event that caused it', async () => {
    await start(config);
    const client = overHeaders();
    const error = await new Promise<AnyEvent>((resolve) => {
      client.on('error', resolve);
      client.on('session.created', () =>
        client.send({ type: 'conversation.item.delete', item_id: 'item_none', event_id: 'mine' }),
      );
    });
    client.close();
    expect(error.error).toMatchObject({ code: 'item_not_found', param: 'item_id', event_id: 'mine' });
  });
});

test('a socket that was closed leaves nothing: its generation, its place, its listeners', async () => {
  const socket = await session({ reply: () => 'x'.repeat(1000) });
  server.backend.pause();
  socket.send(say('Hello'));
  socket.send({ type: 'response.create' });
  await until(() => server.backend.running === 1);
  socket.socket.close();
  await until(() => server.backend.running === 0);
  await socket.end();
});
