/** A registry and a hub on loopback, for tests: they count requests, cut connections and lie when told to. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { zipSync } from 'fflate';

export const sha256 = (content: Uint8Array) => createHash('sha256').update(content).digest('hex');

/** Bytes that do not compress, beginning as a GGUF file does. */
export function fakeGguf(bytes: number, seed = 1): Buffer {
  const content = Buffer.alloc(bytes);
  let state = seed;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    content[i] = state >>> 24;
  }
  content.write('GGUF', 'latin1');
  return content;
}

export function wheelOf(members: Record<string, Uint8Array>): Buffer {
  return Buffer.from(zipSync(members, { level: 1 }));
}

export interface FileAnswer {
  content: Buffer;
  etag?: string;
  /** Cuts the connection after so many bytes, once for each entry. */
  cuts?: number[];
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export class TestServer {
  url = '';
  readonly requests: Array<{ path: string; headers: IncomingMessage['headers'] }> = [];
  readonly routes = new Map<string, Handler>();
  /** Acts as a proxy too: every tunnel ends at this server. */
  tunnels = false;
  readonly tunnelled: string[] = [];
  readonly #server = createServer((request, response) => {
    this.requests.push({ path: request.url!, headers: request.headers });
    const route = this.routes.get(request.url!.split('?')[0]!);
    if (route) route(request, response);
    else response.writeHead(404).end('nothing here');
  });

  async start(): Promise<this> {
    this.#server.removeAllListeners('connect').on('connect', (request, socket) => {
      this.tunnelled.push(request.url!);
      if (!this.tunnels) return socket.destroy();
      const inner = connect((this.#server.address() as AddressInfo).port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        socket.pipe(inner).pipe(socket);
      });
      inner.on('error', () => socket.destroy());
      socket.on('error', () => inner.destroy());
      return undefined;
    });
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  stop(): Promise<unknown> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  text(path: string, type: string, body: string): void {
    this.routes.set(path, (_request, response) =>
      response.writeHead(200, { 'content-type': type }).end(body),
    );
  }

  /** A file with ranges and validators, as registries serve them. */
  file(path: string, answer: FileAnswer): void {
    const etag = answer.etag ?? `"${sha256(answer.content).slice(0, 16)}"`;
    const cuts = [...(answer.cuts ?? [])];
    this.routes.set(path, (request, response) => {
      const from = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
      const resumes = from !== null && request.headers['if-range'] === etag;
      const start = resumes ? Number(from[1]) : 0;
      const rest = answer.content.subarray(start);
      response.writeHead(resumes ? 206 : 200, {
        etag,
        'content-length': rest.length,
        ...(resumes
          ? { 'content-range': `bytes ${start}-${answer.content.length - 1}/${answer.content.length}` }
          : {}),
      });
      const cut = cuts.shift();
      if (cut === undefined) response.end(rest);
      else response.write(rest.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
    });
  }

  /** Publishes a wheel under both forms of the simple API's page. */
  wheel(
    name: string,
    filename: string,
    content: Buffer,
    options: { html?: boolean; sha256?: string; cuts?: number[] } = {},
  ): void {
    const digest = options.sha256 ?? sha256(content);
    this.file(`/files/${filename}`, { content, ...(options.cuts ? { cuts: options.cuts } : {}) });
    if (options.html) {
      this.text(
        `/simple/${name}/`,
        'text/html',
        `<!DOCTYPE html><a href="../../files/${filename}#sha256=${digest}">${filename}</a>`,
      );
    } else {
      const files = [{ filename, url: `../../files/${filename}`, hashes: { sha256: digest }, yanked: false }];
      this.text(`/simple/${name}/`, 'application/vnd.pypi.simple.v1+json', JSON.stringify({ name, files }));
    }
  }
}
