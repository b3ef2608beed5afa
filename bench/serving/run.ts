/**
 * How fast we serve, beside llama.cpp and vLLM on the same machine in the same run.
 *
 *     npm run -s bench -- serving [--setup] [--repeats N] [--cases A,B] [--peers A,B] [--quick] [--model FILE]
 *                                 [--threads N] [--limit SECONDS] [--output FILE] [--vllm-eager] [--no-ours]
 */
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { resolveModel } from '../../gateway/models/index.ts';
import { native } from '../../native/binding/index.ts';
import { readArguments, UsageError, wholeNumber } from '../lib/arguments.ts';
import { baseShapeOf } from '../lib/base_shape.ts';
import { runBench, say } from '../lib/main.ts';
import { caseResult, report, reportTable, writeReport } from '../lib/report.ts';
import { median, significant } from '../lib/statistics.ts';
import { makeAdapters } from '../lib/synthetic_adapters.ts';
import { adapterRank, atOnce, type Case, cases } from './cases.ts';
import type { Contestant, Setting } from './contestant.ts';
import { Llama } from './llama.ts';
import { Ours } from './ours.ts';
import { benchFolder, PeerModel } from './peers.ts';
import { setUp } from './setup.ts';
import { Vllm } from './vllm.ts';

const peerNames = ['llama.cpp', 'llama.cpp-q4_0', 'vllm'];

/** Values of a case by contestant, and reasons of those that have none. */
interface Measured {
  values: Map<string, number[]>;
  absent: Map<string, string>;
}

async function main(argv: string[]): Promise<void> {
  const args = readArguments(argv, {
    cases: cases.map((each) => each.id),
    peers: peerNames,
    values: ['model', 'threads', 'limit', 'output'],
    switches: ['setup', 'vllm-eager', 'no-ours'],
  });
  if (args.flags.has('setup')) return setUp();

  const chosen = cases.filter((each) => args.cases.includes(each.id));
  const model = await resolveModel(args.flags.get('model') as string | undefined);
  if (model.format !== 'gguf')
    throw new UsageError(`${model.path} is not a GGUF file; llama.cpp reads nothing else.`);
  const shape = await baseShapeOf(model.path);
  const digest = await native().hashFile(model.path);
  const folder = join(benchFolder, 'models', digest.slice(0, 16));
  say(`Base: ${model.path}`);
  const setting: Setting = {
    gguf: model.path,
    adapters: makeAdapters(join(folder, `adapters-r${adapterRank}`), shape, adapterRank, atOnce),
    vocabulary: shape.vocabulary,
    threads: wholeNumber(args.flags, 'threads', availableParallelism()),
    generate: args.quick ? 16 : 48,
    limit: wholeNumber(args.flags, 'limit', 900),
  };

  const peerModel = new PeerModel(model.path, folder);
  const contestants: Contestant[] = args.flags.has('no-ours') ? [] : [new Ours(setting, shape)];
  if (args.peers.includes('llama.cpp'))
    contestants.push(new Llama('llama.cpp', setting, peerModel, async () => model.path));
  if (args.peers.includes('llama.cpp-q4_0'))
    contestants.push(new Llama('llama.cpp-q4_0', setting, peerModel, () => peerModel.q4_0()));
  if (args.peers.includes('vllm'))
    contestants.push(new Vllm(setting, peerModel, args.flags.has('vllm-eager')));

  const whole = chosen.length === cases.length && args.peers.length === peerNames.length;
  const output = args.flags.get('output');
  const file =
    typeof output === 'string'
      ? resolve(output)
      : whole && !args.quick && !args.flags.has('no-ours')
        ? resolve('bench', 'results', 'serving.json')
        : undefined;
  const resultOf = (measured: Map<string, Measured>) =>
    report(
      'serving',
      chosen.map((each) => {
        const medians = [...measured.get(each.id)!.values].map(
          ([name, values]) => [name, median(values)] as const,
        );
        const peers = medians.filter(([name]) => name !== 'ours');
        return caseResult(each.id, each.unit, new Map(medians).get('ours'), Object.fromEntries(peers));
      }),
    );
  // After every round, so that a run that is cut leaves its whole rounds.
  const measured = await measureAll(chosen, contestants, args.repeats, (soFar) => {
    if (file !== undefined) writeReport(file, resultOf(soFar));
  });
  process.stdout.write(`${reportTable(resultOf(measured))}\n`);
  tellAbsent(chosen, measured);
  say(file === undefined ? 'A part of the bench is not saved; --output FILE does.' : `Saved to ${file}`);
}

/** A round is every case by every contestant, one beside the other, so that what disturbs the machine meets all. */
async function measureAll(
  chosen: Case[],
  contestants: Contestant[],
  repeats: number,
  afterRound: (measured: Map<string, Measured>) => void,
): Promise<Map<string, Measured>> {
  const measured = new Map<string, Measured>(
    chosen.map((each) => [each.id, { values: new Map(), absent: new Map() }]),
  );
  try {
    for (let round = 0; round < repeats; round++) {
      for (const each of chosen) {
        const { values, absent } = measured.get(each.id)!;
        for (const contestant of contestants) {
          if (absent.has(contestant.name)) continue;
          try {
            const value = await contestant.measure(each, round);
            values.set(contestant.name, [...(values.get(contestant.name) ?? []), value]);
            say(
              `${each.id} ${round + 1}/${repeats} ${contestant.name}: ${significant(value, 4)} ${each.unit}`,
            );
          } catch (error) {
            contestant.end();
            if (contestant.name === 'ours') throw error;
            values.delete(contestant.name);
            absent.set(contestant.name, (error as Error).message);
            say(`${each.id} ${contestant.name} is left out: ${(error as Error).message}`);
          }
        }
      }
      afterRound(measured);
    }
  } finally {
    for (const contestant of contestants) contestant.end();
  }
  return measured;
}

function tellAbsent(chosen: Case[], measured: Map<string, Measured>): void {
  for (const each of chosen) {
    for (const [name, reason] of measured.get(each.id)!.absent)
      process.stdout.write(`${each.id}: no ${name}: ${reason}\n`);
  }
}

runBench(main);
