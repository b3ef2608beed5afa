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

describe('the session', () => {
  test('is updated by what is given, and by nothing where something is wrong', async () => {
    const socket = await session();
    const tools = [{ type: 'function', name: 'look', description: 'Looks.', parameters: { type: 'object' } }];
    socket.send({
      type: 'session.update',
      session: { type: 'realtime', instructions: 'Be kind.', temperature: 0, max_output_tokens: 7, tools },
    });
    const { session: updated } = await socket.next('session.updated');
    expect(updated).toMatchObject({
      object: 'realtime.session',
      model: 'mock/base',
      output_modalities: ['text'],
      instructions: 'Be kind.',
      temperature: 0,
      max_output_tokens: 7,
      tools,
      tool_choice: 'auto',
    });
    socket.send({ type: 'session.update', session: { instructions: 'Be rude.', temperature: 9 } });
    expect((await socket.next('error')).error).toMatchObject({ param: 'session.temperature' });
    socket.send({ type: 'session.update', session: {} });
    expect((await socket.next('session.updated')).session).toEqual(updated);
    socket.socket.terminate();
  });

  test.each([
    [{ output_modalities: ['audio'] }, 'session.output_modalities', 'unsupported_parameter'],
    [{ audio: { output: { voice: 'alloy' } } }, 'session.audio', 'unsupported_parameter'],
    [{ type: 'transcription' }, 'session.type', 'unsupported_parameter'],
    [{ model: 'mock-adapter' }, 'session.model', 'unsupported_parameter'],
    [{ truncation: 'auto' }, 'session.truncation', 'unsupported_parameter'],
    [{ prompt: { id: 'p' } }, 'session.prompt', 'unsupported_parameter'],
    [{ max_output_tokens: 0 }, 'session.max_output_tokens', 'integer_below_min_value'],
    [{ tools: [{ type: 'mcp', server_label: 'x' }] }, 'session.tools[0].type', 'unsupported_parameter'],
    [{ tools: [{ type: 'function' }] }, 'session.tools[0].name', 'missing_required_parameter'],
    [{ tools: [{ type: 'function', name: 'a b' }] }, 'session.tools[0].name', 'invalid_value'],
    [{ instructions: 5 }, 'session.instructions', 'invalid_type'],
  ])('refuses %j', async (given, param, code) => {
    const socket = await session();
    socket.send({ type: 'session.update', session: given, event_id: 'e1' });
    expect((await socket.next('error')).error).toMatchObject({
      type: 'invalid_request_error',
      param,
      code,
      event_id: 'e1',
    });
    socket.socket.terminate();
  });

  test('refuses tools that are nested without end', async () => {
    const socket = await session();
    const deep = `${'{"a":'.repeat(200)}1${'}'.repeat(200)}`;
    socket.send(
      `{"type":"session.update","session":{"tools":[{"type":"function","name":"f","parameters":${deep}}]}}`,
    );
    expect((await socket.next('error')).error.code).toBe('invalid_function_parameters');
    socket.socket.terminate();
  });
});

describe('the conversation', () => {
  test('keeps its items in order, gives them back and deletes them', async () => {
    const socket = await session({ reply: () => 'Yes.' });
    const named = (id: string, text: string) => ({
      item: { id, type: 'message', role: 'user', content: [{ type: 'input_text', text }] },
    });
    socket.send(say('', named('b', 'second')));
    expect(await socket.next('conversation.item.added')).toMatchObject({ previous_item_id: null });
    socket.send(say('', { ...named('d', 'fourth') }));
    expect(await socket.next('conversation.item.done')).toMatchObject({ item: { id: 'b' } });
    expect(await socket.next('conversation.item.added')).toMatchObject({ previous_item_id: 'b' });
    socket.send(say('', { ...named('a', 'first'), previous_item_id: 'root' }));
    socket.send(say('', { ...named('c', 'third'), previous_item_id: 'b' }));
    socket.send({ type: 'conversation.item.delete', item_id: 'd' });
    expect(await socket.next('conversation.item.deleted')).toMatchObject({ item_id: 'd' });
    socket.send({ type: 'conversation.item.retrieve', item_id: 'c' });
    expect((await socket.next('conversation.item.retrieved')).item).toMatchObject(named('c', 'third').item);
    socket.send({ type: 'response.create' });
    const { response } = await socket.next('response.done');
    expect(promptOf(0)).toMatch(/first[\s\S]*second[\s\S]*third/);
    expect(promptOf(0)).not.toContain('fourth');
    socket.send(say('and now?'));
    socket.send({ type: 'response.create' });
    await socket.next('response.done');
    expect(promptOf(1)).toContain('Yes.');
    socket.send({ type: 'conversation.item.retrieve', item_id: response.output[0].id });
    expect((await socket.next('conversation.item.retrieved')).item).toEqual(response.output[0]);
    socket.socket.terminate();
  });

  test.each<[string, object, string, string | null]>([
    [
      'an id twice',
      say('', { item: { id: 'once', type: 'function_call_output', call_id: 'c', output: '' } }),
      'item_already_exists',
      'item.id',
    ],
    [
      'a place that is not there',
      say('x', { previous_item_id: 'none' }),
      'item_not_found',
      'previous_item_id',
    ],
    [
      'sound',
      say('', { item: { type: 'message', role: 'user', content: [{ type: 'input_audio', audio: 'AA' }] } }),
      'unsupported_value',
      'item.content[0].type',
    ],
    [
      'an image',
      say('', { item: { type: 'message', role: 'user', content: [{ type: 'input_image' }] } }),
      'unsupported_value',
      'item.content[0].type',
    ],
    [
      'no role',
      say('', { item: { type: 'message', content: [{ type: 'input_text', text: 'x' }] } }),
      'missing_required_parameter',
      'item.role',
    ],
    ['no item', { type: 'conversation.item.create' }, 'missing_required_parameter', 'item'],
    ['a kind of item that is none', say('', { item: { type: 'mcp_call' } }), 'invalid_value', 'item.type'],
    ['a reference', say('', { item: { type: 'item_reference', id: 'once' } }), 'invalid_value', 'item.type'],
    [
      'what is not there, to delete',
      { type: 'conversation.item.delete', item_id: 'none' },
      'item_not_found',
      'item_id',
    ],
    [
      'truncation',
      { type: 'conversation.item.truncate', item_id: 'once', content_index: 0, audio_end_ms: 1 },
      'audio_not_supported',
      'type',
    ],
    ['audio', { type: 'input_audio_buffer.append', audio: 'AA' }, 'audio_not_supported', 'type'],
    ['a cancel of nothing', { type: 'response.cancel' }, 'response_cancel_not_active', null],
    [
      'a cancel of what is not there',
      { type: 'response.cancel', response_id: 'resp_1' },
      'response_cancel_not_active',
      'response_id',
    ],
    [
      'too much metadata',
      {
        type: 'response.create',
        response: {
          metadata: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`k${index}`, 'v'])),
        },
      },
      'invalid_value',
      'response.metadata',
    ],
    [
      'another conversation',
      { type: 'response.create', response: { conversation: 'conv_2' } },
      'invalid_value',
      'response.conversation',
    ],
    [
      'a response in sound',
      { type: 'response.create', response: { output_modalities: ['audio'] } },
      'unsupported_parameter',
      'response.output_modalities',
    ],
  ])('refuses %s', async (_name, event, code, param) => {
    const socket = await session();
    socket.send(
      say('', {
        item: { id: 'once', type: 'message', role: 'user', content: [{ type: 'input_text', text: 'x' }] },
      }),
    );
    socket.send(event);
    expect((await socket.next('error')).error).toMatchObject({ code, param });
    socket.send({ type: 'response.create' });
    expect((await socket.next('response.done')).response.status).toBe('completed');
    socket.socket.terminate();
  });

  test('has an end to its length', async () => {
    const socket = await session();
    const text = 'x'.repeat(7 * 2 ** 20);
    for (let count = 0; count < 3; count++) socket.send(say(text));
    expect((await socket.next('error')).error.code).toBe('conversation_too_long');
    socket.socket.terminate();
  });
});

describe('a response', () => {
  test('is the only one of its conversation, and can be cancelled', async () => {
    const socket = await session({ reply: () => 'x'.repeat(1000) });
    socket.send(say('Hello'));
    socket.send({ type: 'response.create', response: { metadata: { a: 'b' } } });
    await socket.next('response.output_text.delta');
    server.backend.pause();
    socket.send({ type: 'response.create', event_id: 'second' });
    expect((await socket.next('error')).error).toMatchObject({
      code: 'conversation_already_has_active_response',
      event_id: 'second',
    });
    socket.send({ type: 'response.cancel' });
    const item = (await socket.next('response.output_item.done')).item;
    expect(item.status).toBe('incomplete');
    const { response } = await socket.next('response.done');
    expect(response).toMatchObject({
      status: 'cancelled',
      status_details: { type: 'cancelled', reason: 'client_cancelled' },
      metadata: { a: 'b' },
      output: [item],
    });
    expect(response.usage.output_tokens).toBe(item.content[0].text.length);
    await until(() => server.backend.running === 0);
    server.backend.resume();
    socket.send({ type: 'response.create', response: { max_output_tokens: 3 } });
    expect((await socket.next('response.done')).response).toMatchObject({
      status: 'incomplete',
      status_details: { type: 'incomplete', reason: 'max_output_tokens' },
      usage: { output_tokens: 3 },
    });
    socket.socket.terminate();
  });

  test('can be cancelled before its first token', async () => {
    const socket = await session();
    server.backend.pause();
    socket.send(say('Hello'));
    socket.send({ type: 'response.create' });
    const { response } = await socket.next('response.created');
    socket.send({ type: 'response.cancel', response_id: response.id });
    expect((await socket.next('response.done')).response).toMatchObject({ status: 'cancelled', output: [] });
    await until(() => server.backend.running === 0);
    socket.socket.terminate();
  });

  test('outside of the conversation reads what it is given and leaves it as it is', async () => {
    const socket = await session({ reply: () => 'Aside.' });
    socket.send(
      say('', {
        item: {
          id: 'kept',
          type: 'message',
          role: 'user',
          content: [{ type: 'input_text', text: 'In the room.' }],
        },
      }),
    );
    socket.send({
      type: 'response.create',
      response: {
        conversation: 'none',
        instructions: 'Whisper.',
        metadata: { topic: 'aside' },
        input: [
          { type: 'item_reference', id: 'kept' },
          { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Outside.' }] },
        ],
      },
    });
    const { response } = await socket.next('response.done');
    expect(response).toMatchObject({ conversation_id: null, metadata: { topic: 'aside' } });
    expect(promptOf(0)).toMatch(/Whisper\.[\s\S]*In the room\.[\s\S]*Outside\./);
    const added = socket.events.filter((event) => event.type === 'conversation.item.added');
    expect(added).toHaveLength(1);
    socket.send({ type: 'response.create' });
    await socket.next('response.done');
    expect(promptOf(1)).not.toMatch(/Whisper|Outside|Aside/);
    socket.socket.terminate();
  });

  test('that fails says why, and the next one can come', async () => {
    const socket = await session({
      context: 200,
      // Random letters may end before the third.
      reply: () => 'Good day.',
      fail: (_request, at) => (at === 3 ? new Error('secret') : undefined),
    });
    socket.send(say('Hello'));
    socket.send({ type: 'response.create' });
    const { response } = await socket.next('response.done');
    expect(response).toMatchObject({
      status: 'failed',
      status_details: { type: 'failed', error: { type: 'server_error', code: 'internal_error' } },
    });
    expect(JSON.stringify(socket.events)).not.toContain('secret');
    socket.send(say('x'.repeat(300)));
    socket.send({ type: 'response.create' });
    expect((await socket.next('response.done')).response.status_details.error.code).toBe(
      'context_length_exceeded',
    );
    socket.socket.terminate();
  });

  test('calls a function, is given its result and goes on', async () => {
    const replies = [
      '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
      'Rain.',
    ];
    const socket = await session({ reply: () => replies[server.backend.requests.length - 1] });
    const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
    socket.send({
      type: 'session.update',
      session: { tools: [{ type: 'function', name: 'weather', parameters }] },
    });
    socket.send(say('How is the weather in Oslo?'));
    socket.send({ type: 'response.create' });
    const done = await socket.next('response.function_call_arguments.done');
    expect(done).toMatchObject({ name: 'weather', output_index: 0 });
    expect(JSON.parse(done.arguments)).toEqual({ city: 'Oslo' });
    const deltas = socket.events.filter((event) => event.type === 'response.function_call_arguments.delta');
    expect(deltas.map((event) => event.delta).join('')).toBe(done.arguments);
    const { response } = await socket.next('response.done');
    expect(response.output).toEqual([
      {
        id: done.item_id,
        object: 'realtime.item',
        type: 'function_call',
        status: 'completed',
        name: 'weather',
        call_id: done.call_id,
        arguments: done.arguments,
      },
    ]);
    socket.send({
      type: 'conversation.item.create',
      item: { type: 'function_call_output', call_id: done.call_id, output: '{"sky": "grey"}' },
    });
    socket.send({ type: 'response.create' });
    expect((await socket.next('response.done')).response.output[0].content[0].text).toBe('Rain.');
    expect(promptOf(1)).toContain('grey');
    socket.socket.terminate();
  });

  test('must call where that is asked for, also the one that is named', async () => {
    const socket = await session();
    const tools = ['one', 'two'].map((name) => ({
      type: 'function',
      name,
      parameters: {
        type: 'object',
        properties: { n: { enum: [1, 2] } },
        required: ['n'],
        additionalProperties: false,
      },
    }));
    socket.send(say('Go'));
    socket.send({
      type: 'response.create',
      response: { tools, tool_choice: { type: 'function', name: 'two' } },
    });
    const { response } = await socket.next('response.done');
    expect(response.output).toMatchObject([{ type: 'function_call', name: 'two' }]);
    expect([1, 2]).toContain(JSON.parse(response.output[0].arguments).n);
    socket.socket.terminate();
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
