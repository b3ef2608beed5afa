/** What the trace index costs: to build, to keep, and to follow while the engine generates. */
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FinishReason, type NativeEngine, native, type TrainingExample } from '../../native/binding/index.ts';
import { readAdapter } from '../../plugins/backends/native/peft.ts';
import { encodeItems, readExamples } from '../../plugins/training/data_file.ts';
import { greedy } from '../lib/greedy.ts';
import { say } from '../lib/main.ts';
import { type CaseResult, caseResult } from '../lib/report.ts';
import { median } from '../lib/statistics.ts';
import { wholeDatanet } from './data.ts';

/** Sequences at once, and what each generates. */
const atOnce = 64;
const generated = 64;
const vocabulary = 49_152;

/** Of the demo Datanet, read once for a work folder. */
export async function corpusOf(gguf: string, folder: string): Promise<Int32Array[]> {
  const file = join(folder, 'corpus.bin');
  if (!existsSync(file)) {
    say('Reading the demo Datanet as tokens ...');
    writeFileSync(file, encodeItems(await wholeDatanet(gguf)));
  }
  return (await readExamples(file)).map(({ tokens }) => tokens);
}

/** Builds the index of `adapter` (its content hash) and returns its seconds. */
async function build(corpus: Int32Array[], file: string, adapter: string): Promise<number> {
  const begin = performance.now();
  const builder = native().createTraceIndexBuilder(vocabulary);
  for (const tokens of corpus) builder.add(tokens);
  await builder.write(file, adapter);
  return (performance.now() - begin) / 1000;
}

export async function indexCost(
  corpus: Int32Array[],
  folder: string,
  repeats: number,
): Promise<CaseResult[]> {
  const file = join(folder, 'cost.index');
  const tokens = corpus.reduce((sum, { length }) => sum + length, 0);
  const rates: number[] = [];
  for (let round = 0; round < repeats; round++)
    rates.push(tokens / (await build(corpus, file, '00'.repeat(32))));
  say(`An index of ${tokens} tokens: ${median(rates).toFixed(0)} tokens a second.`);
  return [
    caseResult('index-bytes-per-token', 'B/token', statSync(file).size / tokens, {}),
    caseResult('index-build-tokens', 'tok/s', median(rates), {}),
  ];
}

/**
 * Tokens a second of 64 sequences on the adapter in `folder`, with the whole corpus as its index and without one, in turns.
 * Prompts are those of the queries.
 */
export async function traceCost(setting: {
  gguf: string;
  threads: number;
  adapter: string;
  corpus: Int32Array[];
  queries: TrainingExample[];
  turns: number;
}): Promise<CaseResult> {
  const { gguf, threads, adapter, corpus, queries, turns } = setting;
  const engine = await native().createEngine({
    model: { format: 'gguf', path: gguf },
    threads,
    kvBytes: 2 ** 28,
    adapterBytes: 2 ** 27,
    // Both turns compute the same steps for the same tokens.
    prefixCache: false,
    speculate: false,
  });
  try {
    const shape = engine.info().hyperparameters;
    const hash = (path: string) => native().hashFile(path);
    const { spec } = await readAdapter(adapter, shape, 'plain', hash);
    const tracePath = join(adapter, 'trace.index');
    await build(corpus, tracePath, spec.contentHash);
    const plain = await engine.registerAdapter(spec);
    const traced = await engine.registerAdapter({ ...spec, name: 'traced', tracePath });
    const prompts = Array.from({ length: atOnce }, (_, i) => promptOf(queries[i % queries.length]!));
    const decode = decoder(engine, prompts);
    for (const handle of [plain, traced]) await decode(handle);
    const rates = { plain: [] as number[], traced: [] as number[] };
    for (let turn = 0; turn < turns; turn++) {
      // Whoever comes first has the colder or the hotter machine: they take turns at that as well.
      const order = turn % 2 === 0 ? (['plain', 'traced'] as const) : (['traced', 'plain'] as const);
      for (const which of order) {
        const { rate, matched } = await decode(which === 'plain' ? plain : traced);
        if ((which === 'traced') !== matched > 0)
          throw new Error(`The ${which} adapter had ${matched} tokens that its index has.`);
        rates[which].push(rate);
      }
      say(
        `turn ${turn + 1}/${turns}: ${rates.traced.at(-1)!.toFixed(1)} tok/s traced, ${rates.plain.at(-1)!.toFixed(1)} not`,
      );
    }
    return caseResult('trace-cost-64', 'tok/s', median(rates.traced), { untraced: median(rates.plain) });
  } finally {
    await engine.close();
  }
}

/** What comes before the answer. */
function promptOf({ tokens, weights }: TrainingExample): Int32Array {
  return tokens.slice(
    0,
    weights.findIndex((weight) => weight > 0),
  );
}

/** Generates on a handle for all prompts at once: tokens a second from where each has its first one, and tokens with a match. */
function decoder(engine: NativeEngine, prompts: Int32Array[]) {
  let listener: Parameters<NativeEngine['onStep']>[0] = () => {};
  engine.onStep((result) => listener(result));
  return (handle: number) =>
    new Promise<{ rate: number; matched: number }>((resolve, reject) => {
      const begun = new Set<number>();
      let left = prompts.length;
      let tokens = 0;
      let matched = 0;
      let from = 0;
      listener = (result) => {
        const problem = result.errors?.[0]?.message ?? result.warnings?.[0];
        if (problem) return reject(new Error(problem));
        const all = begun.size === prompts.length;
        for (let i = 0; i < result.sequence.length; i++) {
          if (result.token[i]! >= 0) {
            begun.add(result.sequence[i]!);
            if (all) tokens++;
            if ((result.match?.length[i] ?? 0) > 0) matched++;
          }
          if (result.finish[i] !== FinishReason.none) left--;
        }
        if (!all && begun.size === prompts.length) from = performance.now();
        if (left === 0) resolve({ rate: tokens / ((performance.now() - from) / 1000), matched });
      };
      for (const prompt of prompts)
        engine.submit({
          prompt,
          adapter: handle,
          maxTokens: generated,
          sampling: greedy,
          stopTokenIds: [],
        });
    });
}
