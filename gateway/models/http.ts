import { existsSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { rootCertificates } from 'node:tls';
import { type Dispatcher, EnvHttpProxyAgent, ProxyAgent, request } from 'undici';
import { ModelError } from './errors.ts';

export interface HttpSettings {
  /** A PEM file trusted besides Node's own roots; a setting of pip's. */
  certificate?: string;
  /** Over the usual variables. */
  proxy?: string;
  timeoutSeconds?: number;
  /** First pause between two attempts; doubles, with some chance. */
  retryMs?: number;
  attempts?: number;
  signal?: AbortSignal;
}

export interface HttpResponse {
  status: number;
  headers: Record<string, string | undefined>;
  body: Dispatcher.ResponseData['body'];
  /** After redirects. */
  url: string;
}

const MAX_REDIRECTS = 8;

/** Answers worth another attempt. */
const passing = (status: number) => status === 408 || status === 425 || status === 429 || status >= 500;

/**
 * GET requests the way the ecosystem's own tools make them: through the proxies of the usual variables, trusting the
 * certificates that Node, pip and requests are told to trust, with credentials of a URL sent to its own host only.
 */
export class HttpClient {
  readonly #settings: HttpSettings;
  readonly #dispatcher: Dispatcher;

  constructor(settings: HttpSettings = {}, env: NodeJS.ProcessEnv = process.env) {
    this.#settings = settings;
    const ca = certificates(settings.certificate, env);
    const timeout = (settings.timeoutSeconds ?? 60) * 1000;
    const options = {
      connect: { ...(ca ? { ca } : {}), timeout: Math.min(timeout, 30_000) },
      ...(ca ? { requestTls: { ca }, proxyTls: { ca } } : {}),
      headersTimeout: timeout,
      bodyTimeout: timeout,
    };
    if (settings.proxy) {
      const uri = settings.proxy.includes('://') ? settings.proxy : `http://${settings.proxy}`;
      this.#dispatcher = new ProxyAgent({ ...options, uri });
    } else {
      const all = env.ALL_PROXY ?? env.all_proxy;
      const http = env.http_proxy ?? env.HTTP_PROXY ?? all;
      const https = env.https_proxy ?? env.HTTPS_PROXY ?? all;
      this.#dispatcher = new EnvHttpProxyAgent({
        ...options,
        ...(http && /^https?:/.test(http) ? { httpProxy: http } : {}),
        ...(https && /^https?:/.test(https) ? { httpsProxy: https } : {}),
        noProxy: env.no_proxy ?? env.NO_PROXY ?? '',
      });
    }
  }

  close(): Promise<void> {
    return this.#dispatcher.destroy();
  }

  get attempts(): number {
    return this.#settings.attempts ?? 5;
  }

  /** Waits before attempt `attempt` (from 1), or as long as the server asked for. */
  async pause(attempt: number, response?: HttpResponse): Promise<void> {
    const asked = Number(response?.headers['retry-after']);
    const backoff = (this.#settings.retryMs ?? 500) * 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
    const wait = Number.isFinite(asked) ? Math.min(asked * 1000, 60_000) : Math.min(backoff, 30_000);
    await sleep(wait, undefined, { signal: this.#settings.signal });
  }

  /** One GET, redirects followed, no second attempt. Fails with a sentence when no answer comes. */
  async get(url: string, headers: Record<string, string> = {}): Promise<HttpResponse> {
    const first = new URL(url);
    let target = first;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const sent: Record<string, string> = { 'user-agent': 'colophon', ...headers };
      if (target.host !== first.host) delete sent.authorization;
      if (target.username) {
        const login = `${decodeURIComponent(target.username)}:${decodeURIComponent(target.password)}`;
        sent.authorization = `Basic ${Buffer.from(login).toString('base64')}`;
      }
      const bare = new URL(target);
      bare.username = '';
      bare.password = '';
      let answer: Dispatcher.ResponseData;
      try {
        answer = await request(bare, {
          headers: sent,
          dispatcher: this.#dispatcher,
          signal: this.#settings.signal,
        });
      } catch (error) {
        throw networkError(error, bare, this.#settings.signal);
      }
      const location = answer.headers.location;
      if ([301, 302, 303, 307, 308].includes(answer.statusCode) && typeof location === 'string') {
        await answer.body.dump();
        const next = new URL(location, target);
        if (target.protocol === 'https:' && next.protocol !== 'https:') {
          throw new ModelError(
            'network',
            `${bare.host} redirects to an unencrypted address, which is refused.`,
          );
        }
        if (next.host === target.host && !next.username) {
          next.username = target.username;
          next.password = target.password;
        }
        target = next;
        continue;
      }
      const flat: Record<string, string | undefined> = {};
      for (const [name, value] of Object.entries(answer.headers))
        flat[name] = Array.isArray(value) ? value[0] : value;
      return { status: answer.statusCode, headers: flat, body: answer.body, url: bare.href };
    }
    throw new ModelError('network', `${first.host} redirects in a circle. Try again later.`);
  }

  /** A small document, with attempts. `undefined`: there is none (404, 410). */
  async text(
    url: string,
    headers: Record<string, string> = {},
  ): Promise<{ type: string; text: string; url: string } | undefined> {
    for (let attempt = 1; ; attempt++) {
      let response: HttpResponse | undefined;
      try {
        response = await this.get(url, headers);
        if (response.status === 200) {
          const text = await response.body.text();
          return { type: response.headers['content-type'] ?? '', text, url: response.url };
        }
        await response.body.dump();
        if (response.status === 404 || response.status === 410) return undefined;
        if (!passing(response.status) || attempt >= this.attempts) throw statusError(response);
      } catch (error) {
        const failure =
          error instanceof ModelError ? error : networkError(error, new URL(url), this.#settings.signal);
        if (failure.kind !== 'network' || failure instanceof HttpStatusError || attempt >= this.attempts)
          throw failure;
      }
      await this.pause(attempt, response);
    }
  }
}

/** The server answered, but not with what was asked for: another attempt gives the same. */
export class HttpStatusError extends ModelError {}

export function isPassing(status: number): boolean {
  return passing(status);
}

/** The sentence of a status that ends the attempts. */
export function statusError(response: { status: number; url: string }): HttpStatusError {
  const url = new URL(response.url);
  url.search = '';
  const { status } = response;
  if (status === 404 || status === 410) {
    return new HttpStatusError(
      'not_found',
      `There is nothing at ${url.href} (HTTP ${status}). Check the model source.`,
    );
  }
  if (status === 401 || status === 403) {
    return new HttpStatusError(
      'network',
      `${url.host} refused access to ${url.pathname} (HTTP ${status}). For Hugging Face set HF_TOKEN to a token that may read it; for a package index put the credentials in pip's settings.`,
    );
  }
  if (status === 407) {
    return new HttpStatusError(
      'network',
      'The proxy wants credentials (HTTP 407): write them into HTTPS_PROXY as http://user:password@host:port.',
    );
  }
  if (status === 429) {
    return new HttpStatusError(
      'network',
      `${url.host} says there were too many requests (HTTP 429). Wait a little and try again.`,
    );
  }
  return new HttpStatusError(
    'network',
    `${url.host} answered HTTP ${status} for ${url.pathname}. Try again later.`,
  );
}

/** The sentence of a connection that failed. */
export function networkError(error: unknown, url: URL, signal?: AbortSignal): ModelError {
  if (error instanceof ModelError) return error;
  if (signal?.aborted)
    return new ModelError('cancelled', 'The download was stopped; it goes on from there next time.', error);
  const { code, reason } = rootOf(error);
  const host = url.host;
  if (/CERT|SELF_SIGNED|ISSUER|UNABLE_TO_VERIFY/.test(code)) {
    return new ModelError(
      'network',
      `The certificate of ${host} is not trusted (${code}). If your network has its own authority, set NODE_EXTRA_CA_CERTS (or PIP_CERT) to its PEM file.`,
      error,
    );
  }
  const what: Record<string, string> = {
    ENOTFOUND: 'its name is not known here',
    EAI_AGAIN: 'names cannot be looked up now',
    ECONNREFUSED: 'the connection was refused',
    ECONNRESET: 'the connection was cut',
    UND_ERR_SOCKET: 'the connection was cut',
    ENETUNREACH: 'there is no network',
    EHOSTUNREACH: 'there is no way to it',
    ETIMEDOUT: 'it does not answer',
    UND_ERR_CONNECT_TIMEOUT: 'it does not answer',
    UND_ERR_HEADERS_TIMEOUT: 'it does not answer',
    UND_ERR_BODY_TIMEOUT: 'it stopped sending',
  };
  return new ModelError(
    'network',
    `${host} cannot be reached: ${what[code] ?? reason}. Check the network; behind a proxy set HTTPS_PROXY; without a network name a model file on this machine (COLOPHON_MODEL=/path/to/model.gguf).`,
    error,
  );
}

function rootOf(error: unknown): { code: string; reason: string } {
  let at = error as (Error & { code?: string; errors?: Error[] }) | undefined;
  let code = '';
  let reason = 'the connection failed';
  for (let depth = 0; at && depth < 5; depth++) {
    if (typeof at.code === 'string') code = at.code;
    if (at.message) reason = at.message;
    at = (at.errors?.[0] ?? at.cause) as typeof at;
  }
  return { code, reason };
}

/** Node's roots and what the ecosystem's variables add; undefined where Node's own handling is enough. */
function certificates(setting: string | undefined, env: NodeJS.ProcessEnv): string[] | undefined {
  const files = [setting, env.REQUESTS_CA_BUNDLE, env.CURL_CA_BUNDLE, env.SSL_CERT_FILE].filter(
    (file): file is string => !!file && statSync(file, { throwIfNoEntry: false })?.isFile() === true,
  );
  if (files.length === 0) return undefined;
  // Given a list, Node looks at nothing else: NODE_EXTRA_CA_CERTS has to be in it.
  if (env.NODE_EXTRA_CA_CERTS && existsSync(env.NODE_EXTRA_CA_CERTS)) files.push(env.NODE_EXTRA_CA_CERTS);
  const pems = [...new Set(files)].map((file) => readFileSync(file, 'utf8'));
  return [...rootCertificates, ...pems];
}
