/** Stored chat completions, through OpenAI's own client. */
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answered, eventsOf, startTestServer, type TestServer } from './testing.ts';

const model = 'mock/base';
const path = '/v1/chat/completions';
const messages = [
  { role: 'system' as const, content: 'Be brief.' },
  { role: 'user' as const, content: [{ type: 'text' as const, text: 'Hi' }] },
];

let server: TestServer;
let other: OpenAI;
beforeAll(async () => {
  server = await startTestServer({
    reply: () => 'Hello!',
    change: (config) => {
      config.access.api_key = 'key';
      config.access.keys = [{ key: 'other', tenant: 'other', min_priority: 0, isolate: false }];
    },
  });
  other = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'other', maxRetries: 0 });
});
afterAll(() => server.close());

const create = (fields: object = {}) =>
  server.openai.chat.completions.create({ model, messages, store: true, ...fields }) as Promise<
    OpenAI.ChatCompletion & { metadata?: unknown }
  >;
const get = (url: string) =>
  fetch(server.url + url, { headers: { authorization: 'Bearer key' } }).then(answered);

describe('a completion that is stored', () => {
  test('is there as it was answered, with its metadata and messages', async () => {
    const { completions } = server.openai.chat;
    const made = await create({ metadata: { topic: 'greeting' }, seed: 7, temperature: 0.5 });
    const kept = await completions.retrieve(made.id);
    expect(kept).toMatchObject({
      ...made,
      metadata: { topic: 'greeting' },
      seed: 7,
      temperature: 0.5,
      request_id: expect.stringMatching(/^req_/),
    });
    expect(kept).not.toHaveProperty('messages');
    const { data } = await completions.messages.list(made.id);
    expect(data).toMatchObject([
      { id: `${made.id}-0`, role: 'system', content: 'Be brief.', content_parts: null },
      { id: `${made.id}-1`, role: 'user', content: 'Hi', content_parts: [{ type: 'text', text: 'Hi' }] },
    ]);
    const last = await completions.messages.list(made.id, { limit: 1, order: 'desc' });
    expect(last.data.map(({ id }) => id)).toEqual([`${made.id}-1`]);
    expect(last.has_more).toBe(true);
    const rest = await last.getNextPage();
    expect(rest.data.map(({ id }) => id)).toEqual([`${made.id}-0`]);
  });

  test('is what a stream gave, calls and their ids too', async () => {
    const call = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>';
    const calling = await startTestServer({ reply: () => call });
    try {
      const tools = [{ type: 'function', function: { name: 'f' } }];
      const stream = await calling.post(path, { model, messages, tools, store: true, stream: true, n: 2 });
      const { events } = eventsOf(stream.body);
      const kept = await calling.openai.chat.completions.retrieve(events[0].id);
      expect(kept.choices.length).toBe(2);
      for (const { index, message, finish_reason } of kept.choices) {
        const deltas = events
          .map((event) => event.choices[0])
          .filter((choice) => choice.index === index)
          .flatMap((choice) => choice.delta.tool_calls ?? []);
        expect(finish_reason).toBe('tool_calls');
        expect(message.tool_calls).toEqual([
          { id: deltas[0].id, type: 'function', function: { name: 'f', arguments: '{"a": 1}' } },
        ]);
      }
    } finally {
      await calling.close();
    }
  });

  test('can get other metadata, and be deleted', async () => {
    const { completions } = server.openai.chat;
    const { id } = await create({ metadata: { a: '1' } });
    expect(await completions.update(id, { metadata: { b: '2' } })).toMatchObject({
      id,
      metadata: { b: '2' },
    });
    expect(await completions.retrieve(id)).toMatchObject({ metadata: { b: '2' } });
    expect(await completions.update(id, { metadata: null })).toMatchObject({ metadata: {} });
    expect(await completions.delete(id)).toEqual({ object: 'chat.completion.deleted', id, deleted: true });
    await expect(completions.retrieve(id)).rejects.toMatchObject({
      status: 404,
      code: 'chat_completion_not_found',
    });
    await expect(completions.delete(id)).rejects.toMatchObject({ status: 404 });
    await expect(completions.messages.list(id)).rejects.toMatchObject({ status: 404 });
  });

  test('is not there for another tenant', async () => {
    const { id } = await create({ metadata: { whose: 'mine' } });
    const { completions } = other.chat;
    for (const attempt of [
      () => completions.retrieve(id),
      () => completions.update(id, { metadata: {} }),
      () => completions.delete(id),
      () => completions.messages.list(id),
    ]) {
      await expect(attempt()).rejects.toMatchObject({ status: 404 });
    }
    expect((await completions.list()).data).toEqual([]);
    await expect(completions.list({ after: id })).rejects.toMatchObject({ status: 400, param: 'after' });
    expect(await server.openai.chat.completions.retrieve(id)).toMatchObject({ metadata: { whose: 'mine' } });
  });

  test('is only one that was asked to be', async () => {
    for (const fields of [{ store: false }, { store: null }, { store: undefined }]) {
      const { id } = await create(fields);
      await expect(server.openai.chat.completions.retrieve(id)).rejects.toMatchObject({ status: 404 });
    }
  });

  test('is gone when its days are over, and after that forgotten', async () => {
    const brief = await startTestServer({
      change: (config) => {
        config.store.days = 1 / 86_400;
      },
    });
    try {
      const { body } = await brief.post(path, { model, messages, store: true, max_tokens: 1 });
      const { completions } = brief.openai.chat;
      let there = true;
      while (there) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        there = (await completions.list()).data.length > 0;
      }
      await expect(completions.retrieve(body.id)).rejects.toMatchObject({ status: 404 });
    } finally {
      await brief.close();
    }
  });
});

describe('a list', () => {
  test('is in order, in pages, and by model and metadata', async () => {
    const run = `run-${Math.random()}`;
    const ids: string[] = [];
    for (let index = 0; index < 5; index++) {
      const made = await create({
        model: index % 2 === 0 ? model : 'mock-adapter',
        metadata: { run, 'odd "key".$\\': String(index % 2) },
      });
      ids.push(made.id);
    }
    const { completions } = server.openai.chat;
    const all: string[] = [];
    for await (const { id } of completions.list({ metadata: { run }, limit: 2 })) all.push(id);
    expect(all).toEqual(ids);
    const latest = await completions.list({ order: 'desc', limit: 2 });
    expect(latest.data.map(({ id }) => id)).toEqual([ids[4], ids[3]]);
    expect(latest.has_more).toBe(true);
    const adapters = await completions.list({ model: 'mock-adapter', metadata: { run } });
    expect(adapters.data.map(({ id }) => id)).toEqual([ids[1], ids[3]]);
    const odd = await completions.list({ metadata: { run, 'odd "key".$\\': '1' } });
    expect(odd.data.map(({ id }) => id)).toEqual([ids[1], ids[3]]);
    expect((await completions.list({ metadata: { run: 'none' } })).data).toEqual([]);
    const { body } = await get(`${path}?limit=1`);
    expect(body).toMatchObject({ object: 'list', first_id: body.data[0].id, last_id: body.data[0].id });
  });

  test.each([
    ['limit=0', 'limit'],
    ['limit=101', 'limit'],
    ['limit=x', 'limit'],
    ['order=up', 'order'],
    ['after=no', 'after'],
    ['model=a&model=b', 'model'],
    ['metadata[a]=1&metadata[a]=2', 'metadata[a]'],
  ])('is refused: %s', async (query, param) => {
    const { status, body } = await get(`${path}?${query}`);
    expect(status).toBe(400);
    expect(body.error.param).toBe(param);
  });
});

describe('metadata', () => {
  const pairs = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']));
  test.each<[string, object, string, string]>([
    ['17 pairs', pairs(17), 'metadata', 'object_above_max_properties'],
    ['a long key', { ['k'.repeat(65)]: 'v' }, 'metadata', 'string_above_max_length'],
    ['a long value', { k: 'v'.repeat(513) }, 'metadata.k', 'string_above_max_length'],
    ['a number', { k: 7 }, 'metadata.k', 'invalid_type'],
  ])('is refused: %s', async (_name, metadata, param, code) => {
    await expect(create({ metadata })).rejects.toMatchObject({ status: 400, param, code });
    const { id } = await create();
    await expect(
      server.openai.chat.completions.update(id, { metadata: metadata as Record<string, string> }),
    ).rejects.toMatchObject({ status: 400, param, code });
  });

  test('of 16 pairs of the longest is kept', async () => {
    const metadata = Object.fromEntries(
      Array.from({ length: 16 }, (_, index) => [`${index}`.padEnd(64, 'k'), 'v'.repeat(512)]),
    );
    const { id } = await create({ metadata });
    expect(await server.openai.chat.completions.retrieve(id)).toMatchObject({ metadata });
  });
});
