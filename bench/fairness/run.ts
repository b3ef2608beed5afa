/**
 * What a tenant that floods costs another: the time to the first token of a polite tenant's requests, one at a time, on an idle
 * server, beside another tenant that keeps 64 requests going, and beside one that keeps 512.
 *
 *     npm run -s bench -- fairness [--requests N] [--repeats N] [--quick] [--model FILE] [--threads N] [--output FILE]
 */
import { availableParallelism } from 'node:os';
import { resolveModel } from '../../gateway/models/index.ts';
import { readArguments, UsageError, wholeNumber } from '../lib/arguments.ts';
import { startColophon } from '../lib/colophon_server.ts';
import { publish, runBench, say } from '../lib/main.ts';
import { randomPrompts } from '../lib/random.ts';
import { caseResult, report } from '../lib/report.ts';
import { median } from '../lib/statistics.ts';
import { firstTokenTimes } from '../lib/streams.ts';

/** Requests that the other tenant keeps going. */
const loads = { idle: 0, busy: 64, flood: 512 };
type LoadName = keyof typeof loads;

const keys = { polite: 'key-of-the-polite-tenant', flooding: 'key-of-the-flooding-tenant' };
const config = `access:
  keys:
${Object.entries(keys)
  .map(([tenant, key]) => `    - { key: ${key}, tenant: ${tenant} }\n`)
  .join('')}`;

const promptTokens = 64;
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const percentile = (values: number[], part: number) =>
  values.sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))]!;

async function main(argv: string[]): Promise<void> {
  const args = readArguments(argv, {
    cases: [],
    peers: [],
    values: ['requests', 'model', 'threads', 'output'],
    switches: [],
  });
  const requests = wholeNumber(args.flags, 'requests', args.quick ? 5 : 40);
  const model = await resolveModel(args.flags.get('model') as string | undefined);
  if (model.format !== 'gguf') throw new UsageError(`${model.path} is not a GGUF file.`);
  const { child, url } = await startColophon(
    {
      gguf: model.path,
      adapterFolder: '',
      threads: wholeNumber(args.flags, 'threads', availableParallelism()),
      kvBytes: 2 ** 30,
      adapterBytes: 2 ** 24,
      limit: 120,
      config,
    },
    false,
  );
  let asked = 0;
  const ask = async (tenant: keyof typeof keys, tokens: number): Promise<number> => {
    const [prompt] = randomPrompts({ count: 1, tokens: promptTokens, vocabulary: 49_000, seed: ++asked });
    const body = {
      model: 'base',
      prompt,
      max_tokens: tokens,
      stream: true,
      temperature: 0,
      ignore_eos: true,
      return_token_ids: true,
    };
    const carriesToken = (event: unknown) =>
      ((event as { choices?: { token_ids?: number[] }[] }).choices?.[0]?.token_ids?.length ?? 0) > 0;
    const [first] = await firstTokenTimes(
      [{ url: `${url}/v1/completions`, body, key: keys[tenant] }],
      carriesToken,
    );
    return first!;
  };
  const measure = async (atOnce: number): Promise<number[]> => {
    let stop = false;
    const flood = Promise.all(
      Array.from({ length: atOnce }, async () => {
        while (!stop) await ask('flooding', promptTokens);
      }),
    );
    if (atOnce > 0) await pause(4000);
    const times: number[] = [];
    for (let i = 0; i < requests; i++) {
      times.push(await ask('polite', 8));
      await pause(100 + 200 * Math.random());
    }
    stop = true;
    await flood;
    return times;
  };

  const p50: Record<LoadName, number[]> = { idle: [], busy: [], flood: [] };
  const p95: Record<LoadName, number[]> = { idle: [], busy: [], flood: [] };
  await ask('polite', 8);
  for (let round = 1; round <= args.repeats; round++) {
    for (const [name, atOnce] of Object.entries(loads) as [LoadName, number][]) {
      child.assertRunning();
      const times = await measure(atOnce);
      p50[name].push(percentile(times, 0.5));
      p95[name].push(percentile(times, 0.95));
      say(
        `${name} ${round}/${args.repeats}: p50 ${p50[name].at(-1)!.toFixed(0)} ms, p95 ${p95[name].at(-1)!.toFixed(0)} ms`,
      );
    }
  }
  child.end();
  const of = (values: Record<LoadName, number[]>, id: string) =>
    caseResult(id, 'ms', median(values.flood), { busy: median(values.busy), idle: median(values.idle) });
  publish(
    report('fairness', [of(p95, 'polite-ttft-p95-beside-flood'), of(p50, 'polite-ttft-p50-beside-flood')]),
    args,
  );
}

runBench(main);
