/**
 * What ten thousand adapters cost: requests drawn by Zipf's law over 5 to 10,000 of them at saturation, cold loads, and what
 * hot sequences feel of these.
 *
 *     npm run -s bench -- scale [--repeats N] [--cases A,B] [--adapters N] [--seconds S] [--cold-rate N] [--quick]
 *                               [--model FILE] [--threads N] [--limit SECONDS] [--output FILE]
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, resolveModel } from '../../gateway/models/index.ts';
import { native } from '../../native/binding/index.ts';
import { readAdapter } from '../../plugins/backends/native/peft.ts';
import { readArguments, UsageError, wholeNumber } from '../lib/arguments.ts';
import { baseShapeOf } from '../lib/base_shape.ts';
import { Child } from '../lib/child.ts';
import { publish, runBench, say } from '../lib/main.ts';
import { type CaseResult, caseResult, report } from '../lib/report.ts';
import { makeRotatedAdapters } from '../lib/rotated_adapters.ts';
import { median, percentile, significant } from '../lib/statistics.ts';
import {
  adapterRank,
  atOnce,
  type Case,
  cases,
  coldRate,
  held,
  hotSequences,
  kvBytes,
  type Tier,
} from './cases.ts';
import type { Load, Measured, WorkerConfig } from './worker.ts';

/** Adapters that the engine of the hot and cold cases has in memory beside the hot ones. */
const coldRoom = 64;
/** Cold adapters there: enough that none is still in memory when it comes again. */
const coldAdapters = 1000;

interface Setting {
  gguf: string;
  folder: string;
  names: string[];
  vocabulary: number;
  threads: number;
  limit: number;
  /** Of one adapter in memory. */
  bytes: number;
}

/** Worker processes by what they hold; only one of them runs at a time. */
class Workers {
  readonly #setting: Setting;
  readonly #children = new Map<string, Child>();

  constructor(setting: Setting) {
    this.#setting = setting;
  }

  /** Of an engine that has room for `room` of the first `adapters` adapters and starts with `warm` of them in memory. */
  async run(adapters: number, room: number, warm: number, load: Load): Promise<Measured> {
    const key = `${adapters}/${room}`;
    const running = this.#children.get(key);
    running?.thaw();
    const child = running ?? (await this.#start(key, adapters, room, warm));
    child.send(JSON.stringify(load));
    const measured = JSON.parse(await child.line(this.#setting.limit));
    child.freeze();
    if (measured.error) throw new Error(measured.error);
    return measured;
  }

  end(): void {
    for (const child of this.#children.values()) child.end();
  }

  async #start(key: string, adapters: number, room: number, warm: number): Promise<Child> {
    const { gguf, folder, names, vocabulary, threads, bytes, limit } = this.#setting;
    const config: WorkerConfig = {
      gguf,
      folder,
      registry: join(folder, '..', 'registry'),
      packed: packedOf(folder),
      names: names.slice(0, adapters),
      threads,
      kvBytes,
      adapterBytes: room * bytes,
      vocabulary,
      warm: Math.min(warm, room, adapters),
    };
    const file = join(dirname(fileURLToPath(import.meta.url)), 'worker.js');
    const child = new Child(process.execPath, [file, JSON.stringify(config)]);
    this.#children.set(key, child);
    say(`Starting with ${adapters} adapters, room for ${room} (${megabytes(room * bytes)} MB) ...`);
    const ready = JSON.parse(await child.line(limit));
    if (ready.error) throw new Error(ready.error);
    return child;
  }
}

async function main(argv: string[]): Promise<void> {
  const args = readArguments(argv, {
    cases: cases.map((each) => each.id),
    peers: [],
    values: ['adapters', 'seconds', 'cold-rate', 'model', 'threads', 'limit', 'output'],
    switches: [],
  });
  const most = wholeNumber(args.flags, 'adapters', args.quick ? 200 : 10_000);
  if (most < 2 * hotSequences)
    throw new UsageError(`--adapters is ${most}; it must be at least ${2 * hotSequences}.`);
  const seconds = wholeNumber(args.flags, 'seconds', args.quick ? 3 : 30);
  const rate = wholeNumber(args.flags, 'cold-rate', coldRate);
  const model = await resolveModel(args.flags.get('model') as string | undefined);
  if (model.format !== 'gguf') throw new UsageError(`${model.path} is not a GGUF file.`);
  const setting = await prepare(model.path, most, wholeNumber(args.flags, 'threads', availableParallelism()));
  setting.limit = wholeNumber(args.flags, 'limit', 900);

  const chosen = cases.filter((each) => args.cases.includes(each.id));
  const found = new Found();
  const workers = new Workers(setting);
  try {
    for (let round = 0; round < args.repeats; round++) {
      for (const each of chosen) {
        if (each.kind === 'zipf') await measureZipf(each, workers, found, most, seconds, round);
        else if (each.kind === 'hot') await measureHot(each, workers, found, most, seconds, rate, round);
        else if (each.kind === 'cold')
          await measureCold(each, workers, found, most, args.quick ? 20 : 200, round);
      }
    }
  } finally {
    workers.end();
  }

  const result = report(
    'scale',
    chosen.map((each) => found.result(each)).filter((entry) => entry !== undefined),
  );
  const whole = chosen.length === cases.length && most >= 10_000 && !args.quick;
  publish(result, args, whole ? undefined : 'A part of the bench is not saved; --output FILE does.');
}

const packedOf = (folder: string) => join(folder, '..', 'packed');

/** The adapters on disk, and what one takes in memory. */
async function prepare(gguf: string, count: number, threads: number): Promise<Setting> {
  const shape = await baseShapeOf(gguf);
  const digest = (await native().hashFile(gguf)).slice(0, 16);
  const folder = join(cacheFolder(), 'bench-adapters', digest, `rotated-r${adapterRank}`);
  mkdirSync(folder, { recursive: true });
  say(`${count} adapters in ${folder} ...`);
  const adapters = makeRotatedAdapters(folder, shape, adapterRank, count);
  const engine = await native().createEngine({
    model: { format: 'gguf', path: gguf },
    kvBytes: 1 << 26,
    adapterBytes: 1 << 26,
    packedDir: packedOf(folder),
  });
  const { hyperparameters } = engine.info();
  const register = async ({ name, path }: (typeof adapters)[number]) =>
    engine.registerAdapter((await readAdapter(path, hyperparameters, name, native().hashFile)).spec);
  const { bytes } = engine.adapterState(await register(adapters[0]!));
  mkdirSync(packedOf(folder), { recursive: true });
  if (readdirSync(packedOf(folder)).length < count) {
    say('Importing them: each is read and packed once ...');
    for (const adapter of adapters) {
      const handle = await register(adapter);
      await engine.loadAdapter(handle);
      engine.unregisterAdapter(handle);
    }
  }
  await engine.close();
  const names = adapters.map((adapter) => adapter.name);
  return { gguf, folder, names, vocabulary: shape.vocabulary, threads, limit: 0, bytes };
}

/** What the rounds gave, by case. */
class Found {
  readonly values = new Map<string, number[]>();
  readonly #memory: Measured[] = [];

  add(key: string, value: number): void {
    this.values.set(key, [...(this.values.get(key) ?? []), value]);
  }

  memory(measured: Measured): void {
    this.#memory.push(measured);
  }

  #median(key: string): number | undefined {
    const values = this.values.get(key);
    return values && median(values);
  }

  result(each: Case): CaseResult | undefined {
    if (each.kind === 'memory') {
      const beyond = (m: Measured) => m.rssBytes / m.startAndBudgetBytes;
      const worst = [...this.#memory].sort((a, b) => beyond(b) - beyond(a))[0];
      if (!worst) return undefined;
      return caseResult(each.id, 'MB', worst.rssBytes / 1e6, {
        'weights and budgets': worst.budgetBytes / 1e6,
        'start and budgets': worst.startAndBudgetBytes / 1e6,
      });
    }
    const ours = this.#median(each.id)!;
    if (each.kind === 'zipf') {
      const five = each.id === 'zipf-5' ? undefined : this.#median('zipf-5');
      return caseResult(each.id, 'tok/s', ours, five === undefined ? {} : { 'zipf-5': five });
    }
    if (each.kind === 'hot')
      return caseResult(each.id, 'ms', ours, { 'without cold loads': this.#median('without')! });
    const parts = { p50: this.#median('p50')!, "engine's part, p99": this.#median('engine')! };
    // Parts of the same figure: no ratio.
    return { ...caseResult(each.id, 'ms', ours, parts), ratios: {} };
  }
}

async function measureZipf(
  each: Case & { kind: 'zipf'; tier: Tier },
  workers: Workers,
  found: Found,
  most: number,
  seconds: number,
  round: number,
): Promise<void> {
  const adapters = Math.min(each.adapters, most);
  const room = held(each.tier, adapters);
  const measured = await workers.run(adapters, room, adapters, {
    kind: 'zipf',
    adapters,
    atOnce,
    seconds,
    seed: round,
  });
  found.add(each.id, measured.rate!);
  // Of the largest number of adapters: what they add to memory is what is asked.
  if (each.adapters === 10_000) found.memory(measured);
  say(
    `${each.id} ${round + 1}: ${significant(measured.rate!, 4)} tok/s, ${measured.loads} loads, ${measured.evictions} ` +
      `evictions, RSS ${megabytes(measured.rssBytes)} MB of ${megabytes(measured.budgetBytes)}`,
  );
}

async function measureHot(
  each: Case,
  workers: Workers,
  found: Found,
  most: number,
  seconds: number,
  rate: number,
  round: number,
): Promise<void> {
  const run = (coldPerSecond: number) =>
    workers.run(Math.min(most, coldAdapters), hotSequences + Math.min(coldRoom, most >> 2), hotSequences, {
      kind: 'hot',
      seconds,
      seed: round,
      coldPerSecond,
    });
  const without = await run(0);
  const beside = await run(rate);
  const p99 = (measured: Measured) => percentile(measured.gaps!, 0.99);
  found.add('without', p99(without));
  found.add(each.id, p99(beside));
  say(
    `${each.id} ${round + 1}: ${significant(p99(beside), 4)} ms with ${beside.loads} loads, ` +
      `${significant(p99(without), 4)} ms with ${without.loads}`,
  );
}

async function measureCold(
  each: Case,
  workers: Workers,
  found: Found,
  most: number,
  count: number,
  round: number,
): Promise<void> {
  const room = hotSequences + Math.min(coldRoom, most >> 2);
  const load: Load = { kind: 'cold', count, seed: round };
  const measured = await workers.run(Math.min(most, coldAdapters), room, hotSequences, load);
  found.add(each.id, percentile(measured.residentAfter!, 0.99));
  found.add('p50', percentile(measured.residentAfter!, 0.5));
  found.add('engine', percentile(measured.loadTook!, 0.99));
  say(
    `${each.id} ${round + 1}: p99 ${significant(percentile(measured.residentAfter!, 0.99), 4)} ms, ` +
      `p50 ${significant(percentile(measured.residentAfter!, 0.5), 4)} ms, ${measured.loads} loads`,
  );
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}

runBench(main);
