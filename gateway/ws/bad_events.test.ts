/** Every event that a socket takes, with every kind of value that it does not: an error, never a closed socket or a leak. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer, until } from '../http/testing.ts';
import { openSocket, type TestSocket } from './testing.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({});
});
afterAll(() => server.close());

const flood = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`key${i}`, i]));
const nested = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;

/** What is put where something else belongs. As JSON: some of it no object literal can say. */
const values = {
  'a number': '7',
  'a text': '"seven"',
  'a list': '[[], null, 7]',
  'an empty object': '{}',
  'a prototype': '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
  'a flood of keys': JSON.stringify(flood),
  depth: nested(400),
  'more depth than is read': nested(5000),
  'half a surrogate': '"\\ud800"',
  'a number beyond all': '1e999',
};

/** The fields of each event in which something else belongs. */
const realtime: Array<[type: string, field: string]> = [
  ['session.update', 'session'],
  ['conversation.item.create', 'item'],
  ['conversation.item.create', 'previous_item_id'],
  ['conversation.item.retrieve', 'item_id'],
  ['conversation.item.delete', 'item_id'],
  ['conversation.item.truncate', 'item_id'],
  ['response.create', 'response'],
  ['response.cancel', 'response_id'],
  ['input_audio_buffer.append', 'audio'],
  ['no.such.event', 'field'],
];

const responses: Array<[type: string, field: string]> = [
  ['response.create', 'input'],
  ['response.create', 'tools'],
  ['response.create', 'text'],
  ['response.create', 'metadata'],
  ['response.create', 'previous_response_id'],
  ['response.create', 'stream_id'],
  ['response.create', 'generate'],
  ['response.create', 'max_output_tokens'],
  ['no.such.event', 'field'],
];

/** Asks for one response: what came before has to leave a socket that works. */
async function answers(socket: TestSocket, path: string): Promise<void> {
  if (path.startsWith('/v1/realtime')) {
    const content = [{ type: 'input_text', text: 'Hello' }];
    socket.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
    const done = () => socket.events.filter(({ type }) => type === 'response.done').length;
    const refused = () => socket.events.some(({ error }) => error?.event_id === 'last');
    // Events are taken in order: once this one is, all before it were.
    socket.send({ type: 'marker', event_id: 'marker' });
    await until(() => socket.events.some(({ error }) => error?.event_id === 'marker'));
    const before = done();
    socket.send({ type: 'response.create', event_id: 'last' });
    await until(() => refused() || done() > before);
    // One that a right value began is still running, and there is one at a time.
    if (!refused()) return;
    await until(() => done() > before);
    socket.send({ type: 'response.create' });
    await until(() => done() > before + 1);
  } else {
    socket.send({ type: 'response.create', model: 'mock/base', input: 'Hello', stream_id: 'last' });
    while ((await socket.next('response.completed')).stream_id !== 'last');
  }
}

describe.each([
  ['/v1/realtime?model=mock/base', realtime, ''],
  ['/v1/responses', responses, '"model":"mock/base","input":"Hello",'],
])('%s', (path, events, rest) => {
  test.each(events)('%s, %s', async (type, field) => {
    const socket = await openSocket(server, path);
    for (const value of Object.values(values)) {
      socket.send(`{"type":"${type}","event_id":"bad",${rest}"${field}":${value}}`);
    }
    await answers(socket, path);
    const errors = socket.events.filter(
      ({ type, error }) => type === 'error' && !['marker', 'last'].includes(error.event_id),
    );
    for (const { error } of errors) {
      expect(error.message, JSON.stringify(error)).toMatch(/\S.*\.|\?$/);
      expect(error.type).not.toBe('server_error');
    }
    // A few of the values are right for a few of the fields; depth beyond what is read is for none.
    expect(errors.length, JSON.stringify(socket.events).slice(0, 2000)).toBeGreaterThan(0);
    expect(errors.filter(({ error }) => error.code === 'invalid_json')).toHaveLength(1);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(socket.closed).toBeUndefined();
    socket.socket.close();
    await socket.end();
  });

  test.each([
    ['no object', '[1, 2]'],
    ['null', 'null'],
    ['nothing', ''],
    ['half an event', '{"type":"response.create"'],
    ['no type', '{}'],
    ['a type that is no text', '{"type":{"__proto__":null}}'],
    ['a type of the prototype', '{"type":"constructor"}'],
    ['twice the type', '{"type":"session.update","type":"toString"}'],
  ])('%s', async (_, text) => {
    const socket = await openSocket(server, path);
    socket.send(text);
    const { error } = await socket.next('error');
    expect(error.type).not.toBe('server_error');
    await answers(socket, path);
    expect(socket.closed).toBeUndefined();
    socket.socket.close();
    await socket.end();
  });
});
