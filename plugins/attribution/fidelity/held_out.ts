/** What of an adapter's data its fidelity is measured on: which examples are trained on again, and which are asked about. */
import type { TrainingExample } from '../../../native/binding/index.ts';
import { sample } from './random.ts';

/** With fewer, those that were held out say too little. */
const fewestHeldOut = 8;
/** Of the training examples that are taken out to be asked about, at most. */
const mostTaken = 1 / 5;
const fewestExamples = 8;

export interface Drawn {
  /** Positions in the training data, rising. */
  examples: number[];
  queries: {
    /** Held out by the training; or taken out of its data, where it held out too little. */
    from: 'validation' | 'training';
    /** Positions there, rising. */
    positions: number[];
  };
}

/** The same draw every time. `wanted`: at most. Throws a sentence where too few examples have an answer. */
export function drawn(
  training: readonly TrainingExample[],
  validation: readonly TrainingExample[],
  wanted: { examples: number; queries: number },
): Drawn {
  const heldOut = answered(validation);
  const all = answered(training);
  const some = (of: number[], most: number, seed: number) =>
    sample(of.length, Math.min(most, of.length), seed).map((at) => of[at]!);
  const isEnough = heldOut.length >= fewestHeldOut;
  const positions = isEnough
    ? some(heldOut, wanted.queries, 3000)
    : some(all, Math.min(wanted.queries, Math.floor(all.length * mostTaken)), 3000);
  const taken = new Set(isEnough ? [] : positions);
  const left = all.filter((position) => !taken.has(position));
  if (left.length < fewestExamples || positions.length === 0)
    throw new Error(
      `Only ${all.length} of its ${training.length} training examples have an answer within max_tokens: fidelity is measured on ${fewestExamples} or more, and a fifth of them to ask about.`,
    );
  return {
    examples: some(left, wanted.examples, 3001),
    queries: { from: isEnough ? 'validation' : 'training', positions },
  };
}

/** Positions of those of which something is learned. */
function answered(examples: readonly TrainingExample[]): number[] {
  return [...examples.keys()].filter((i) => answerOf(examples[i]!) < examples[i]!.tokens.length);
}

/** Where what is learned begins; its length where nothing is. */
function answerOf({ weights }: TrainingExample): number {
  const at = weights.findIndex((weight) => weight > 0);
  return at < 0 ? weights.length : at;
}

/**
 * Each example with the answer of another one, half way round or the next after that whose answer differs, and which of them have
 * another answer now: all, unless all answers are the same. No longer than `longest` tokens.
 */
export function swapped(
  examples: readonly TrainingExample[],
  longest: number,
): { swapped: TrainingExample[]; differs: boolean[] } {
  const answers = examples.map((example) => String(example.tokens.subarray(answerOf(example))));
  const others = examples.map((_, i) => {
    for (let step = 0; step < examples.length; step++) {
      const other = (i + (examples.length >> 1) + step) % examples.length;
      if (answers[other] !== answers[i]) return other;
    }
    return i;
  });
  return {
    swapped: examples.map((example, i) => joined(example, examples[others[i]!]!, longest)),
    differs: others.map((other, i) => other !== i),
  };
}

/** One example's question with another's answer. */
function joined(question: TrainingExample, answer: TrainingExample, longest: number): TrainingExample {
  const [to, from] = [answerOf(question), answerOf(answer)];
  const tokens = [...question.tokens.subarray(0, to), ...answer.tokens.subarray(from)].slice(0, longest);
  const weights = [...question.weights.subarray(0, to), ...answer.weights.subarray(from)].slice(0, longest);
  return { tokens: Int32Array.from(tokens), weights: Float32Array.from(weights) };
}
