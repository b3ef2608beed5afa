/** What a test asks of a server in a process of its own: jobs waited for, files given to a Datanet, snapshots made. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { ServerProcess } from './server_process.ts';

/** The answer's body; fails where the status is not 200. */
export async function done(server: ServerProcess, method: string, path: string, body?: unknown) {
  const answer = await server.ask(method, path, body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  return answer.body;
}

/** What is at `path` once it is in the state. */
export async function until(server: ServerProcess, path: string, state: string) {
  for (;;) {
    const body = await done(server, 'GET', path);
    const now = body.state ?? body.status;
    if (now === state) return body;
    if (['failed', 'cancelled', 'succeeded'].includes(now)) throw new Error(JSON.stringify(body));
    await sleep(20);
  }
}

/** A line of a chat. */
export const chatLine = (question: string, answer: string) =>
  JSON.stringify({
    messages: [
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ],
  });

/** Id of a contribution with these lines that is accepted. */
export async function accepted(
  server: ServerProcess,
  datanet: string,
  contributor: string,
  lines: string[],
): Promise<string> {
  const said = {
    contributor,
    filename: 'lines.jsonl',
    licence: 'CC0-1.0',
    source: 'own work',
    rights: 'Mine.',
  };
  const path = `/datanets/${datanet}/contributions`;
  const content = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  const { id } = await done(server, 'POST', `${path}?${new URLSearchParams(said)}`, content);
  await until(server, `${path}/${id}`, 'checked');
  await done(server, 'POST', `${path}/${id}/review`, { decision: 'accept' });
  return id;
}

/** Id of a snapshot of all that is accepted. */
export async function frozen(server: ServerProcess, datanet: string, settings: object = {}): Promise<string> {
  const shares = { train: 1, validation: 0, test: 0 };
  const { id } = await done(server, 'POST', `/datanets/${datanet}/snapshots`, { shares, ...settings });
  return (await until(server, `/datanets/${datanet}/jobs/${id}`, 'succeeded')).report.snapshot;
}
