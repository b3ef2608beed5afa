/** Many streamed requests at once over HTTP, as many clients would send them. */
import { Agent, request } from 'node:http';

export interface StreamRequest {
  url: string;
  body: object;
  /** API key. */
  key?: string;
}

/**
 * Sends all requests at once, each on its own connection, and reads every answer to its end. Returns the milliseconds from
 * the common start to each answer's first event that carries a token.
 */
export async function firstTokenTimes(
  requests: StreamRequest[],
  carriesToken: (event: unknown) => boolean,
): Promise<number[]> {
  const agent = new Agent({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY });
  try {
    const start = performance.now();
    return await Promise.all(requests.map((each) => firstToken(each, carriesToken, agent, start)));
  } finally {
    agent.destroy();
  }
}

function firstToken(
  { url, body, key }: StreamRequest,
  carriesToken: (event: unknown) => boolean,
  agent: Agent,
  start: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = JSON.stringify(body);
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(sent),
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    };
    const outgoing = request(url, { method: 'POST', agent, headers }, (answer) => {
      let first: number | undefined;
      let rest = '';
      let all = '';
      answer.setEncoding('utf8');
      answer.on('data', (text: string) => {
        if (answer.statusCode !== 200) {
          all += text;
          return;
        }
        if (first !== undefined) return;
        const now = performance.now() - start;
        const lines = (rest + text).split('\n');
        rest = lines.pop()!;
        for (const line of lines) {
          if (!line.startsWith('data: {')) continue;
          const event = JSON.parse(line.slice(6));
          if (carriesToken(event)) first ??= now;
          else if (event.error) all = line;
        }
      });
      answer.on('error', reject);
      answer.on('end', () => {
        if (first !== undefined) resolve(first);
        else reject(new Error(`${url} answered ${answer.statusCode} without a token: ${all.slice(0, 400)}`));
      });
    });
    outgoing.on('error', reject);
    outgoing.end(sent);
  });
}

/**
 * Sends one request on a connection of its own and reads the whole answer, however long it takes (fetch gives up after five
 * minutes, and keeps connections that a server closes while it is frozen).
 */
export function postJson(url: string, body: object): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = JSON.stringify(body);
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(sent) };
    const outgoing = request(url, { method: 'POST', agent: false, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => {
        text = (text + part).slice(0, 400);
      });
      answer.on('error', reject);
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve();
        else reject(new Error(`${url} answered ${answer.statusCode}: ${text}`));
      });
    });
    outgoing.on('error', reject);
    outgoing.end(sent);
  });
}

/** Waits until a server answers `path` with 200. */
export async function untilHealthy(url: string, limitSeconds: number, alive: () => void): Promise<void> {
  const end = performance.now() + limitSeconds * 1000;
  for (;;) {
    alive();
    const ok = await fetch(url).then(
      (answer) => answer.ok,
      () => false,
    );
    if (ok) return;
    if (performance.now() > end) throw new Error(`${url} did not answer within ${limitSeconds} s.`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
