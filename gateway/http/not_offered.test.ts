import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from './testing.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ adapters: ['one', 'team/two'] });
});
afterAll(() => server.close());

describe("what is OpenAI's and not offered says so", () => {
  const calls: Array<[string, () => Promise<unknown>]> = [
    ['moderations', () => server.openai.moderations.create({ input: 'x' })],
    ['images', () => server.openai.images.generate({ prompt: 'x' })],
    [
      'audio',
      async () =>
        server.openai.audio.transcriptions.create({
          model: 'x',
          file: await toFile(Buffer.alloc(100_000), 'x.wav'),
        }),
    ],
    ['assistants', () => server.openai.beta.assistants.create({ model: 'x' })],
    ['threads', () => server.openai.beta.threads.retrieve('x')],
    ['vector_stores', () => server.openai.vectorStores.delete('x')],
    ['fine_tuning', () => server.openai.fineTuning.jobs.list()],
  ];
  test.each(calls)('%s', async (segment, call) => {
    await expect(call()).rejects.toMatchObject({
      status: 404,
      type: 'not_found_error',
      code: 'not_offered',
      message: expect.stringContaining(`(/v1/${segment}). `),
    });
  });

  test('whatever the body is', async () => {
    const { status, body } = await server.post('/v1/moderations', 'no json', { 'content-type': 'x/y' });
    expect(status).toBe(404);
    expect(body.error.message).toBe(
      'This server does not offer moderation (/v1/moderations). Ask a model of your own through /v1/chat/completions.',
    );
  });
});

describe('models are deleted', () => {
  test('where they are adapters', async () => {
    for (const id of ['one', 'team/two']) {
      expect(await server.openai.models.delete(id)).toEqual({ id, object: 'model', deleted: true });
      await expect(server.openai.models.delete(id)).rejects.toMatchObject({
        status: 404,
        code: 'model_not_found',
      });
    }
    expect((await server.openai.models.list()).data.map(({ id }) => id)).toEqual(['mock/base']);
  });

  test('and never the base', async () => {
    await expect(server.openai.models.delete('mock/base')).rejects.toMatchObject({
      status: 403,
      code: 'model_not_deletable',
    });
    expect((await server.openai.models.retrieve('mock/base')).id).toBe('mock/base');
  });
});
