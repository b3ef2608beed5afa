/**
 * The process that settles by gradients: it opens one adapter on its base, then answers a line of JSON with each answer's
 * evidence by a line of JSON. It ends with its input, and stands behind serving.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type BaseWeights, influenceIndexFile } from '../../../gateway/contract/index.ts';
import { type InfluenceMethod, type NativeTrainer, native } from '../../../native/binding/index.ts';
import { yieldToServing } from '../../../native/binding/yield.ts';
import type { ExampleScore } from '../shares/evidence.ts';
import { standOut } from '../shares/noise.ts';
import { gradientsAt, openAdapter, queryOf } from './adapter_trainer.ts';

/** What is opened, the process's argument. */
export interface Opened {
  weights: BaseWeights;
  folder: string;
  /** Content hash of the adapter. */
  adapter: string;
  method: InfluenceMethod;
  /** Tokens of the longest prompt and answer. */
  longest: number;
  /** Standard deviations of noise above which an example's score stands out. */
  deviations: number;
}

export interface Question {
  prompt: number[];
  tokens: number[];
}

/** Of an answer: how much of each token's probability the base alone would have given it, and who moved the model to it. */
export interface GradientEvidence {
  method: InfluenceMethod;
  base: number[];
  scores: ExampleScore[];
}

/** One for each token of the answer, to be learned after those before it; they share all that they begin with. */
function singles({ prompt, tokens }: Question) {
  const all = Int32Array.from([...prompt, ...tokens]);
  return tokens.map((_, i) => {
    const weights = new Float32Array(prompt.length + i + 1);
    weights[prompt.length + i] = 1;
    return { tokens: all.slice(0, prompt.length + i + 1), weights };
  });
}

async function basesOf(trainer: NativeTrainer, question: Question): Promise<number[]> {
  const each = singles(question);
  const own = await trainer.evaluate(each);
  const base = await trainer.evaluateBase(each);
  return own.map(({ loss }, i) => Math.min(1, Math.exp(loss - base[i]!.loss)));
}

async function main({ weights, folder, adapter, method, longest, deviations }: Opened): Promise<void> {
  yieldToServing();
  const index = native().openInfluenceIndex(join(folder, influenceIndexFile), adapter);
  await index.check();
  const opened = await openAdapter({ weights, folder, adapter, threads: 1, longest });
  const layout = index.info();
  for await (const line of createInterface({ input: process.stdin })) {
    const question = JSON.parse(line) as Question;
    const tokens = Int32Array.from([...question.prompt, ...question.tokens]);
    const learned = Float32Array.from(tokens, (_, i) => (i >= question.prompt.length ? 1 : 0));
    const query = await queryOf(opened, { tokens, weights: learned }, layout, gradientsAt(method));
    const evidence: GradientEvidence = {
      method,
      base: await basesOf(opened.trainer, question),
      scores: standOut(await index.scores(method, query), deviations),
    };
    process.stdout.write(`${JSON.stringify(evidence)}\n`);
  }
}

main(JSON.parse(process.argv[2]!)).then(
  () => process.exit(0),
  (error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  },
);
