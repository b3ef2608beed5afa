/**
 * Training beside PEFT and torch: tokens a second and memory in turns on the same ragged batches, held-out accuracy on
 * medical-coding over seeds, and what a job beside it costs serving.
 *
 *     npm run -s bench -- training [--cases NAMES] [--repeats N] [--seeds N] [--quick] [--work FOLDER] [--output FILE]
 *
 * Trained adapters stay in the work folder, and a run goes on with them; cases that are left out keep their saved results.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Value } from 'typebox/value';
import { cacheFolder, resolveModel } from '../../gateway/models/index.ts';
import type { CodingExample } from '../../plugins/datanet/demo/medical_coding.ts';
import { type Recipe, recipeSchema } from '../../plugins/training/recipe.ts';
import { readArguments, UsageError, wholeNumber } from '../lib/arguments.ts';
import { baseShapeOf } from '../lib/base_shape.ts';
import { startColophon } from '../lib/colophon_server.ts';
import { commit } from '../lib/machine.ts';
import { publish, runBench, say } from '../lib/main.ts';
import { peftEnvironment } from '../lib/peft_environment.ts';
import { type CaseResult, caseResult, report } from '../lib/report.ts';
import { median } from '../lib/statistics.ts';
import { type Pace, paceOf, type Task, trained } from './contestants.ts';
import { codingData, maxTokens } from './data.ts';
import { accuracyOf, cancelJob, gapP95, jobOf, startJob } from './serving.ts';

const cases = [
  'train-tokens',
  'train-rss-peak',
  'coding-accuracy',
  'serving-itl-p95-while-training',
] as const;

/** As the first PEFT run of this data had it, at our default rank. */
const recipe: Recipe = {
  ...(Value.Create(recipeSchema) as Recipe),
  epochs: 2,
  batch_size: 16,
  learning_rate: 1e-3,
  evaluations: 1,
  patience: 0,
  max_tokens: maxTokens * 4,
  influence_checkpoints: 0,
};

async function main(argv: string[]): Promise<void> {
  const args = readArguments(argv, {
    cases,
    peers: ['peft-f32', 'peft-best', 'base'],
    values: ['model', 'threads', 'seeds', 'work', 'output'],
    switches: [],
  });
  const { quick, repeats } = args;
  const model = await resolveModel(args.flags.get('model') as string | undefined);
  if (model.format !== 'gguf') throw new UsageError(`${model.path} is not a GGUF file.`);
  const work = String(args.flags.get('work') ?? join(cacheFolder(), 'bench-training', commit()));
  await peftEnvironment.setUp();
  const data = await codingData(model.path);
  const heldOut = quick ? data.heldOut.slice(0, 16) : data.heldOut;
  const task: Task = {
    gguf: model.path,
    layers: (await baseShapeOf(model.path)).layers,
    threads: wholeNumber(args.flags, 'threads', availableParallelism()),
    recipe: quick ? { ...recipe, batch_size: 4 } : recipe,
    train: quick ? data.train.slice(0, 12) : data.train,
    folder: work,
  };
  say(`${data.train.length} examples to train on, ${data.heldOut.length} held out.`);
  const chosen = (id: (typeof cases)[number]) => args.cases.includes(id);
  const results: CaseResult[] = [];
  if (chosen('train-tokens') || chosen('train-rss-peak')) {
    const paces = await speed(task, repeats, quick, args.peers);
    results.push(...paces.filter((each) => args.cases.includes(each.case)));
  }
  if (chosen('coding-accuracy'))
    results.push(
      await accuracy(task, heldOut, wholeNumber(args.flags, 'seeds', quick ? 1 : 3), args.peers, quick),
    );
  if (chosen('serving-itl-p95-while-training'))
    results.push(await beside(task, data.examples, repeats, quick));
  publish(report('training', results), args);
}

async function speed(task: Task, repeats: number, quick: boolean, peers: string[]): Promise<CaseResult[]> {
  const [warmup, timed] = quick ? [1, 2] : [3, 8];
  const train = task.train.slice(0, (warmup + timed) * task.recipe.batch_size);
  const brief = { ...task, train, recipe: { ...task.recipe, epochs: 1 } };
  const modes = [
    'ours',
    ...(peers.includes('peft-f32') ? (['padded'] as const) : []),
    ...(peers.includes('peft-best') ? (['packed', 'compiled'] as const) : []),
  ] as const;
  const paces = new Map<string, Pace[]>(modes.map((mode) => [mode, []]));
  for (let round = 1; round <= repeats; round++) {
    for (const mode of modes) {
      try {
        const pace = await paceOf({ ...brief, folder: join(task.folder, `speed-${mode}`) }, mode, warmup);
        paces.get(mode)!.push(pace);
        const { tokensPerSecond, peakMegabytes } = pace;
        say(
          `${mode} ${round}/${repeats}: ${tokensPerSecond.toFixed(0)} tok/s, ${peakMegabytes.toFixed(0)} MB`,
        );
      } catch (error) {
        if (mode === 'ours') throw error;
        say(`${mode} ${round}/${repeats}: absent (${(error as Error).message})`);
      }
    }
  }
  const middle = (mode: string, of: keyof Pace) => {
    const all = paces.get(mode) ?? [];
    return all.length === 0 ? undefined : median(all.map((pace) => pace[of]));
  };
  const best = ['padded', 'packed', 'compiled']
    .filter((mode) => middle(mode, 'tokensPerSecond') !== undefined)
    .sort((a, b) => middle(b, 'tokensPerSecond')! - middle(a, 'tokensPerSecond')!)[0];
  if (best !== undefined) say(`PEFT is fastest ${best}.`);
  const of = (id: string, unit: 'tok/s' | 'MB', what: keyof Pace) => {
    const found = {
      'peft-f32': middle('padded', what),
      'peft-best': peers.includes('peft-best') && best ? middle(best, what) : undefined,
    };
    const there = Object.entries(found).filter(
      (entry): entry is [string, number] => typeof entry[1] === 'number',
    );
    return caseResult(id, unit, middle('ours', what), Object.fromEntries(there));
  };
  return [of('train-tokens', 'tok/s', 'tokensPerSecond'), of('train-rss-peak', 'MB', 'peakMegabytes')];
}

async function accuracy(
  task: Task,
  heldOut: Parameters<typeof accuracyOf>[2],
  seeds: number,
  peers: string[],
  quick: boolean,
): Promise<CaseResult> {
  const served = join(task.folder, quick ? 'served-quick' : 'served');
  rmSync(served, { recursive: true, force: true });
  mkdirSync(served, { recursive: true });
  const names: Record<'ours' | 'peft', string[]> = { ours: [], peft: [] };
  for (let seed = 0; seed < seeds; seed++) {
    for (const who of ['ours', ...(peers.includes('peft-f32') ? (['peft'] as const) : [])] as const) {
      const name = `${who}-${seed}`;
      const folder = join(task.folder, quick ? `quick-${name}` : name);
      say(`Training ${name} ...`);
      cpSync(await trained({ ...task, recipe: { ...task.recipe, seed }, folder }, who), join(served, name), {
        recursive: true,
      });
      names[who].push(name);
    }
  }
  const { child, url } = await serve(task, served);
  const measure = async (name: string) => {
    const percent = await accuracyOf(url, name, heldOut);
    say(`${name}: ${percent.toFixed(1)} % of ${heldOut.length}`);
    return percent;
  };
  const all = async (list: string[]) => {
    const found: number[] = [];
    for (const name of list) found.push(await measure(name));
    return found;
  };
  try {
    const ours = median(await all(names.ours));
    const peftValues = await all(names.peft);
    const peers_: Record<string, number> = peftValues.length > 0 ? { 'peft-f32': median(peftValues) } : {};
    if (peers.includes('base')) peers_.base = await measure('base');
    return caseResult('coding-accuracy', '%', ours, peers_);
  } finally {
    child.end();
  }
}

/** In turns: the server alone, and beside a job that was asked of it. */
async function beside(
  task: Task,
  examples: readonly CodingExample[],
  repeats: number,
  quick: boolean,
): Promise<CaseResult> {
  const { child, url } = await serve(task, '');
  const [answers, tokens] = quick ? [1, 64] : [6, 256];
  const idle: number[] = [];
  const busy: number[] = [];
  try {
    await gapP95(url, 1, 64);
    for (let round = 1; round <= repeats; round++) {
      idle.push(await gapP95(url, answers, tokens));
      const id = await startJob(url, examples, { ...task.recipe, epochs: 50 });
      busy.push(await gapP95(url, answers, tokens));
      const { status, tokens_per_second } = await jobOf(url, id);
      if (status !== 'running') throw new Error(`The job is ${status}: it had to run all the time.`);
      await cancelJob(url, id);
      say(
        `${round}/${repeats}: p95 between tokens ${idle.at(-1)!.toFixed(1)} ms, ${busy.at(-1)!.toFixed(1)} ms beside a job of ${tokens_per_second} tok/s`,
      );
    }
  } finally {
    child.end();
  }
  return caseResult('serving-itl-p95-while-training', 'ms', median(busy), { idle: median(idle) });
}

function serve({ gguf, threads }: Task, adapterFolder: string) {
  const setting = { gguf, adapterFolder, threads, kvBytes: 2 ** 29, adapterBytes: 2 ** 28, limit: 120 };
  return startColophon(setting, false);
}

runBench(main);
