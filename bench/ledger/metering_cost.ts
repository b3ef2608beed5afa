/**
 * Tokens a second of 64 streams over HTTP, metered and not. Two servers have the same load, and one of them is stopped (SIGSTOP) at any
 * moment, in turns so short that what else the machine does is the same for both. Processes of one program differ by a percent, as their
 * memory lies: so there are many pairs of servers, and their differences say how sure the mean is.
 */
import type { Child } from '../lib/child.ts';
import { startColophon } from '../lib/colophon_server.ts';
import { say } from '../lib/main.ts';
import { randomPrompts } from '../lib/random.ts';
import { type CaseResult, caseResult } from '../lib/report.ts';

const streams = 64;
const tokens = 64;
const promptTokens = 16;
const turnMs = 500;
/** Costs of so many pairs of turns together are one observation: a turn is not a whole number of steps. */
const pairsTogether = 20;
/** Of a pair of servers. */
const observations = 5;
/** The first observations, until code is compiled and the streams have come apart. */
const warmUp = 2;

interface Turns {
  load: Load;
  child: Child;
  /** Of each observation. */
  rates: number[];
}

interface Setting {
  gguf: string;
  threads: number;
}

export async function meteringCost({ pairs, ...setting }: Setting & { pairs: number }): Promise<CaseResult> {
  const rates: Array<{ metered: number; unmetered: number }> = [];
  while (rates.length < pairs) rates.push(await ratesOfPair(setting, rates.length % 2 === 0));
  const costs = rates.map(({ metered, unmetered }) => 1 - metered / unmetered);
  const { mean, error } = meanOf(costs);
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
  say(
    `Metering costs ${percent(mean)} of the throughput of ${streams} streams, ${percent(mean - 2 * error)} to ${percent(mean + 2 * error)} ` +
      `by how far ${pairs} pairs of servers differ: ${costs.map(percent).join(', ')}.`,
  );
  return caseResult('metering-cost-64', 'tok/s', meanOf(rates.map(({ metered }) => metered)).mean, {
    unmetered: meanOf(rates.map(({ unmetered }) => unmetered)).mean,
  });
}

/** Tokens a second of one pair of servers; which of them starts first decides how their memory lies, too. */
async function ratesOfPair(
  setting: Setting,
  meteredFirst: boolean,
): Promise<{ metered: number; unmetered: number }> {
  const start = async (metering: boolean): Promise<Turns> => {
    const { url, child } = await startColophon(
      {
        ...setting,
        adapterFolder: '',
        kvBytes: 2 ** 28,
        adapterBytes: 2 ** 24,
        limit: 180,
        config: `  metering:\n    enabled: ${metering}\n`,
      },
      false,
    );
    return { child, load: new Load(url), rates: [] };
  };
  const both = [await start(meteredFirst), await start(!meteredFirst)];
  try {
    for (const { child } of both) child.stop();
    for (let at = 0; at < warmUp + observations; at++) {
      const seen = both.map(() => ({ tokens: 0, ms: 0 }));
      for (let turn = 0; turn < 2 * pairsTogether; turn++) {
        // First, second, second, first.
        const now = turn % 4 === 0 || turn % 4 === 3 ? 0 : 1;
        const { load, child } = both[now]!;
        const before = load.received;
        const begin = performance.now();
        child.goOn();
        await new Promise((resolve) => setTimeout(resolve, turnMs));
        child.stop();
        seen[now]!.ms += performance.now() - begin;
        // What it had sent is read before the other has its turn.
        await new Promise(setImmediate);
        seen[now]!.tokens += load.received - before;
        load.check();
      }
      if (at >= warmUp)
        for (const [i, { tokens, ms }] of seen.entries()) both[i]!.rates.push((tokens / ms) * 1000);
    }
  } finally {
    for (const { load, child } of both) {
      load.end();
      child.end();
    }
  }
  const [first, second] = both.map(({ rates }) => meanOf(rates).mean) as [number, number];
  return meteredFirst ? { metered: first, unmetered: second } : { metered: second, unmetered: first };
}

/** The mean and its standard error. */
function meanOf(values: number[]): { mean: number; error: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, error: Math.sqrt(squares / Math.max(1, values.length - 1) / values.length) };
}

/** Streams of a server, each followed by the next. */
class Load {
  /** Tokens that came. */
  received = 0;
  readonly #url: string;
  readonly #stop = new AbortController();
  #failure: Error | undefined;

  constructor(url: string) {
    this.#url = url;
    const prompts = randomPrompts({ count: streams, tokens: promptTokens, vocabulary: 49_000, seed: 1 });
    for (const [at, prompt] of prompts.entries())
      this.#streams(prompt, at).catch((error: Error) => {
        if (!this.#stop.signal.aborted) this.#failure = error;
      });
  }

  check(): void {
    if (this.#failure) throw this.#failure;
  }

  end(): void {
    this.#stop.abort();
  }

  /** The first ones have all lengths, so that in each step about one answer ends. */
  async #streams(prompt: number[], at: number): Promise<void> {
    for (let length = 1 + (at % tokens); ; length = tokens) await this.#stream(prompt, length);
  }

  async #stream(prompt: number[], length: number): Promise<void> {
    const response = await fetch(`${this.#url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'base',
        prompt,
        max_tokens: length,
        ignore_eos: true,
        temperature: 0,
        stream: true,
        return_token_ids: true,
      }),
      signal: this.#stop.signal,
    });
    if (!response.ok) throw new Error(`The server answered ${response.status}: ${await response.text()}`);
    let rest = '';
    for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
      const events = (rest + part).split('\n\n');
      rest = events.pop()!;
      for (const event of events) {
        if (event === 'data: [DONE]') continue;
        this.received += JSON.parse(event.slice('data: '.length)).choices[0]?.token_ids?.length ?? 0;
      }
    }
  }
}
