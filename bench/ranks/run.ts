/**
 * What ranks cost: 64 sequences decode, each on an adapter of its own. Adapters of mixed ranks, 4 to 128, beside what the sum
 * of their bytes predicts (a line through two batches of equal ranks), and beside all of them padded to the largest.
 *
 *     npm run -s bench -- ranks [--repeats N] [--quick] [--model FILE] [--threads N] [--limit SECONDS] [--output FILE]
 */

import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { resolveModel } from '../../gateway/models/index.ts';
import { native } from '../../native/binding/index.ts';
import { readArguments, wholeNumber } from '../lib/arguments.ts';
import { baseShapeOf } from '../lib/base_shape.ts';
import { Child } from '../lib/child.ts';
import { publish, runBench, say } from '../lib/main.ts';
import { caseResult, report } from '../lib/report.ts';
import { median, significant } from '../lib/statistics.ts';
import { adapterBytes, makeAdapters } from '../lib/synthetic_adapters.ts';
import { atOnce, type Case } from '../serving/cases.ts';
import { EngineWorker, type Setting } from '../serving/contestant.ts';
import type { OursWorkerConfig } from '../serving/ours_worker.ts';
import { benchFolder } from '../serving/peers.ts';

const mixed = [4, 8, 16, 32, 64, 128];
/** Ranks of the batches; `at` is a sequence's number. */
const batches = {
  'rank-16': () => 16,
  'rank-64': () => 64,
  'rank-128': () => 128,
  'ranks-4-to-128': (at: number) => mixed[at % mixed.length]!,
};
type Batch = keyof typeof batches;
const names = Object.keys(batches) as Batch[];

async function main(argv: string[]): Promise<void> {
  const args = readArguments(argv, {
    cases: [],
    peers: [],
    values: ['model', 'threads', 'limit', 'output'],
    switches: [],
  });
  const model = await resolveModel(args.flags.get('model') as string | undefined);
  const shape = await baseShapeOf(model.path);
  const folder = join(benchFolder, 'models', (await native().hashFile(model.path)).slice(0, 16));
  const ranksOf = (batch: Batch) => Array.from({ length: atOnce }, (_, at) => batches[batch](at));
  const folders = new Map(
    [...new Set(names.flatMap(ranksOf))].map((rank) => [
      rank,
      makeAdapters(join(folder, `adapters-r${rank}`), shape, rank, atOnce),
    ]),
  );
  const threads = wholeNumber(args.flags, 'threads', availableParallelism());
  const workers = names.map((batch) => {
    const adapters = ranksOf(batch).map((rank, at) => ({ folder: folders.get(rank)![at]!, rank }));
    const setting: Setting = {
      gguf: model.path,
      adapters: adapters.map((adapter) => adapter.folder),
      vocabulary: shape.vocabulary,
      threads,
      generate: args.quick ? 16 : 48,
      limit: wholeNumber(args.flags, 'limit', 900),
    };
    const config: OursWorkerConfig = {
      gguf: model.path,
      adapters,
      layers: shape.layers,
      threads,
      kvBytes: 2 ** 30,
      adapterBytes: 8 * 2 ** 30,
    };
    const file = join(dirname(fileURLToPath(import.meta.url)), '..', 'serving', 'ours_worker.js');
    return new EngineWorker(setting, () => new Child(process.execPath, [file, JSON.stringify(config)]));
  });

  const decode: Case & { kind: 'decode' } = {
    id: 'ranks',
    unit: 'tok/s',
    kind: 'decode',
    sequences: atOnce,
    adapters: 'distinct',
  };
  const steps = new Map<Batch, number[]>(names.map((name) => [name, []]));
  try {
    for (let round = 0; round < args.repeats; round++) {
      for (const [i, name] of names.entries()) {
        const milliseconds = (1000 * atOnce) / (await workers[i]!.measure(decode, round));
        steps.get(name)!.push(milliseconds);
        say(`${name} ${round + 1}/${args.repeats}: ${significant(milliseconds, 4)} ms a step`);
      }
    }
  } finally {
    for (const worker of workers) worker.end();
  }

  const bytes = (name: Batch) => ranksOf(name).reduce((sum, rank) => sum + adapterBytes(shape, rank), 0);
  const time = (name: Batch) => median(steps.get(name)!);
  const slope = (time('rank-64') - time('rank-16')) / (bytes('rank-64') - bytes('rank-16'));
  const predicted = time('rank-16') + slope * (bytes('ranks-4-to-128') - bytes('rank-16'));
  const result = report('ranks', [
    ...names.slice(0, -1).map((name) => caseResult(name, 'ms', time(name), {})),
    caseResult('ranks-4-to-128', 'ms', time('ranks-4-to-128'), {
      'predicted by bytes': predicted,
      'padded to 128': time('rank-128'),
    }),
  ]);
  publish(result, args);
}

runBench(main);
