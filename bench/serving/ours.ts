import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from '../lib/child.ts';
import { startColophon } from '../lib/colophon_server.ts';
import { adapterName, type BaseShape } from '../lib/synthetic_adapters.ts';
import { adapterRank, arrivalTokens, atOnce, type Case, sequenceTokens } from './cases.ts';
import { type Contestant, EngineWorker, type Setting } from './contestant.ts';
import type { OursWorkerConfig } from './ours_worker.ts';
import { ArrivalServer } from './server.ts';

/** Ours: the engine through its binding, and `colophon serve` for what users see over HTTP. */
export class Ours implements Contestant {
  readonly name = 'ours';
  readonly #base: EngineWorker;
  readonly #adapted: EngineWorker;
  readonly #server: ArrivalServer;

  constructor(setting: Setting, shape: BaseShape) {
    const kvBytes = roomForPages(shape);
    const adapterBytes = 2 ** 30;
    const worker = (adapters: string[]) => () => {
      const config: OursWorkerConfig = {
        gguf: setting.gguf,
        adapters: adapters.map((folder) => ({ folder, rank: adapterRank })),
        layers: shape.layers,
        threads: setting.threads,
        kvBytes,
        adapterBytes,
      };
      const file = join(dirname(fileURLToPath(import.meta.url)), 'ours_worker.js');
      return new Child(process.execPath, [file, JSON.stringify(config)]);
    };
    this.#base = new EngineWorker(setting, worker([]));
    this.#adapted = new EngineWorker(setting, worker(setting.adapters));
    this.#server = new ArrivalServer(setting, {
      start: (asUser) => {
        const adapterFolder = dirname(setting.adapters[0]!);
        return startColophon({ ...setting, adapterFolder, kvBytes, adapterBytes }, asUser ?? false);
      },
      request: (url, prompt, adapter) =>
        completion(url, adapter === null ? 'base' : adapterName(adapter), prompt),
      carriesToken,
    });
  }

  measure(each: Case, round: number): Promise<number> {
    if (each.kind !== 'prefill' && each.kind !== 'decode') return this.#server.measure(each, round);
    const engine = each.kind === 'decode' && each.adapters !== 'none' ? this.#adapted : this.#base;
    return engine.measure(each, round);
  }

  end(): void {
    for (const part of [this.#base, this.#adapted, this.#server]) part.end();
  }
}

/** Pages for every sequence's room at float32, the widest that they could be. */
function roomForPages(shape: BaseShape): number {
  return atOnce * sequenceTokens * shape.layers * shape.kvHeads * shape.headDim * 2 * 4;
}

/** A streamed completion of exactly so many tokens, as vLLM's server and ours take it. */
export function completion(url: string, model: string, prompt: number[]): { url: string; body: object } {
  const body = {
    model,
    prompt,
    max_tokens: arrivalTokens,
    temperature: 0,
    ignore_eos: true,
    stream: true,
    return_token_ids: true,
  };
  return { url: `${url}/v1/completions`, body };
}

/** Text may wait for the rest of a character; the ids do not. */
export function carriesToken(event: unknown): boolean {
  const choice = (event as { choices?: Array<{ token_ids?: number[] | null }> }).choices?.[0];
  return (choice?.token_ids?.length ?? 0) > 0;
}
