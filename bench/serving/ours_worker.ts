/**
 * Our engine behind the line protocol of vllm_worker.py: reads one load a line, answers with the time of every token.
 *
 *     node ours_worker.js '{"gguf": FILE, "adapters": [{"folder": FOLDER, "rank": N}, ...], "threads": N, ...}'
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { FinishReason, type LinearName, type NativeEngine, native } from '../../native/binding/index.ts';
import { greedy } from '../lib/greedy.ts';
import type { Timeline } from '../lib/timeline.ts';
import type { Load } from './contestant.ts';

export interface OursWorkerConfig {
  gguf: string;
  /** On all linears, bfloat16. */
  adapters: Array<{ folder: string; rank: number }>;
  layers: number;
  threads: number;
  kvBytes: number;
  adapterBytes: number;
}

const linears: LinearName[] = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'];

async function open(config: OursWorkerConfig): Promise<{ engine: NativeEngine; handles: number[] }> {
  const engine = await native().createEngine({
    model: { format: 'gguf', path: config.gguf },
    threads: config.threads,
    kvBytes: config.kvBytes,
    adapterBytes: config.adapterBytes,
    // What is measured is decoding. A small model after a random prompt falls into loops, which guesses would shorten.
    speculate: false,
  });
  const handles: number[] = [];
  for (const { folder, rank } of config.adapters) {
    const tensorsPath = join(folder, 'adapter_model.safetensors');
    const contentHash = await native().hashFile(tensorsPath);
    const modules = Array.from({ length: config.layers }, (_, layer) =>
      linears.map((linear) => ({ layer, linear, rank, scaling: 2, dora: false })),
    ).flat();
    handles.push(await engine.registerAdapter({ name: folder, tensorsPath, contentHash, modules }));
  }
  return { engine, handles };
}

/** Runs one load at a time; the engine's listener is set once and writes into the load that runs. */
function runner(engine: NativeEngine, handles: number[]): (load: Load) => Promise<Timeline> {
  let current: { of: Map<number, number>; times: Timeline; left: number; start: number } | undefined;
  let settle: { resolve(times: Timeline): void; reject(error: Error): void } | undefined;
  engine.onStep((result) => {
    if (!current) return;
    const now = (performance.now() - current.start) / 1000;
    if (result.errors?.[0]) settle?.reject(new Error(result.errors[0].message));
    for (let i = 0; i < result.sequence.length; i++) {
      const index = current.of.get(result.sequence[i]!);
      if (index === undefined) continue;
      if (result.token[i]! >= 0) current.times[index]!.push(now);
      if (result.finish[i] !== FinishReason.none) current.left--;
    }
    if (current.left === 0) settle?.resolve(current.times);
  });
  return (load) =>
    new Promise((resolve, reject) => {
      settle = { resolve, reject };
      current = {
        of: new Map(),
        times: load.prompts.map(() => []),
        left: load.prompts.length,
        start: performance.now(),
      };
      for (const [index, prompt] of load.prompts.entries()) {
        const adapter = load.adapters[index];
        const sequence = engine.submit({
          prompt,
          ...(adapter === null || adapter === undefined ? {} : { adapter: handles[adapter]! }),
          maxTokens: load.generate,
          sampling: greedy,
          stopTokenIds: [],
        });
        current.of.set(sequence, index);
      }
    });
}

async function main(): Promise<void> {
  const answer = (message: object) => process.stdout.write(`${JSON.stringify(message)}\n`);
  try {
    const { engine, handles } = await open(JSON.parse(process.argv[2]!));
    const run = runner(engine, handles);
    answer({ ready: true });
    for await (const line of createInterface({ input: process.stdin })) {
      try {
        answer({ times: await run(JSON.parse(line)) });
      } catch (error) {
        answer({ error: (error as Error).message });
      }
    }
    await engine.close();
  } catch (error) {
    answer({ error: (error as Error).message });
    process.exitCode = 1;
  }
}

await main();
