import { join } from 'node:path';
import { Child, withLimit } from '../lib/child.ts';
import { freePort } from '../lib/free_port.ts';
import { postJson, untilHealthy } from '../lib/streams.ts';
import { adapterOf, arrivalTokens, atOnce, type Case, promptTokens, sequenceTokens } from './cases.ts';
import { type Contestant, promptsOf, type Setting } from './contestant.ts';
import { type PeerModel, places, required } from './peers.ts';
import { ArrivalServer, type RunningServer, type ServerKind } from './server.ts';

/**
 * llama.cpp on one file: its own engine benches for the base, its server for adapters (which the benches do not mix) and for
 * arrivals.
 */
export class Llama implements Contestant {
  readonly name: string;
  readonly #setting: Setting;
  readonly #file: () => Promise<string>;
  readonly #base: ArrivalServer;
  readonly #adapted: ArrivalServer;

  constructor(name: string, setting: Setting, model: PeerModel, file: () => Promise<string>) {
    this.name = name;
    this.#setting = setting;
    this.#file = file;
    const kind = (withAdapters: boolean): ServerKind => ({
      start: async () =>
        startServer(setting, await file(), withAdapters ? await model.ggufAdapters(setting.adapters) : []),
      request: (url, prompt, adapter) => ({
        url: `${url}/completion`,
        body: { ...completion(prompt, adapter, arrivalTokens), stream: true, return_tokens: true },
      }),
      carriesToken: (event) => ((event as { tokens?: number[] }).tokens?.length ?? 0) > 0,
    });
    this.#base = new ArrivalServer(setting, kind(false));
    this.#adapted = new ArrivalServer(setting, kind(true));
  }

  measure(each: Case, round: number): Promise<number> {
    switch (each.kind) {
      case 'prefill':
        return this.#prefill(each.promptTokens);
      case 'decode':
        return each.adapters === 'none'
          ? this.#batchedBench(each.sequences)
          : this.#adapted.use((server) => this.#decodeAdapted(server, each, round));
      default:
        return (each.adapters === 'none' ? this.#base : this.#adapted).measure(each, round);
    }
  }

  end(): void {
    for (const part of [this.#base, this.#adapted]) part.end();
  }

  async #prefill(tokens: number): Promise<number> {
    const row = await this.#bench('llama-bench', [
      ...['-p', String(tokens), '-n', '0', '-r', '1', '-o', 'jsonl'],
    ]);
    return row.avg_ts!;
  }

  /**
   * Sequences of different adapters are run one after another, so there is no time in which all of them decode; what
   * decoding takes is the time of the whole load less the time of the same load with one token each.
   */
  async #decodeAdapted(
    { url }: RunningServer,
    each: Case & { kind: 'decode' },
    round: number,
  ): Promise<number> {
    const adapters = adapterOf(each.adapters, each.sequences);
    const seconds = async (tokens: number, purpose: string) => {
      const prompts = promptsOf(this.#setting, each.sequences, promptTokens, purpose, round);
      const start = performance.now();
      const answers = prompts.map((prompt, index) =>
        postJson(`${url}/completion`, completion(prompt, adapters[index]!, tokens)),
      );
      await withLimit(Promise.all(answers), this.#setting.limit, `${each.id} through llama-server`);
      return (performance.now() - start) / 1000;
    };
    if (round === 0) await seconds(1, `warm-${each.id}`);
    const first = await seconds(1, each.id);
    const whole = await seconds(1 + this.#setting.generate, each.id);
    if (!(whole > first))
      throw new Error('The longer of two loads was the faster one; the machine is too busy.');
    return (each.sequences * this.#setting.generate) / (whole - first);
  }

  async #batchedBench(sequences: number): Promise<number> {
    const row = await this.#bench('llama-batched-bench', [
      ...['-npp', String(promptTokens), '-ntg', String(this.#setting.generate), '-npl', String(sequences)],
      ...['-c', String(sequences * sequenceTokens), '-tb', String(this.#setting.threads)],
      ...['--output-format', 'jsonl'],
    ]);
    return row.speed_tg!;
  }

  async #bench(program: string, args: string[]): Promise<Record<string, number>> {
    const file = await this.#file();
    const threads = String(this.#setting.threads);
    const child = new Child(required(join(places.llamaBin, program)), ['-m', file, '-t', threads, ...args]);
    try {
      const output = await child.output(this.#setting.limit);
      const row = output.split('\n').find((line) => line.startsWith('{'));
      if (!row) throw new Error(`${program} printed no result. ${child.lastWords()}`);
      return JSON.parse(row);
    } finally {
      child.end();
    }
  }
}

function completion(prompt: number[], adapter: number | null, tokens: number): object {
  return {
    prompt,
    n_predict: tokens,
    temperature: 0,
    ignore_eos: true,
    cache_prompt: false,
    ...(adapter === null ? {} : { lora: [{ id: adapter, scale: 1 }] }),
  };
}

async function startServer(setting: Setting, file: string, adapters: string[]) {
  const port = await freePort();
  const threads = String(setting.threads);
  const child = new Child(
    required(join(places.llamaBin, 'llama-server')),
    [
      ...['-m', file, '--host', '127.0.0.1', '--port', String(port), '-t', threads, '-tb', threads],
      ...['-np', String(atOnce), '-c', String(atOnce * sequenceTokens), '--no-ui', '--cache-ram', '0'],
      ...(adapters.length > 0 ? ['--lora', adapters.join(','), '--lora-init-without-apply'] : []),
    ],
    { narrates: true },
  );
  const url = `http://127.0.0.1:${port}`;
  await untilHealthy(`${url}/health`, setting.limit, () => child.assertRunning());
  return { child, url };
}
