import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer, until } from './testing.ts';

const model = 'mock/base';
const reply = 'A long answer, told in the background.';

let server: TestServer;
beforeEach(async () => {
  server = await startTestServer({
    reply: () => reply,
    change: (config) => {
      config.server.drain_seconds = 0.05;
    },
  });
});
afterEach(() => server.close());

const start = () => server.openai.responses.create({ model, input: 'Hi.', background: true });
const statusOf = async (id: string) => (await server.openai.responses.retrieve(id)).status;

async function ended(id: string, of = server) {
  for (;;) {
    const response = await of.openai.responses.retrieve(id);
    if (response.status !== 'queued' && response.status !== 'in_progress') return response;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe('in the background', () => {
  test('a response is queued, then in progress, then completed', async () => {
    server.backend.pause();
    const made = await start();
    expect(made).toMatchObject({ status: 'queued', background: true, output: [] });
    expect(await statusOf(made.id)).toBe('queued');
    server.backend.resume();
    expect(await ended(made.id)).toMatchObject({ status: 'completed', output_text: reply });
    await until(() => server.logged.some((line) => line.response === made.id && line.finish === 'completed'));
  });

  test('it goes on when the client of its stream leaves, and is followed from any event on', async () => {
    const stream = await server.openai.responses.create({
      model,
      input: 'Hi.',
      background: true,
      stream: true,
    });
    const seen = [];
    for await (const event of stream) {
      seen.push(event);
      if (event.type === 'response.output_text.delta') break;
    }
    expect(seen.slice(0, 3).map((event) => event.type)).toEqual([
      'response.created',
      'response.queued',
      'response.in_progress',
    ]);
    const { id } = (seen[0] as { response: { id: string } }).response;
    const last = seen.at(-1)!.sequence_number;
    for await (const event of await server.openai.responses.retrieve(id, {
      stream: true,
      starting_after: last,
    })) {
      seen.push(event);
    }
    expect(seen.map((event) => event.sequence_number)).toEqual(seen.map((_, index) => index));
    const deltas = seen.flatMap((event) =>
      event.type === 'response.output_text.delta' ? [event.delta] : [],
    );
    expect(deltas.join('')).toBe(reply);
    expect(seen.at(-1)).toMatchObject({ type: 'response.completed', response: { id, status: 'completed' } });
    expect(await statusOf(id)).toBe('completed');
  });

  test('it is cancelled, twice alike, and its generation ends', async () => {
    server.backend.pause();
    const made = await start();
    await until(() => server.backend.running === 1);
    expect(await server.openai.responses.cancel(made.id)).toMatchObject({ status: 'cancelled' });
    expect(await server.openai.responses.cancel(made.id)).toMatchObject({ status: 'cancelled' });
    await until(() => server.backend.running === 0);
    expect(await statusOf(made.id)).toBe('cancelled');
  });

  test('it is deleted while it runs', async () => {
    server.backend.pause();
    const made = await start();
    await server.openai.responses.delete(made.id);
    await until(() => server.backend.running === 0);
    await expect(statusOf(made.id)).rejects.toMatchObject({ status: 404 });
  });

  test('nothing goes on from it before it has ended', async () => {
    server.backend.pause();
    const made = await start();
    await expect(
      server.openai.responses.create({ model, input: 'And?', previous_response_id: made.id }),
    ).rejects.toMatchObject({ status: 400, code: 'previous_response_not_finished' });
  });

  test('only so many run for one tenant', async () => {
    server.backend.pause();
    const answers = await Promise.all(
      Array.from({ length: 70 }, () =>
        server.post('/v1/responses', { model, input: 'Hi.', background: true }),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(64);
    const refused = answers.find(({ status }) => status === 429)!;
    expect(refused.body.error.code).toBe('too_many_background_responses');
    expect(refused.headers.get('retry-after')).toBe('5');
    server.backend.resume();
    await until(() => server.backend.running === 0);
    expect((await start()).status).toBe('queued');
  });

  test('it needs the store, and others cannot be cancelled or followed', async () => {
    const { status, body } = await server.post('/v1/responses', {
      model,
      input: 'Hi.',
      background: true,
      store: false,
    });
    expect([status, body.error.param]).toEqual([400, 'background']);
    const made = await server.openai.responses.create({ model, input: 'Hi.' });
    await expect(server.openai.responses.cancel(made.id)).rejects.toMatchObject({
      status: 400,
      error: { message: 'Cannot cancel a synchronous response.' },
    });
    await expect(server.openai.responses.retrieve(made.id, { stream: true })).rejects.toMatchObject({
      status: 400,
      param: 'stream',
    });
  });

  test('what fails says so', async () => {
    const broken = await startTestServer({
      reply: () => reply,
      fail: (_request, at) => (at === 2 ? new Error('secret') : undefined),
    });
    try {
      const { body } = await broken.post('/v1/responses', { model, input: 'Hi.', background: true });
      const response = await ended(body.id, broken);
      expect(response).toMatchObject({ status: 'failed', error: { code: 'server_error' } });
      expect(JSON.stringify(response)).not.toContain('secret');
    } finally {
      await broken.close();
    }
  });
});

describe('when the server stops', () => {
  const home = mkdtempSync(join(tmpdir(), 'colophon-test-'));
  const open = () =>
    startTestServer({
      change: (config) => {
        config.paths.data = home;
        config.server.drain_seconds = 0.05;
      },
    });

  test('what runs is failed, and found so after the next start', async () => {
    const first = await open();
    first.backend.pause();
    const { body } = await first.post('/v1/responses', { model, input: 'Hi.', background: true });
    await first.close();
    const second = await open();
    try {
      const response = await second.openai.responses.retrieve(body.id);
      expect(response).toMatchObject({
        status: 'failed',
        error: { message: expect.stringContaining('shutting down') },
      });
    } finally {
      await second.close();
    }
  });

  test('what a killed one left is failed at the next start', async () => {
    const first = await open();
    first.backend.pause();
    const { body } = await first.post('/v1/responses', { model, input: 'Hi.', background: true });
    // The second process begins while the first has not written its end: as after a kill.
    const second = await open();
    try {
      const response = await second.openai.responses.retrieve(body.id);
      expect(response).toMatchObject({
        status: 'failed',
        error: { message: expect.stringContaining('stopped') },
      });
    } finally {
      await second.close();
      await first.close();
      rmSync(home, { recursive: true, force: true });
    }
  });
});
