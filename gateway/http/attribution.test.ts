/** Answers that are followed: what an attributor is told, and what a client that asks is shown. */

import { Type } from 'typebox';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Attributor, definePlugin, type FollowedGeneration, type Following } from '../contract/index.ts';
import { eventsOf, startTestServer, type TestServer } from './testing.ts';

/** What was followed, with its tokens and its end. */
let followed: Array<FollowedGeneration & { tokens: number[]; end?: Parameters<Following['end']>[0] }> = [];
const span = { start: 0, end: 2, occurrences: 3, logFrequency: -4.5, examples: [7] };

/** Says of each token how many there were. */
const attributor: Attributor = {
  async follow(generation) {
    const seen: (typeof followed)[number] = { ...generation, tokens: [] };
    followed.push(seen);
    return {
      wantsStates: true,
      token(id) {
        seen.tokens.push(id);
        return { length: seen.tokens.length, occurrences: 1, examples: [seen.tokens.length] };
      },
      end(finish) {
        if (seen.end) throw new Error('It ended twice.');
        seen.end = finish;
        return { status: 'settling', matchedTokens: 2, spans: [span] };
      },
    };
  },
  settled: async () => undefined,
};
const plugin = definePlugin({
  name: 'follower',
  contract: 1,
  config: Type.Object({}),
  provides: ['attributor'],
  setup: (host) => host.provide('attributor', attributor),
});

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ reply: () => 'Hi!', plugins: [plugin] });
});
afterAll(() => server.close());
beforeEach(() => {
  followed = [];
});

const traces = [1, 2, 3, 4].map((length) => ({ length, occurrences: 1, examples: [length] }));
const spans = [{ start: 0, end: 2, occurrences: 3, log_frequency: -4.5, examples: [7] }];
const body = { model: 'mock-adapter', messages: [{ role: 'user', content: 'x' }] };
const chat = (fields: object) => server.post('/v1/chat/completions', { ...body, ...fields });
const text = (fields: object) =>
  server.post('/v1/completions', { model: 'mock-adapter', prompt: 'x', ...fields });
const response = (fields: object) =>
  server.post('/v1/responses', { model: 'mock-adapter', input: 'x', ...fields });

describe('every answer of an adapter', () => {
  test('is followed, to its end, and shows nothing unless asked', async () => {
    const { body: answer } = await chat({});
    expect(followed).toMatchObject([
      {
        response: answer.id,
        choice: 0,
        tenant: 'default',
        model: { id: 'mock-adapter' },
        prompt: expect.any(Array),
        end: 'stop',
      },
    ]);
    expect(followed[0]!.tokens).toHaveLength(4);
    expect(server.backend.requests.at(-1)!.answerStates).toBe(true);
    expect(JSON.stringify(answer)).not.toContain('colophon":');
  });

  test.each([
    ['chat', chat, { n: 2 }],
    ['completions', text, { n: 2 }],
    ['responses', response, {}],
  ] as const)('of %s by its response and choice', async (_name, ask, fields) => {
    const { body: answer } = await ask(fields);
    const choices = 'n' in fields ? [0, 1] : [0];
    expect(followed.map(({ response: id, choice }) => [id, choice])).toEqual(
      choices.map((at) => [answer.id, at]),
    );
  });

  test('is followed to where its reader or a stop string cut it', async () => {
    await chat({ stop: '!' });
    expect(followed.at(-1)!.end).toBe('stop');
    server.backend.pause();
    const abort = new AbortController();
    const asked = fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: abort.signal,
    }).catch(() => {});
    await expect.poll(() => followed.length).toBe(2);
    abort.abort();
    await asked;
    await expect.poll(() => followed.at(-1)!.end).toBe('cut');
    server.backend.resume();
  });

  test('of the base is not, and says so to those who ask', async () => {
    const { body: answer } = await chat({ model: 'mock/base', attribution: 'summary' });
    expect(followed).toEqual([]);
    expect(answer.choices[0].colophon).toEqual({
      status: 'unattributed',
      reason: expect.stringContaining('base model'),
      matched_tokens: 0,
    });
  });
});

describe('spans', () => {
  test('are in a whole answer, with the trace of each token', async () => {
    const colophon = { tokens: traces, status: 'settling', matched_tokens: 2, spans };
    expect((await chat({ attribution: 'spans' })).body.choices[0].colophon).toEqual(colophon);
    expect((await text({ attribution: 'spans' })).body.choices[0].colophon).toEqual(colophon);
    const { tokens: _, ...end } = colophon;
    expect((await response({ attribution: 'spans' })).body.colophon).toEqual(end);
  });

  test('are no part of a summary', async () => {
    const { body: answer } = await chat({ attribution: 'summary' });
    expect(answer.choices[0].colophon).toEqual({ status: 'settling', matched_tokens: 2 });
  });

  test.each([
    ['chat', chat],
    ['completions', text],
  ] as const)('of a stream of %s come with each token, and at the end', async (_name, ask) => {
    const { body: stream } = await ask({ attribution: 'spans', stream: true, return_token_ids: true });
    const choices = eventsOf(stream).events.map(({ choices: [choice] }) => choice);
    // Each chunk says of as many tokens as it has.
    for (const { token_ids: ids = [], colophon } of choices)
      expect(colophon?.tokens ?? []).toHaveLength(ids.length);
    expect(choices.flatMap(({ colophon }) => colophon?.tokens ?? [])).toEqual(traces);
    expect(choices.at(-1).colophon).toMatchObject({ status: 'settling', matched_tokens: 2, spans });
  });

  test('of a streamed response come with its text', async () => {
    const { body: stream } = await response({ attribution: 'spans', stream: true });
    const { events } = eventsOf(stream.replace(/^event: .*\n/gm, ''));
    const deltas = events.filter(({ type }) => type === 'response.output_text.delta');
    expect(deltas.flatMap(({ colophon }) => colophon.tokens)).toEqual(traces);
    expect(events.at(-1).response.colophon).toMatchObject({ spans });
  });

  test('need a word that is known', async () => {
    const { status, body: answer } = await chat({ attribution: 'all' });
    expect([status, answer.error.param]).toEqual([400, 'attribution']);
  });
});

test('a server without an attributor says so', async () => {
  const bare = await startTestServer({ reply: () => 'Hi!' });
  const { body: answer } = await bare.post('/v1/chat/completions', { ...body, attribution: 'spans' });
  expect(answer.choices[0].colophon).toMatchObject({ status: 'unattributed', spans: [] });
  await bare.close();
});
