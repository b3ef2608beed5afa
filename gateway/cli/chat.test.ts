import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TestServer } from '../models/testing.ts';
import { Client } from './client.ts';
import { run } from './commands/run.ts';
import { keepingOutput } from './testing.ts';

let server: TestServer;
let bodies: Array<Record<string, unknown>>;

beforeEach(async () => {
  server = await new TestServer().start();
  bodies = [];
  server.text('/health', 'application/json', '{}');
  server.text(
    '/v1/models',
    'application/json',
    JSON.stringify({
      data: [
        { id: 'base', parent: null },
        { id: 'poet', parent: 'base' },
      ],
    }),
  );
  server.text('/metrics', 'text/plain', 'a_total{x="1"} 2\na_total{x="2"} 3\nother 9\n');
});
afterEach(() => server.stop());

/** Answers a chat with these pieces of the wire, each written on its own. */
function answer(pieces: string[], end = true): void {
  server.routes.set('/v1/chat/completions', async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    bodies.push(JSON.parse(body));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const piece of pieces) {
      response.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (end) response.end();
  });
}

const delta = (content: string) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;
const finish =
  'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n';

it('reads a stream whatever pieces it comes in', async () => {
  const wire = Buffer.from(`: hello\r\n\r\n${delta('Grüß')}${delta(' Gott')}${finish}`);
  const cut = wire.indexOf(Buffer.from('ß')) + 1; // Inside a character.
  answer([wire.subarray(0, 9), wire.subarray(9, cut), wire.subarray(cut)] as unknown as string[]);
  let text = '';
  const write = (part: string) => {
    text += part;
  };
  const end = await new Client(server.url).chat(
    { model: 'm', messages: [] },
    write,
    new AbortController().signal,
  );
  expect(text).toBe('Grüß Gott');
  expect(end).toEqual({ finish: 'stop', usage: { prompt_tokens: 3, completion_tokens: 2 } });
});

it('answers what is piped in, on stdout alone', async () => {
  answer([delta('Hi'), finish]);
  const { output, printed } = keepingOutput();
  const flags = { url: server.url, system: 'Be brief.', temperature: 0, seed: 7, maxTokens: 9 };
  expect(await run('poet', flags, output, Readable.from(['hello\n']))).toBe(0);
  expect(printed).toEqual({ stdout: 'Hi\n', stderr: '' });
  expect(bodies[0]).toMatchObject({
    model: 'poet',
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'hello' },
    ],
    temperature: 0,
    seed: 7,
    max_tokens: 9,
    stream: true,
  });
});

it('takes the base without a name, and prints JSON where asked for', async () => {
  answer([delta('Hi'), finish]);
  const { output, printed } = keepingOutput({ json: true });
  await run(undefined, { url: server.url }, output, Readable.from(['hello']));
  expect(JSON.parse(printed.stdout)).toEqual({
    model: 'base',
    content: 'Hi',
    finish: 'stop',
    usage: { prompt_tokens: 3, completion_tokens: 2 },
  });
});

it('says what was meant by a name, and passes on what the server says', async () => {
  const { output } = keepingOutput();
  const ask = (model: string) => run(model, { url: server.url }, output, Readable.from(['hello']));
  await expect(ask('peot')).rejects.toThrow('There is no model named "peot". Did you mean "poet"?');
  await expect(run('poet', { url: server.url }, output, Readable.from([' \n']))).rejects.toThrow(
    'stdin is empty',
  );
  server.routes.set('/v1/chat/completions', (_request, response) =>
    response.writeHead(400).end('{"error":{"message":"Too long."}}'),
  );
  await expect(ask('poet')).rejects.toThrow('Too long.');
  server.routes.set('/v1/chat/completions', (_request, response) => response.writeHead(401).end());
  await expect(ask('poet')).rejects.toThrow('COLOPHON_API_KEY');
  answer(['data: {"error":{"message":"It broke."}}\n\n']);
  await expect(ask('poet')).rejects.toThrow('It broke.');
});

it('ends a generation with its signal', async () => {
  answer([delta('Once')], false);
  const stop = new AbortController();
  const chat = new Client(server.url).chat({ model: 'm', messages: [] }, () => stop.abort(), stop.signal);
  await expect(chat).rejects.toMatchObject({ name: 'AbortError' });
});

it('sums metrics over their labels', async () => {
  expect(await new Client(`${server.url}/v1/`).metrics(['a_total', 'absent'])).toEqual({ a_total: 5 });
});
