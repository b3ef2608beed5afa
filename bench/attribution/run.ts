/**
 * Attribution: what the trace index costs, and how faithful scores are that say which example taught an answer, beside simple
 * baselines and Kronfluence. README.md beside this file says what each case is.
 *
 *     npm run -s bench -- attribution [--cases NAMES] [--peers NAMES] [--repeats N] [--subsets N] [--quick] [--threads N]
 *                                     [--model FILE] [--work FOLDER] [--output FILE]
 *
 * Trainings stay in the work folder, each kept as soon as it is done, and a run goes on with them; cases that are left out keep
 * their saved results.
 */
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { cacheFolder, resolveModel } from '../../gateway/models/index.ts';
import { readArguments, UsageError, wholeNumber } from '../lib/arguments.ts';
import { publish, runBench, say } from '../lib/main.ts';
import { type CaseResult, caseResult, report } from '../lib/report.ts';
import { attackCase } from './attacks.ts';
import { counterfactual } from './counterfactual.ts';
import { type FidelityData, fidelityData, fingerprint } from './data.ts';
import { type AllScores, baseline, best, fidelityCases, mislabelledCase, reportOf } from './fidelity.ts';
import { exactScoresOf, influenceScoresOf, lexicalScores, suspicionsOf } from './methods.ts';
import { peerScores, strategies } from './peers.ts';
import { full, halves, mislabelled, recipe as wholeRecipe } from './protocol.ts';
import { adapterOf, retrained, type Setting } from './retrains.ts';
import { corpusOf, indexCost, traceCost } from './trace.ts';

const traceCases = ['trace-cost-64', 'index-bytes-per-token', 'index-build-tokens'];
const fidelityOnes = ['lds', 'class-auc', 'query-seconds'];
const cases = [...traceCases, ...fidelityOnes, 'mislabelled-auc', 'counterfactual', 'attack-gain-max'];
const kronfluence = Object.keys(strategies) as Array<keyof typeof strategies>;

async function main(argv: string[]): Promise<void> {
  const args = readArguments(argv, {
    cases,
    peers: kronfluence,
    values: ['model', 'threads', 'subsets', 'work', 'output'],
    switches: [],
  });
  const { quick, repeats } = args;
  const model = await resolveModel(args.flags.get('model') as string | undefined);
  if (model.format !== 'gguf') throw new UsageError(`${model.path} is not a GGUF file.`);
  const gguf = model.path;
  const threads = wholeNumber(args.flags, 'threads', availableParallelism());
  const classes = quick ? 2 : 6;
  const recipe = { ...wholeRecipe, ...(quick ? { epochs: 1 } : {}) };
  const data = await fidelityData(gguf, classes);
  const work = String(args.flags.get('work') ?? join(cacheFolder(), 'bench-attribution'));
  const folder = join(work, fingerprint(data, recipe));
  mkdirSync(folder, { recursive: true });
  const setting: Setting = { gguf, classes, recipe, threads, folder };
  const count = data.train.examples.length;
  const chosen = (ids: string[]) => ids.some((id) => args.cases.includes(id));
  const results: CaseResult[] = [];
  if (args.cases.some((id) => id !== 'attack-gain-max')) await retrained(setting, [full(count)]);
  if (chosen(traceCases)) {
    const corpus = await corpusOf(gguf, work);
    const queries = data.queries.examples;
    const turns = quick ? 2 : 4 * repeats;
    if (chosen(['trace-cost-64'])) {
      const adapter = await adapterOf(setting, 'full');
      results.push(await traceCost({ gguf, threads, adapter, corpus, queries, turns }));
    }
    results.push(...(await indexCost(corpus, work, repeats)));
  }
  if (chosen([...fidelityOnes, 'counterfactual'])) {
    const scores = await allScores(
      setting,
      data,
      kronfluence.filter((peer) => args.peers.includes(peer) && !(quick && !args.flags.has('peers'))),
    );
    const subsets = wholeNumber(args.flags, 'subsets', quick ? 4 : 60);
    const found = reportOf(data, scores, await retrained(setting, halves(count, subsets)));
    results.push(...fidelityCases(found, scores));
    if (chosen(['counterfactual'])) {
      const ours = best(found);
      const those = Object.fromEntries([ours, baseline].map((name) => [name, scores[name]!.scores]));
      const lost = await counterfactual(setting, data, those, quick ? 1 : 4);
      results.push(
        caseResult('counterfactual', 'nats', lost[ours]!.value, { [baseline]: lost[baseline]!.value }),
      );
    }
  }
  if (chosen(['mislabelled-auc'])) {
    await retrained(setting, [mislabelled(count)]);
    results.push(mislabelledCase(await suspicionsOf(setting, data), count));
  }
  if (chosen(['attack-gain-max'])) results.push(attackCase(quick ? 1 : 3));
  const now = results.filter((each) => args.cases.includes(each.case));
  publish(report('attribution', now), args);
}

/** Every method's, ours and the peers'; whole gradients say what the index loses. */
async function allScores(
  setting: Setting,
  data: FidelityData,
  peers: Array<keyof typeof strategies>,
): Promise<AllScores> {
  const { methods, indexBytesPerExample } = await influenceScoresOf(setting, data);
  say(`The influence index takes ${indexBytesPerExample.toFixed(0)} bytes an example.`);
  const exact = await exactScoresOf(setting, data);
  const all: AllScores = { ...lexicalScores(data), ...methods, ...exact };
  for (const peer of peers) {
    try {
      all[peer] = await peerScores(setting, data, peer);
    } catch (error) {
      say(`${peer}: absent (${(error as Error).message})`);
    }
  }
  return all;
}

runBench(main);
