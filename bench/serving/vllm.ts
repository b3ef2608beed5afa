import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Child } from '../lib/child.ts';
import { freePort } from '../lib/free_port.ts';
import { cpuFlags } from '../lib/machine.ts';
import { untilHealthy } from '../lib/streams.ts';
import { adapterName } from '../lib/synthetic_adapters.ts';
import { adapterRank, atOnce, type Case } from './cases.ts';
import { type Contestant, EngineWorker, type Setting } from './contestant.ts';
import { carriesToken, completion } from './ours.ts';
import { benchFolder, type PeerModel, places, required, script } from './peers.ts';
import { ArrivalServer, type ServerKind } from './server.ts';

/** Longest sequence; vLLM shares its pages, so prefill-512 needs no more of them than the others. */
const contextTokens = 1024;

/** vLLM's CPU build: its offline engine for prefill and decode, its OpenAI server for arrivals. */
export class Vllm implements Contestant {
  readonly name = 'vllm';
  readonly #model: PeerModel;
  #folder = '';
  readonly #engines: Record<'base' | 'adapted', EngineWorker>;
  readonly #servers: Record<'base' | 'adapted', ArrivalServer>;

  constructor(setting: Setting, model: PeerModel, eager: boolean) {
    this.#model = model;
    // Compiled where that is its best (the base); with many adapters it is slower compiled than eager.
    const engine = (adapters: string[]) =>
      new EngineWorker(setting, () => {
        const config = {
          model: this.#folder,
          dtype: bestType(),
          eager: eager || adapters.length > 0,
          adapters,
          sequences: atOnce,
          context: contextTokens,
          threads: setting.threads,
        };
        return new Child(required(places.python), [script('vllm_worker.py'), JSON.stringify(config)], {
          env: environment(setting),
        });
      });
    const server = (adapters: string[]) =>
      new ArrivalServer(setting, this.#serverKind(setting, adapters, eager || adapters.length > 0));
    this.#engines = { base: engine([]), adapted: engine(setting.adapters) };
    this.#servers = { base: server([]), adapted: server(setting.adapters) };
  }

  async measure(each: Case, round: number): Promise<number> {
    required(places.python);
    this.#folder = await this.#model.huggingFace();
    const which = each.kind === 'prefill' || each.adapters === 'none' ? 'base' : 'adapted';
    // Four of these are 16 GB: engines and servers are not in memory together.
    const isEngineCase = each.kind === 'prefill' || each.kind === 'decode';
    for (const part of Object.values(isEngineCase ? this.#servers : this.#engines)) part.end();
    return isEngineCase
      ? this.#engines[which].measure(each, round)
      : this.#servers[which].measure(each, round);
  }

  end(): void {
    for (const part of [...Object.values(this.#engines), ...Object.values(this.#servers)]) part.end();
  }

  #serverKind(setting: Setting, adapters: string[], eager: boolean): ServerKind {
    return {
      start: async () => {
        const port = await freePort();
        const modules = adapters.map((folder, index) => `${adapterName(index)}=${folder}`);
        const count = String(adapters.length);
        const lora = ['--enable-lora', '--max-lora-rank', String(adapterRank), '--max-loras', count];
        const child = new Child(
          required(places.python),
          [
            ...['-m', 'vllm.entrypoints.openai.api_server', '--model', this.#folder],
            ...['--served-model-name', 'base', '--host', '127.0.0.1', '--port', String(port)],
            ...['--dtype', bestType(), '--max-model-len', String(contextTokens)],
            ...[
              '--max-num-seqs',
              String(atOnce),
              '--no-enable-prefix-caching',
              '--disable-uvicorn-access-log',
            ],
            ...(eager ? ['--enforce-eager'] : []),
            ...(adapters.length > 0 ? [...lora, '--max-cpu-loras', count, '--lora-modules', ...modules] : []),
          ],
          { narrates: true, env: environment(setting) },
        );
        const url = `http://127.0.0.1:${port}`;
        await untilHealthy(`${url}/health`, setting.limit, () => child.assertRunning());
        return { child, url };
      },
      request: (url, prompt, adapter) =>
        completion(url, adapter === null ? 'base' : adapterName(adapter), prompt),
      carriesToken,
    };
  }
}

/** bfloat16 where its kernels have the instructions; without AVX-512 it falls back to a far slower path. */
function bestType(): string {
  return cpuFlags().includes('avx512f') ? 'bfloat16' : 'float32';
}

/** What its installation guide asks for, as far as it is there. */
function environment(setting: Setting): NodeJS.ProcessEnv {
  return {
    VLLM_CPU_OMP_THREADS_BIND: 'nobind',
    VLLM_CPU_KVCACHE_SPACE: '1',
    VLLM_CACHE_ROOT: join(benchFolder, 'vllm-cache'),
    VLLM_NO_USAGE_STATS: '1',
    VLLM_LOGGING_LEVEL: 'WARNING',
    HF_HUB_OFFLINE: '1',
    OMP_NUM_THREADS: String(setting.threads),
    LD_PRELOAD: preloaded().join(':'),
  };
}

function preloaded(): string[] {
  const libraries = ['/usr/lib/x86_64-linux-gnu', '/usr/lib64', join(dirname(dirname(places.python)), 'lib')];
  return ['libtcmalloc_minimal.so', 'libiomp5.so'].flatMap((name) => {
    for (const folder of libraries) {
      const file = existsSync(folder) && readdirSync(folder).find((each) => each.startsWith(name));
      if (file) return [join(folder, file)];
    }
    return [];
  });
}
