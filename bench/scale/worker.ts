/**
 * The native backend in a process of its own: reads one load a line, answers with one line.
 *
 *     node worker.js '{"gguf": FILE, "folder": FOLDER, "names": [...], "registry": FOLDER, "threads": N, ...}'
 */
import { createInterface } from 'node:readline';
import type { GenerateRequest } from '../../gateway/contract/index.ts';
import { type NativeEngine, native } from '../../native/binding/index.ts';
import { AdapterFolders, inParts } from '../../plugins/backends/native/adapter_folders.ts';
import { AdapterMetrics } from '../../plugins/backends/native/adapter_metrics.ts';
import { NativeBackend } from '../../plugins/backends/native/backend.ts';
import { greedy } from '../lib/greedy.ts';
import { seeded } from '../lib/random.ts';
import { generatedTokens, hotSequences, promptTokens } from './cases.ts';
import { zipf } from './zipf.ts';

export interface WorkerConfig {
  gguf: string;
  /** Folder of the adapters, and the registry on disk. */
  folder: string;
  registry: string;
  /** Folder of the packed adapters. */
  packed: string;
  names: string[];
  threads: number;
  kvBytes: number;
  adapterBytes: number;
  vocabulary: number;
  /** So many of the first names are put into memory at the start. */
  warm: number;
}

export type Load =
  | { kind: 'zipf'; adapters: number; atOnce: number; seconds: number; seed: number }
  | { kind: 'hot'; seconds: number; seed: number; coldPerSecond: number }
  | { kind: 'cold'; count: number; seed: number };

export interface Measured {
  /** Tokens a second of all requests. */
  rate?: number;
  /** Milliseconds between two tokens of a sequence. */
  gaps?: number[];
  /** Milliseconds from asking for an adapter to its weights in memory; of these, what the engine's load took. */
  residentAfter?: number[];
  loadTook?: number[];
  loads: number;
  evictions: number;
  /** Largest resident set of the process so far, and what its budgets add up to. */
  rssBytes: number;
  budgetBytes: number;
  /** The process before it knew an adapter, and the budgets of what comes then: KV pages and adapters. */
  startAndBudgetBytes: number;
}

/** Handles by name, as the registry registers them. */
function watched(engine: NativeEngine, handles: Map<string, number>): NativeEngine {
  return new Proxy(engine, {
    get(target, property) {
      if (property === 'registerAdapter') {
        return async (spec: Parameters<NativeEngine['registerAdapter']>[0]) => {
          const handle = await target.registerAdapter(spec);
          handles.set(spec.name, handle);
          return handle;
        };
      }
      const value = Reflect.get(target, property, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

class Bench {
  readonly #config: WorkerConfig;
  readonly #engine: NativeEngine;
  readonly #handles = new Map<string, number>();
  readonly #backend: NativeBackend;
  readonly #start = process.memoryUsage.rss();
  #rss = 0;
  #cold = 0;

  constructor(engine: NativeEngine, config: WorkerConfig) {
    this.#config = config;
    this.#engine = watched(engine, this.#handles);
    this.#backend = new NativeBackend({
      engine: this.#engine,
      folders: new AdapterFolders([config.folder]),
      hashFile: (path) => native().hashFile(path),
      onlyFolders: false,
      registryFolder: config.registry,
      log: { warn: (fields, message) => process.stderr.write(`${message} ${JSON.stringify(fields)}\n`) },
      model: 'base',
      root: config.gguf,
      created: 0,
      text: {
        tokenizer: {},
        tokenizerConfig: {},
        chatTemplate: undefined,
        endTokenIds: [],
        vocabularySize: config.vocabulary,
      },
      maxQueued: 4096,
      adapterMetrics: new AdapterMetrics(engine, 100),
    });
    setInterval(() => {
      this.#rss = Math.max(this.#rss, process.memoryUsage.rss());
    }, 100).unref();
  }

  /** Registers every name and puts the first ones into memory, the most asked for last. */
  async prepare(): Promise<void> {
    await inParts(this.#config.names, (name) => this.#backend.model(name));
    for (let k = this.#config.warm - 1; k >= 0; k--) await this.#load(this.#config.names[k]!);
  }

  async run(load: Load): Promise<Measured> {
    const before = this.#engine.stats();
    const { adapterBytes, kvBytes } = this.#config;
    const part =
      load.kind === 'zipf'
        ? await this.#zipf(load)
        : load.kind === 'hot'
          ? await this.#hot(load)
          : await this.#coldLoads(load);
    const after = this.#engine.stats();
    return {
      ...part,
      loads: after.adapterLoads - before.adapterLoads,
      evictions: after.adapterEvictions - before.adapterEvictions,
      rssBytes: Math.max(this.#rss, process.memoryUsage.rss()),
      budgetBytes: this.#engine.info().weightBytes + kvBytes + adapterBytes,
      startAndBudgetBytes: this.#start + kvBytes + adapterBytes,
    };
  }

  async #zipf({ adapters, atOnce, seconds, seed }: Load & { kind: 'zipf' }): Promise<{ rate: number }> {
    const random = seeded(seed);
    const draw = zipf(adapters, random);
    const stop = new AbortController();
    const begin = performance.now() + 250 * seconds;
    const end = begin + 1000 * seconds;
    let tokens = 0;
    const clients = Array.from({ length: atOnce }, async () => {
      while (!stop.signal.aborted) {
        const request = this.#request(
          this.#config.names[draw()]!,
          this.#prompt(promptTokens, random),
          generatedTokens,
        );
        await this.#tokens(request, stop.signal, (count, now) => {
          if (now > begin && now <= end) tokens += count;
        });
      }
    });
    setTimeout(() => stop.abort(), end - performance.now());
    await Promise.all(clients);
    return { rate: tokens / seconds };
  }

  /** The gaps between tokens of sequences on hot adapters, with so many cold loads beside them. */
  async #hot({ seconds, seed, coldPerSecond }: Load & { kind: 'hot' }): Promise<{ gaps: number[] }> {
    const gaps: number[] = [];
    const begin = performance.now() + 250 * seconds;
    const { running, stop } = this.#hotSequences(seed, (gap, now) => {
      if (now > begin) gaps.push(gap);
    });
    const loads: Promise<void>[] = [];
    const timer =
      coldPerSecond > 0 &&
      setInterval(
        () => loads.push(this.#tokens(this.#request(this.#nextCold(), [100], 1), stop.signal)),
        1000 / coldPerSecond,
      );
    await new Promise((resolve) => setTimeout(resolve, begin + 1000 * seconds - performance.now()));
    if (timer) clearInterval(timer);
    stop.abort();
    await Promise.all([running, ...loads]);
    return { gaps };
  }

  /** One after the other, beside the hot sequences. */
  async #coldLoads({ count, seed }: Load & { kind: 'cold' }) {
    const { running, stop } = this.#hotSequences(seed, () => {});
    const residentAfter: number[] = [];
    const loadTook: number[] = [];
    for (let i = 0; i < count; i++) {
      const name = this.#nextCold();
      const begin = performance.now();
      const seconds = await this.#load(name);
      residentAfter.push(performance.now() - begin);
      loadTook.push(1000 * seconds);
    }
    stop.abort();
    await running;
    return { residentAfter, loadTook };
  }

  #hotSequences(seed: number, onGap: (gap: number, now: number) => void) {
    const stop = new AbortController();
    const random = seeded(seed);
    const running = Promise.all(
      this.#config.names.slice(0, hotSequences).map(async (name) => {
        while (!stop.signal.aborted) {
          let last: number | undefined;
          await this.#tokens(
            this.#request(name, this.#prompt(promptTokens, random), 128),
            stop.signal,
            (_count, now) => {
              if (last !== undefined) onGap(now - last, now);
              last = now;
            },
          );
        }
      }),
    );
    return { running, stop };
  }

  /** Adapters that no hot sequence is on, in turn: by the time that one comes again others have taken its room. */
  #nextCold(): string {
    const { names } = this.#config;
    const cold = names.length - hotSequences;
    return names[hotSequences + (this.#cold++ % cold)]!;
  }

  /** Seconds that the engine's load took. */
  async #load(name: string): Promise<number> {
    if (!(await this.#backend.model(name))) throw new Error(`There is no adapter ${name}.`);
    const handle = this.#handles.get(name)!;
    const before = this.#engine.adapterState(handle).loadSeconds;
    await this.#engine.loadAdapter(handle);
    return this.#engine.adapterState(handle).loadSeconds - before;
  }

  async #tokens(
    request: GenerateRequest,
    signal: AbortSignal,
    onTokens: (count: number, now: number) => void = () => {},
  ): Promise<void> {
    for await (const parts of this.#backend.generate(request, signal)) {
      const count = parts.filter((part) => part.type === 'token').length;
      if (count > 0) onTokens(count, performance.now());
    }
  }

  #prompt(tokens: number, random: () => number): number[] {
    const lowest = 100;
    return Array.from(
      { length: tokens },
      () => lowest + Math.floor(random() * (this.#config.vocabulary - lowest)),
    );
  }

  #request(model: string, prompt: number[], maxTokens: number): GenerateRequest {
    return {
      model,
      prompt,
      maxTokens,
      minTokens: 0,
      ignoreEnd: true,
      stopTokenIds: [],
      sampling: greedy,
    };
  }
}

async function main(): Promise<void> {
  const answer = (message: object) => process.stdout.write(`${JSON.stringify(message)}\n`);
  try {
    const config = JSON.parse(process.argv[2]!) as WorkerConfig;
    const engine = await native().createEngine({
      model: { format: 'gguf', path: config.gguf },
      threads: config.threads,
      kvBytes: config.kvBytes,
      adapterBytes: config.adapterBytes,
      packedDir: config.packed,
      // What is measured is decoding; guesses would shorten the loops that a small model falls into.
      speculate: false,
    });
    const bench = new Bench(engine, config);
    await bench.prepare();
    answer({ ready: true });
    for await (const line of createInterface({ input: process.stdin }))
      answer(await bench.run(JSON.parse(line)));
    await engine.close();
  } catch (error) {
    answer({ error: (error as Error).stack });
    process.exitCode = 1;
  }
}

await main();
