/** A running server, as the commands see it: the OpenAI API over HTTP. */
import type { Config } from '../config/index.ts';
import { CliError, exitCodes } from './failure.ts';

export interface ServedModel {
  id: string;
  parent: string | null;
  root?: string;
  residency?: string;
  max_model_len?: number;
  [other: string]: unknown;
}

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

export interface ChatRequest {
  model: string;
  messages: ChatMessage[];
  temperature?: number;
  max_tokens?: number;
  seed?: number;
}

export interface ChatEnd {
  finish: string | null;
  usage?: { prompt_tokens: number; completion_tokens: number };
}

/** Where a server with this configuration is reached from here. */
export function serverUrl(config: Config): string {
  const { host, port } = config.server;
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}

export class Client {
  readonly url: string;
  readonly #headers: Record<string, string>;

  constructor(url: string, apiKey?: string) {
    this.url = url.replace(/\/+$/, '').replace(/\/v1$/, '');
    this.#headers = apiKey ? { authorization: `Bearer ${apiKey}` } : {};
  }

  /** Whether a server answers there, soon. */
  async answers(): Promise<boolean> {
    try {
      const response = await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(1000) });
      await response.body?.cancel();
      return response.status === 200 || response.status === 503;
    } catch {
      return false;
    }
  }

  async models(): Promise<ServedModel[]> {
    const response = await this.send('/v1/models');
    return ((await response.json()) as { data: ServedModel[] }).data;
  }

  async answer<Answer>(path: string, init: RequestInit = {}): Promise<Answer> {
    return (await (await this.send(path, init)).json()) as Answer;
  }

  /** The data of a stream of events, until it ends or `signal` ends it. */
  async *events(path: string, signal: AbortSignal): AsyncGenerator<string> {
    yield* events(await this.send(path, { signal }));
  }

  /** The metrics of the given names (the sum over labels); missing ones are absent. */
  async metrics(names: readonly string[]): Promise<Record<string, number>> {
    const text = await (await this.send('/metrics')).text();
    const values: Record<string, number> = {};
    for (const [, name, value] of text.matchAll(/^([a-zA-Z_:][\w:]*)(?:\{[^}]*\})? (\S+)/gm)) {
      if (names.includes(name!)) values[name!] = (values[name!] ?? 0) + Number(value);
    }
    return values;
  }

  /** Streams an answer; `signal` ends it, which also ends its generation. */
  async chat(request: ChatRequest, write: (text: string) => void, signal: AbortSignal): Promise<ChatEnd> {
    const body = JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } });
    const response = await this.send('/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      signal,
    });
    const end: ChatEnd = { finish: null };
    for await (const data of events(response)) {
      if (data === '[DONE]') break;
      const chunk = JSON.parse(data) as {
        choices?: Array<{ delta?: { content?: string | null }; finish_reason?: string | null }>;
        usage?: ChatEnd['usage'] | null;
        error?: { message: string };
      };
      if (chunk.error) throw new CliError(chunk.error.message);
      const choice = chunk.choices?.[0];
      if (choice?.delta?.content) write(choice.delta.content);
      if (choice?.finish_reason) end.finish = choice.finish_reason;
      if (chunk.usage) end.usage = chunk.usage;
    }
    return end;
  }

  /** What a route answers to JSON, or to nothing. */
  async json<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const sent = { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    const response = await this.send(path, { method, ...(body === undefined ? {} : sent) });
    return (await response.json()) as Answer;
  }

  /** Resolves with an answer that is no refusal; a refusal is a CliError with the server's sentence. */
  async send(path: string, init: RequestInit & { duplex?: 'half' } = {}): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(this.url + path, {
        ...init,
        headers: { ...this.#headers, ...(init.headers as Record<string, string>) },
      });
    } catch (error) {
      if ((error as Error).name === 'AbortError') throw error;
      throw new CliError(
        `No server answers at ${this.url}. Start one with: colophon serve`,
        exitCodes.network,
        error,
      );
    }
    if (response.ok) return response;
    const text = await response.text();
    if (response.status === 401) {
      throw new CliError(
        `The server at ${this.url} wants an API key: set COLOPHON_API_KEY to it.`,
        exitCodes.failure,
      );
    }
    throw new CliError(
      messageOf(text) ?? `The server at ${this.url} answered HTTP ${response.status} for ${path}.`,
    );
  }
}

function messageOf(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { message?: string } }).error?.message;
  } catch {
    return undefined;
  }
}

/** The data of server-sent events. */
async function* events(response: Response): AsyncGenerator<string> {
  let pending = '';
  for await (const text of response.body!.pipeThrough(
    new TextDecoderStream(),
  ) as unknown as AsyncIterable<string>) {
    const parts = (pending + text).split(/\r?\n\r?\n/);
    pending = parts.pop()!;
    for (const part of parts) {
      const data = part
        .split(/\r?\n/)
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice(5).trimStart());
      if (data.length > 0) yield data.join('\n');
    }
  }
}
