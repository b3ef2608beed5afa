import { type Child, withLimit } from '../lib/child.ts';
import { percentile } from '../lib/statistics.ts';
import { firstTokenTimes } from '../lib/streams.ts';
import { type AdapterUse, adapterOf, type Case, promptTokens, warmUpTokens } from './cases.ts';
import { promptsOf, type Setting } from './contestant.ts';

export interface RunningServer {
  child: Child;
  url: string;
}

/** How a server is started and asked for a stream of tokens. */
export interface ServerKind {
  /** Resolves when it is ready. `asUser`: by the command that a user types. */
  start(asUser?: boolean): Promise<RunningServer>;
  request(url: string, prompt: number[], adapter: number | null): { url: string; body: object };
  carriesToken(event: unknown): boolean;
}

/** A server under many arrivals at once: time to the first token, and memory. */
export class ArrivalServer {
  readonly #kind: ServerKind;
  readonly #setting: Setting;
  #running: RunningServer | undefined;
  readonly #warm = new Set<AdapterUse>();

  constructor(setting: Setting, kind: ServerKind) {
    this.#setting = setting;
    this.#kind = kind;
  }

  measure(each: Case & { kind: 'ttft' | 'memory' | 'startup' }, round: number): Promise<number> {
    if (each.kind === 'startup') return this.#startUp(each.id, round);
    return this.use(async ({ child, url }) => {
      if (!this.#warm.has(each.adapters)) {
        await this.#arrive(url, each, warmUpTokens, `warm-${each.adapters}`, 0);
        this.#warm.add(each.adapters);
      }
      if (each.kind === 'memory') return this.#peak(child, url, each, round);
      return percentile(await this.#arrive(url, each, promptTokens, each.id, round), 0.95);
    });
  }

  /** Has the server running during the work, and frozen before and after. */
  async use<T>(work: (server: RunningServer) => Promise<T>): Promise<T> {
    this.#running?.child.thaw();
    this.#running ??= await this.#kind.start();
    const server = this.#running;
    try {
      return await work(server);
    } finally {
      server.child.freeze();
    }
  }

  end(): void {
    this.#running?.child.end();
    this.#running = undefined;
    this.#warm.clear();
  }

  /** Milliseconds from the start of a process of its own to the first token that a client has. */
  async #startUp(id: string, round: number): Promise<number> {
    const prompt = promptsOf(this.#setting, 1, warmUpTokens, id, round)[0]!;
    const start = performance.now();
    const { child, url } = await this.#kind.start(true);
    try {
      const ready = performance.now() - start;
      const request = this.#kind.request(url, prompt, null);
      const [first] = await firstTokenTimes([request], (event) => this.#kind.carriesToken(event));
      return ready + first!;
    } finally {
      child.end();
      await child.exited;
    }
  }

  /** Most megabytes while the arrivals are served. */
  async #peak(
    child: Child,
    url: string,
    each: Case & { kind: 'ttft' | 'memory' },
    round: number,
  ): Promise<number> {
    let peak = 0;
    const sampler = setInterval(() => {
      peak = Math.max(peak, child.memory());
    }, 100);
    try {
      await this.#arrive(url, each, promptTokens, each.id, round);
    } finally {
      clearInterval(sampler);
    }
    return Math.max(peak, child.memory());
  }

  #arrive(
    url: string,
    each: Case & { kind: 'ttft' | 'memory' },
    tokens: number,
    purpose: string,
    round: number,
  ): Promise<number[]> {
    const adapters = adapterOf(each.adapters, each.arrivals);
    const prompts = promptsOf(this.#setting, each.arrivals, tokens, purpose, round);
    const requests = prompts.map((prompt, index) => this.#kind.request(url, prompt, adapters[index]!));
    return withLimit(
      firstTokenTimes(requests, (event) => this.#kind.carriesToken(event)),
      this.#setting.limit,
      `Serving ${each.arrivals} arrivals`,
    );
  }
}
