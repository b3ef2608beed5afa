/** HTTP as no client should write it: an answer below 500 or the end of the connection, and nothing that stays. */
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer, until } from './testing.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ reply: () => 'Hello.' });
});
afterAll(() => server.close());

const body = JSON.stringify({ model: 'mock/base', prompt: 'Hi', max_tokens: 2 });
const head = 'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
const length = `Content-Length: ${body.length}\r\n`;
const close = 'Connection: close\r\n';
const chunked = 'Transfer-Encoding: chunked\r\n';
const chunk = `${body.length.toString(16)}\r\n${body}\r\n`;

/** Statuses of all answers to these bytes. The server has to end the connection. */
function statuses(text: string): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    let answer = '';
    socket.setEncoding('latin1').on('data', (data) => {
      answer += data;
    });
    socket.on('error', reject);
    socket.on('close', () => {
      resolve([...answer.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => Number(status)));
    });
    socket.write(text, 'latin1');
  });
}

test.each<[string, string, number[]]>([
  ['two lengths', `${head}${length}Content-Length: 1\r\n${close}\r\n${body}`, [400]],
  ['a length and chunks', `${head}${length}${chunked}${close}\r\n${chunk}0\r\n\r\n`, [400]],
  ['a length that is none', `${head}Content-Length: -1\r\n${close}\r\n${body}`, [400]],
  ['a chunk whose length is none', `${head}${chunked}${close}\r\nzz\r\n${body}\r\n0\r\n\r\n`, [400]],
  ['a header without a name', `${head}: x\r\n${length}${close}\r\n${body}`, [400]],
  ['a header with a NUL', `${head}X-A: a\0b\r\n${length}${close}\r\n${body}`, [400]],
  ['no host', `GET /v1/models HTTP/1.1\r\n${close}\r\n`, [400]],
  ['headers of 32 KiB', `${head}X-A: ${'x'.repeat(32_768)}\r\n${length}${close}\r\n${body}`, [431]],
  ['two media types', `${head}Content-Type: text/plain\r\n${length}${close}\r\n${body}`, [200]],
  ['trailers', `${head}${chunked}${close}Trailer: X-A\r\n\r\n${chunk}0\r\nX-A: b\r\n\r\n`, [200]],
  ['chunks of a byte', `${head}${chunked}${close}\r\n${body.replace(/./g, '1\r\n$&\r\n')}0\r\n\r\n`, [200]],
])('%s: %s', async (_name, text, expected) => {
  expect(await statuses(text)).toEqual(expected);
});

test('noise after a request that was good', async () => {
  const answers = await statuses(`${head}${length}\r\n${body}NOISE\r\n\r\n`);
  expect(answers.at(-1)).toBe(400);
  expect(answers.filter((status) => status !== 200 && status !== 400)).toEqual([]);
});

test('afterwards nothing has failed or stayed', async () => {
  await until(() => server.backend.running === 0);
  expect(server.logged.filter((line) => (line.level as number) >= 50)).toEqual([]);
  expect((await server.post('/v1/completions', JSON.parse(body))).status).toBe(200);
});
