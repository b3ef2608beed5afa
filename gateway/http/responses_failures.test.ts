import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ColophonError } from '../contract/index.ts';
import { startTestServer, type TestServer, until } from './testing.ts';

const model = 'mock/base';

let server: TestServer;
let fail: (at: number) => Error | undefined = () => undefined;
beforeAll(async () => {
  server = await startTestServer({ reply: () => 'Some words.', fail: (_request, at) => fail(at) });
});
afterAll(() => server.close());

const ask = (body: object = {}) => server.post('/v1/responses', { model, input: 'Hi.', ...body });

interface SentEvent {
  name: string;
  // biome-ignore lint/suspicious/noExplicitAny: events of every shape
  data: any;
}

function eventsOf(stream: string): SentEvent[] {
  return stream
    .split('\n\n')
    .filter((block) => block.startsWith('event: '))
    .map((block) => {
      const [name, data] = block.split('\n');
      return { name: name!.slice('event: '.length), data: JSON.parse(data!.slice('data: '.length)) };
    });
}

describe('a failure', () => {
  test('before the first token has a status of its own, streamed or not', async () => {
    fail = () =>
      new ColophonError('All places are taken.', {
        type: 'rate_limit_error',
        code: 'full',
        retryAfterSeconds: 2,
      });
    for (const stream of [false, true]) {
      const { status, headers, body } = await ask({ stream });
      expect([status, headers.get('retry-after'), body.error.code]).toEqual([429, '2', 'full']);
    }
  });

  test('after it ends the stream as response.failed, with what there was, and is stored so', async () => {
    fail = (at) => (at === 5 ? new Error('secret') : undefined);
    const { status, body } = await ask({ stream: true });
    expect(status).toBe(200);
    expect(body).not.toContain('secret');
    const events = eventsOf(body);
    expect(events.map(({ name, data }) => [name, data.sequence_number])).toEqual(
      events.map(({ data }, index) => [data.type, index]),
    );
    const last = events.at(-1)!.data;
    expect(last).toMatchObject({
      type: 'response.failed',
      response: {
        status: 'failed',
        error: { code: 'server_error', message: expect.stringContaining('had an error') },
        output: [{ status: 'incomplete', content: [{ text: 'Some ' }] }],
      },
    });
    const kept = await server.openai.responses.retrieve(last.response.id);
    expect(kept.status).toBe('failed');
  });

  test('after it is a 500 where nothing was sent', async () => {
    fail = (at) => (at === 5 ? new Error('secret') : undefined);
    const { status, body } = await ask();
    expect([status, body.error.type]).toEqual([500, 'server_error']);
  });

  test('of a client that leaves ends the generation and leaves nothing behind', async () => {
    fail = () => undefined;
    const before = count();
    for (const stream of [false, true]) {
      server.backend.pause();
      const left = new AbortController();
      const asked = fetch(`${server.url}/v1/responses`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, input: 'Hi.', stream }),
        signal: left.signal,
      });
      await until(() => server.backend.running === 1);
      left.abort();
      await expect(asked).rejects.toThrow();
      server.backend.resume();
      await until(() => server.backend.running === 0);
    }
    expect(count()).toBe(before);
  });
});

function count(): number {
  return server.logged.filter((line) => line.finish === 'completed').length;
}
