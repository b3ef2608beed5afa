import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../gateway/http/testing.ts';
import { aiSdkCases } from './ai_sdk.ts';
import { runCases, Skip } from './suite.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ context: 100_000 });
});
afterAll(() => server.close());

const names = aiSdkCases({ url: 'http://localhost', model: 'mock/base' }).map(({ name }) => name);

test.each(names)('%s', async (name) => {
  const { run } = aiSdkCases({ url: server.url, model: 'mock/base' }).find((one) => one.name === name)!;
  await run();
  expect(server.logged.filter((line) => (line.status as number) >= 500)).toEqual([]);
});

test('what does not apply is skipped with its reason, what throws has failed', async () => {
  const outcomes = await runCases([
    { name: 'fine', run: async () => {} },
    { name: 'absent', run: () => Promise.reject(new Skip('Not here.')) },
    {
      name: 'no route',
      run: () => Promise.reject(Object.assign(new Error('Invalid URL.'), { code: 'unknown_url' })),
    },
    { name: 'wrong', run: () => Promise.reject(new Error('It is\n wrong.')) },
  ]);
  expect(outcomes).toEqual([
    { name: 'fine', outcome: 'passed' },
    { name: 'absent', outcome: 'skipped', why: 'Not here.' },
    { name: 'no route', outcome: 'skipped', why: 'The server has no such route: Invalid URL.' },
    { name: 'wrong', outcome: 'failed', why: 'It is wrong.' },
  ]);
});
