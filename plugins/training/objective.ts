/** What is learned, behind one shape: answers, or preferences. */
import type { NativeTrainer, PreferencePair, TrainingExample } from '../../native/binding/index.ts';
import type { Recipe } from './recipe.ts';

/** Mean loss (nats) and accuracy over some items: of tokens, those that were the likeliest; of pairs, those that are ranked right. */
export interface Measured {
  loss: number;
  accuracy: number;
}

export interface Stepped extends Measured {
  gradientNorm: number;
  /** That were computed. */
  tokens: number;
}

export interface StepSettings {
  learningRate: number;
  clip: number;
  dropout: number;
  seed: number;
  firstExample: number;
}

export interface Objective<Item> {
  step(items: Item[], settings: StepSettings): Promise<Stepped>;
  evaluate(items: Item[]): Promise<Measured>;
}

/** Examples that are evaluated in one call: a call cannot be ended in its middle. */
const evaluatedAtOnce = 64;

export function answers(trainer: NativeTrainer): Objective<TrainingExample> {
  const measured = (
    losses: Array<{ loss: number; weight: number; targets: number; greedy: number }>,
  ): Measured => {
    const sum = { loss: 0, weight: 0, targets: 0, greedy: 0 };
    for (const of of losses)
      for (const key of ['loss', 'weight', 'targets', 'greedy'] as const) sum[key] += of[key];
    return { loss: sum.loss / sum.weight, accuracy: sum.greedy / sum.targets };
  };
  return {
    async step(items, settings) {
      const { losses, gradientNorm } = await trainer.step(items, settings);
      const tokens = items.reduce((sum, { tokens }) => sum + tokens.length, 0);
      return { ...measured(losses), gradientNorm, tokens };
    },
    async evaluate(items) {
      const losses = [];
      for (let at = 0; at < items.length; at += evaluatedAtOnce)
        losses.push(...(await trainer.evaluate(items.slice(at, at + evaluatedAtOnce))));
      return measured(losses);
    },
  };
}

export function preferences(
  trainer: NativeTrainer,
  { beta }: Pick<Recipe, 'beta'>,
): Objective<PreferencePair> {
  return {
    async step(pairs, settings) {
      const { loss, ranked, gradientNorm } = await trainer.prefer(pairs, beta, settings);
      const tokens = pairs.reduce(
        (sum, { preferred, other }) => sum + preferred.tokens.length + other.tokens.length,
        0,
      );
      return { loss, accuracy: ranked / pairs.length, gradientNorm, tokens };
    },
    async evaluate(pairs) {
      const sum = { loss: 0, ranked: 0 };
      for (let at = 0; at < pairs.length; at += evaluatedAtOnce) {
        const some = pairs.slice(at, at + evaluatedAtOnce);
        const { loss, ranked } = await trainer.compare(some, beta);
        sum.loss += loss * some.length;
        sum.ranked += ranked;
      }
      return { loss: sum.loss / pairs.length, accuracy: sum.ranked / pairs.length };
    },
  };
}
