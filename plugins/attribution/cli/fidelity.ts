/** `colophon attribution fidelity`: says what it will cost, does it, and shows what came of it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { adapterFolder } from '../../../gateway/cli/adapter_folder.ts';
import { CliError, exitCodes } from '../../../gateway/cli/failure.ts';
import { type Output, table } from '../../../gateway/cli/output.ts';
import { configOf, type ServeFlags } from '../../../gateway/cli/server_flags.ts';
import { duration, trainView } from '../../../gateway/cli/train_view.ts';
import { type DataFlags, trainedOn } from '../../../gateway/cli/trained_on.ts';
import { fidelityFile } from '../../../gateway/contract/index.ts';
import { readRecipe, wrongFiles } from '../../training/verify.ts';
import type { Estimate } from '../fidelity/estimate.ts';
import type { Fidelity } from '../fidelity/fidelity_file.ts';
import { type MeasuringPlan, measureAdapter, nothingToMeasure } from '../fidelity/measure_adapter.ts';
import type { Trained } from '../fidelity/retrain_job.ts';

export interface FidelityFlags extends ServeFlags, DataFlags {
  retrains?: number;
  queries?: number;
  examples?: number;
  counterfactual?: number;
}

/** Exit code 0 once the report lies beside the adapter. */
export async function fidelity(name: string, flags: FidelityFlags, output: Output): Promise<number> {
  const wanted = wantedOf(flags);
  const config = configOf(flags);
  const folder = await adapterFolder(name, config);
  if (!existsSync(join(folder, 'recipe.json')))
    throw new CliError(
      `${folder} has no recipe.json, so it cannot be trained again. Measure the adapter as its training left it, then import it.`,
    );
  const wrong = await wrongFiles(folder);
  if (wrong.length > 0)
    throw new CliError([`${name} is not what it says:`, ...wrong.map((one) => `  ${one}`)].join('\n'));
  const made = readRecipe(folder);
  const nothing = nothingToMeasure(folder, made);
  if (nothing) throw new CliError(nothing);
  const of = await trainedOn(made, config, flags, output);
  const threads = flags.threads === undefined ? of.threads : Number(flags.threads);
  const told = progress(output, threads);
  const left = new AbortController();
  const onInterrupt = () => left.abort();
  process.once('SIGINT', onInterrupt);
  try {
    const report = await measureAdapter(
      { ...of, threads, folder, made, cache: config.paths.cache, wanted, signal: left.signal },
      { ...told, signal: left.signal },
    );
    told.end();
    const path = join(folder, fidelityFile);
    output.result({ name, path, ...report }, shown(made.name, report));
    output.say(`The report is ${path}. A running server settles by it from the next answer on.`);
    return exitCodes.ok;
  } catch (error) {
    told.end();
    if (left.signal.aborted) output.say('What was trained is kept: the same command goes on with it.');
    throw isSentence(error) ? new CliError(error.message, exitCodes.failure, error) : error;
  } finally {
    process.off('SIGINT', onInterrupt);
    await of.close();
  }
}

/** What measuring says for people, and no other error has. */
const isSentence = (error: unknown): error is Error => (error as Error).constructor === Error;

const limits = {
  retrains: [60, 2, 10_000],
  queries: [48, 1, 10_000],
  examples: [300, 8, 1_000_000],
  counterfactual: [4, 0, 1000],
} as const;

function wantedOf(flags: FidelityFlags) {
  const whole = (name: keyof typeof limits) => {
    const [usual, least, most] = limits[name];
    const value = flags[name] ?? usual;
    if (!Number.isInteger(value) || value < least || value > most)
      throw new CliError(`--${name} must be a whole number from ${least} to ${most}.`, exitCodes.usage);
    return value;
  };
  return {
    retrains: whole('retrains'),
    queries: whole('queries'),
    examples: whole('examples'),
    rounds: whole('counterfactual'),
  };
}

/** Says what is to be done, then what is: a bar, or a line for each training. */
function progress(output: Output, threads: number) {
  const view = trainView(output);
  let plan: MeasuringPlan | undefined;
  let secondsPerExample = 0;
  let began = 0;
  let learned = 0;
  let [done, all] = [0, 0];
  /** Examples that are still to be learned from, over all trainings. */
  let left = 0;
  return {
    onPlan(now: MeasuringPlan) {
      plan = now;
      for (const { trainings, done: before, examples } of Object.values(now.cost)) {
        all += trainings;
        done += before;
        left += (trainings - before) * examples;
      }
      output.say(planText(now));
    },
    onPace(secondsPerToken: number) {
      if (secondsPerExample > 0) return;
      began = Date.now();
      secondsPerExample = secondsPerToken * plan!.tokensPerExample;
      const half = duration(secondsPerExample * plan!.cost.halves.examples);
      output.say(
        `On ${threads} thread(s) a training on half takes some ${half}, all that is to be done ${duration(secondsPerExample * left)}.`,
      );
    },
    onTrained({ id, loss }: Trained) {
      const { cost } = plan!;
      const kind = id.startsWith('half')
        ? cost.halves
        : id === 'mislabelled'
          ? cost.mislabelled
          : cost.without;
      left = Math.max(0, left - kind.examples);
      learned += kind.examples;
      // From what it took, once something is known of that.
      secondsPerExample = (Date.now() - began) / 1000 / learned;
      const step = Math.min(all, ++done);
      const data = { step, total_steps: all, valid_loss: loss };
      view.event({ level: 'info', message: `Trained ${id} (${step}/${all}): loss=${loss.toFixed(3)}`, data });
      view.finish(Date.now() / 1000 + left * secondsPerExample);
    },
    end: () => view.end(),
  };
}

function planText({ cost, examples, of, queries, heldOut, steps, folder }: MeasuringPlan): string {
  const count = (value: number) => value.toLocaleString('en-US');
  const part =
    examples < of ? `${count(examples)} of its ${count(of)} examples` : `its ${count(of)} examples`;
  const { halves, mislabelled, without } = cost;
  const done = halves.done + mislabelled.done + without.done;
  const asked = `${queries} ${heldOut === 'validation' ? 'held-out answers' : 'answers that are taken out of them'}`;
  return [
    `${halves.trainings} trainings on half of ${part}, ${steps} steps each`,
    ...(mislabelled.trainings > 0 ? ['one on all of these, a fifth with wrong answers'] : []),
    ...(without.trainings > 0 ? [`${without.trainings} without some`] : []),
    `${asked} are asked about. ${done > 0 ? `${done} trainings were done before. ` : ''}What is done is kept in ${folder}.`,
  ].join('; ');
}

function shown(name: string, { methods, chosen, retrains, data, ...report }: Fidelity): string {
  const number = (value: number | undefined) => value?.toFixed(3) ?? '-';
  const range = (of: Estimate | undefined) =>
    of ? `${number(of.value)} (${number(of.low)} to ${number(of.high)})` : '-';
  const rows = methods.map(({ method, lds, overBaseline, classAuc }) => [
    method,
    range(lds),
    range(overBaseline),
    number(classAuc),
  ]);
  const lines = [
    `${name}: ${retrains} trainings on halves of ${data.examples} examples, ${data.queries} queries (95% intervals)`,
    '',
    table(['method', 'LDS', 'over bm25', 'contributor AUC'], rows),
    '',
  ];
  const { mislabelled, counterfactual } = report;
  if (mislabelled) {
    const found = Object.entries(mislabelled.auc).map(([by, value]) => `${number(value)} by ${by}`);
    lines.push(
      `${mislabelled.wrong} wrong answers of ${mislabelled.examples} are found with an AUC of ${found.join(', ')}.`,
    );
  }
  for (const [by, lost] of Object.entries(counterfactual?.methods ?? {}))
    lines.push(
      `Without its best ${counterfactual!.removed} by ${by} a query loses ${range(lost)} nats a token more than by chance.`,
    );
  lines.push(
    chosen
      ? `Answers are settled by ${chosen}.`
      : 'No method is surely better than bm25: answers are settled by spans alone.',
  );
  return lines.join('\n');
}
