import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { firstTokenTimes } from './streams.ts';

let server: Server;
afterEach(() => new Promise((resolve) => server.close(resolve)));

/** A server that answers once `together` requests are there. */
async function serve(together: number, status: number, chunks: string[]): Promise<string> {
  const waiting: ServerResponse[] = [];
  server = createServer(async (_request, response) => {
    waiting.push(response);
    if (waiting.length < together) return;
    for (const each of waiting.splice(0)) {
      each.writeHead(status);
      for (const chunk of chunks) await new Promise((resolve) => each.write(chunk, resolve));
      each.end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

const carries = (event: unknown) => (event as { ids?: number[] }).ids?.length === 1;

it('sends all at once and finds the first token, though it comes in pieces after an empty event', async () => {
  const url = await serve(8, 200, [
    'data: {"ids":[]}\n\ndata: {"i',
    'ds":[5]}\n\n',
    'data: {"ids":[6]}\n\ndata: [DONE]\n\n',
  ]);
  const seen: unknown[] = [];
  const times = await firstTokenTimes(Array(8).fill({ url, body: {} }), (event) => {
    seen.push(event);
    return carries(event);
  });
  expect(times).toHaveLength(8);
  expect(times.every((time) => time > 0)).toBe(true);
  expect(seen.filter((event) => carries(event) && (event as { ids: number[] }).ids[0] === 5)).toHaveLength(8);
});

it('refuses an answer without a token, with what the server said', async () => {
  const url = await serve(1, 404, ['{"error":"no such model"}']);
  await expect(firstTokenTimes([{ url, body: {} }], carries)).rejects.toThrow(/404 .*no such model/);
});
