import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { startTestServer, type TestServer, until } from '../http/testing.ts';
import { openSocket } from '../ws/testing.ts';
import { operator } from './callers.ts';
import { formatDuration, RateLimits } from './rate_limits.ts';

const model = 'mock/base';
let server: TestServer;
afterEach(async () => {
  vi.useRealTimers();
  await server?.close();
});

const chat = (more: object = {}) => ({
  model,
  messages: [{ role: 'user', content: 'hi' }],
  max_tokens: 4,
  ignore_eos: true,
  ...more,
});

test('requests beyond the limit of a minute get a 429 that says when to come again', async () => {
  server = await startTestServer({
    change: (config) => {
      config.access.limits = { requests_per_minute: 3 };
    },
  });
  for (const left of [2, 1, 0]) {
    const { status, headers } = await server.post('/v1/chat/completions', chat({ stream: left === 1 }));
    expect(status).toBe(200);
    expect(headers.get('x-ratelimit-limit-requests')).toBe('3');
    expect(headers.get('x-ratelimit-remaining-requests')).toBe(String(left));
    expect(headers.get('x-ratelimit-reset-requests')).toMatch(/^(1m0s|\d+(\.\d+)?s)$/);
    expect(headers.get('x-ratelimit-limit-tokens')).toBeNull();
  }
  const { status, headers, body } = await server.post('/v1/chat/completions', chat());
  expect(status).toBe(429);
  expect(body.error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded', param: null });
  expect(body.error.message).toMatch(
    /^Rate limit reached on requests per min \(RPM\): Limit 3, Used 3, Requested 1\. Please try again in \S+s\.$/,
  );
  const ms = Number(headers.get('retry-after-ms'));
  expect(ms).toBeGreaterThan(0);
  expect(ms).toBeLessThanOrEqual(60_000);
  expect(headers.get('retry-after')).toBe(String(Math.ceil(ms / 1000)));
  expect(headers.get('x-ratelimit-remaining-requests')).toBe('0');
  // To look is no request for work.
  expect((await server.openai.models.list()).data.length).toBeGreaterThan(0);
});

test('tokens are reserved before and settled after', async () => {
  server = await startTestServer({
    change: (config) => {
      config.access.limits = { tokens_per_minute: 1000 };
    },
  });
  const remaining = async () => {
    const { headers } = await fetch(`${server.url}/v1/models`);
    return Number(headers.get('x-ratelimit-remaining-tokens'));
  };
  expect(await remaining()).toBe(1000);
  server.backend.pause();
  const running = server.post(
    '/v1/chat/completions',
    chat({ max_tokens: 900, ignore_eos: false, stop: ['e'] }),
  );
  await until(() => server.backend.requests.length === 1);
  expect(await remaining()).toBeLessThan(100);
  const refused = await server.post('/v1/chat/completions', chat({ max_tokens: 100 }));
  expect(refused.status).toBe(429);
  expect(refused.body.error.message).toContain('tokens per min (TPM): Limit 1000, Used 9');
  expect(refused.headers.get('x-ratelimit-remaining-tokens')).not.toBe('0');
  expect(server.backend.requests.length).toBe(1);
  server.backend.resume();
  const { usage } = (await running).body;
  await until(async () => (await remaining()) === 1000 - usage.total_tokens);
  const huge = await server.post('/v1/chat/completions', chat({ max_tokens: 2000 }));
  expect(huge.status).toBe(429);
  expect(huge.body.error.message).toContain('Request too large');
  expect(huge.headers.get('retry-after')).toBeNull();
  // A stream, cut by its client, has used what it was given.
  const stream = await server.openai.chat.completions.create({
    model,
    messages: [{ role: 'user', content: 'hi' }],
    max_tokens: 300,
    stream: true,
  });
  for await (const _ of stream) break;
  await until(() => server.backend.running === 0);
  await until(async () => (await remaining()) > 300);
  expect(await remaining()).toBeLessThan(1000 - usage.total_tokens);
});

test('limits are of a tenant, or of a key that has its own', async () => {
  server = await startTestServer({
    change: (config) => {
      const key = { min_priority: 0, isolate: false };
      config.access.limits = { requests_per_minute: 1 };
      config.access.keys = [
        { ...key, key: 'a', tenant: 'press' },
        { ...key, key: 'b', tenant: 'press' },
        { ...key, key: 'c', tenant: 'press', limits: { requests_per_minute: 2 } },
        { ...key, key: 'd', tenant: 'bank' },
      ];
    },
  });
  const ask = async (key: string) =>
    (await server.post('/v1/chat/completions', chat(), { authorization: `Bearer ${key}` })).status;
  expect(await ask('a')).toBe(200);
  expect(await ask('b')).toBe(429);
  expect([await ask('c'), await ask('c'), await ask('c')]).toEqual([200, 200, 429]);
  expect(await ask('d')).toBe(200);
  // Whoever has no key uses nobody's limit up.
  expect(await ask('nobody')).toBe(401);
});

test('without limits there are no headers', async () => {
  server = await startTestServer();
  const { headers } = await server.post('/v1/chat/completions', chat());
  expect([...headers.keys()].filter((name) => name.startsWith('x-ratelimit'))).toEqual([]);
});

describe('no burst passes a limit', () => {
  test('of whatever sizes, settled in whatever order', async () => {
    vi.useFakeTimers();
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 500 }),
        fc.array(
          fc.record({
            tokens: fc.integer({ min: 1, max: 200 }),
            used: fc.double({ min: 0, max: 1, noNaN: true }),
            waits: fc.integer({ min: 0, max: 25_000 }),
            runs: fc.integer({ min: 0, max: 90_000 }),
          }),
          { maxLength: 60 },
        ),
        async (limit, asked) => {
          const limits = new RateLimits({ limits: { tokens_per_minute: limit } });
          const outstanding: Array<Promise<void>> = [];
          // What was taken in the minute that is running, and not given back in it.
          let minute = { ends: 0, taken: 0 };
          for (const { tokens, used, waits, runs } of asked) {
            if (waits > 20_000) await vi.advanceTimersByTimeAsync(waits);
            outstanding.push(
              limits.reserve(operator, tokens).then(
                async (reservation) => {
                  if (Date.now() >= minute.ends) minute = { ends: Date.now() + 60_000, taken: 0 };
                  const mine = minute;
                  mine.taken += tokens;
                  expect(mine.taken).toBeLessThanOrEqual(limit);
                  await new Promise((resolve) => setTimeout(resolve, runs));
                  const spent = Math.floor(tokens * used);
                  if (Date.now() < mine.ends) mine.taken -= tokens - spent;
                  await reservation.settle(spent);
                },
                (refusal) => expect(refusal.status).toBe(429),
              ),
            );
          }
          const [all] = [Promise.all(outstanding)];
          await vi.advanceTimersByTimeAsync(200_000);
          await all;
        },
      ),
      { numRuns: 200 },
    );
  });

  test('over HTTP', async () => {
    server = await startTestServer({
      change: (config) => {
        config.access.limits = { requests_per_minute: 10 };
      },
    });
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => server.post('/v1/chat/completions', chat())),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(30);
    expect(server.backend.requests).toHaveLength(10);
  });
});

test('times are written as OpenAI writes them', () => {
  expect([0, 12, 999.2, 1000, 7655, 59_999, 60_000, 360_000, 61_000].map(formatDuration)).toEqual([
    '0ms',
    '12ms',
    '1s',
    '1s',
    '7.66s',
    '1m0s',
    '1m0s',
    '6m0s',
    '1m1s',
  ]);
});

test('responses and sockets are within the limits too', async () => {
  server = await startTestServer({
    change: (config) => {
      config.access.limits = { tokens_per_minute: 1000 };
    },
  });
  const body = { model: model, input: 'Hi.', max_output_tokens: 600 };
  expect((await server.post('/v1/responses', { ...body, ignore_eos: true })).status).toBe(200);
  const { status, body: refused } = await server.post('/v1/responses', body);
  expect([status, refused.error.code]).toEqual([429, 'rate_limit_exceeded']);
  const responses = await openSocket(server, '/v1/responses');
  responses.send({ type: 'response.create', ...body });
  expect((await responses.next('error')).error.code).toBe('rate_limit_exceeded');
  const realtime = await openSocket(server, '/v1/realtime?model=mock/base');
  realtime.send({
    type: 'response.create',
    response: { instructions: 'Hi.', max_output_tokens: 600 },
  });
  const { rate_limits } = await realtime.next('rate_limits.updated');
  expect(rate_limits).toMatchObject([{ name: 'tokens', limit: 1000 }]);
  expect(rate_limits[0].remaining).toBeLessThan(600);
  const { response } = await realtime.next('response.done');
  expect(response).toMatchObject({
    status: 'failed',
    status_details: { error: { code: 'rate_limit_exceeded' } },
  });
});
