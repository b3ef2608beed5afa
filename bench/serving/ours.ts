import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from '../lib/child.ts';
import { freePort } from '../lib/free_port.ts';
import { untilHealthy } from '../lib/streams.ts';
import { adapterName, type BaseShape } from '../lib/synthetic_adapters.ts';
import { adapterRank, arrivalTokens, atOnce, type Case, sequenceTokens } from './cases.ts';
import { type Contestant, EngineWorker, type Setting } from './contestant.ts';
import type { OursWorkerConfig } from './ours_worker.ts';
import { root } from './peers.ts';
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
      start: (asUser) => startServer(setting, kvBytes, adapterBytes, asUser ?? false),
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

async function startServer(setting: Setting, kvBytes: number, adapterBytes: number, asUser: boolean) {
  const home = mkdtempSync(join(tmpdir(), 'colophon-bench-'));
  writeFileSync(
    join(home, 'colophon.yaml'),
    'plugins:\n  native:\n    model_name: base\n    demo_adapters: false\n',
  );
  const port = await freePort();
  const adapterFolder = dirname(setting.adapters[0]!);
  const [command, ...args] = asUser
    ? ['npm', '--silent', 'start']
    : [process.execPath, join(root, 'scripts', 'colophon.mjs'), 'serve'];
  const child = new Child(command!, args, {
    cwd: root,
    narrates: true,
    env: {
      COLOPHON_HOME: home,
      COLOPHON_MODEL: setting.gguf,
      COLOPHON_ADAPTER_DIRS: adapterFolder,
      COLOPHON_HOST: '127.0.0.1',
      COLOPHON_PORT: String(port),
      COLOPHON_THREADS: String(setting.threads),
      COLOPHON_KV_BYTES: String(kvBytes),
      COLOPHON_ADAPTER_BYTES: String(adapterBytes),
      COLOPHON_API_KEY: undefined,
      COLOPHON_LOG_LEVEL: 'error',
    },
  });
  process.on('exit', () => rmSync(home, { recursive: true, force: true }));
  const url = `http://127.0.0.1:${port}`;
  await untilHealthy(`${url}/health`, setting.limit, () => child.assertRunning());
  return { child, url };
}
