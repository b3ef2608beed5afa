/** How an adapter is trained: every setting, what it does, and when to change it. */
import { type Static, Type } from 'typebox';

export const linearNames = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const;

export const recipeSchema = Type.Object(
  {
    method: Type.Enum(['supervised', 'dpo'], {
      default: 'supervised',
      description:
        'What is learned: answers as they are given (supervised), or to prefer one answer to another (dpo), which needs pairs.',
    }),
    epochs: Type.Integer({
      default: 3,
      minimum: 1,
      maximum: 50,
      description:
        'How often each example is seen. More for few examples; where the held-out loss rises while that of training falls, fewer.',
    }),
    batch_size: Type.Integer({
      default: 8,
      minimum: 1,
      maximum: 256,
      description:
        'Examples of one step. Smaller learns more from each example and is noisier; LoRA does badly with more than 32.',
    }),
    learning_rate: Type.Union([Type.Literal('auto'), Type.Number({ exclusiveMinimum: 0, maximum: 1 })], {
      default: 'auto',
      description:
        'How far one step goes. Too large, and the loss jumps or answers fall apart; too small, and little is learned in the time. "auto" tries a few for a few steps each and takes the one with the least held-out loss.',
    }),
    schedule: Type.Enum(['constant', 'linear', 'cosine'], {
      default: 'linear',
      description:
        'Whether the learning rate stays, or falls to nothing towards the end, which makes the last steps calmer.',
    }),
    warmup: Type.Number({
      default: 0.03,
      minimum: 0,
      maximum: 1,
      description:
        'Share of the steps in which the learning rate rises from nothing. More where the first steps make the loss jump.',
    }),
    rank: Type.Integer({
      default: 16,
      minimum: 1,
      maximum: 256,
      description:
        'How much an adapter can hold. More for much or varied data; each doubling doubles its size and little of its cost.',
    }),
    alpha: Type.Number({
      default: 32,
      exclusiveMinimum: 0,
      maximum: 4096,
      description:
        'How strongly the adapter speaks: its output is scaled by alpha / rank. Seldom changed; twice the rank is usual.',
    }),
    rslora: Type.Boolean({
      default: false,
      description:
        'Scale by alpha / sqrt(rank) instead (rsLoRA, arXiv 2312.03732), so that large ranks learn as fast as small ones.',
    }),
    targets: Type.Array(Type.Enum(linearNames), {
      default: [...linearNames],
      minItems: 1,
      uniqueItems: true,
      description:
        'Which linears are adapted. All is best; fewer make a smaller adapter. Attention alone is not made up for by rank.',
    }),
    dropout: Type.Number({
      default: 0,
      minimum: 0,
      exclusiveMaximum: 1,
      description:
        'Share of the adapters inputs that are dropped at each step, against memorising. 0.05 to 0.1 where data are few.',
    }),
    weight_decay: Type.Number({
      default: 0,
      minimum: 0,
      maximum: 1,
      description: "Pulls the adapter's values towards nothing. Seldom of use with LoRA.",
    }),
    clip: Type.Number({
      default: 1,
      exclusiveMinimum: 0,
      maximum: 1e6,
      description:
        'The largest gradient norm: longer ones are shortened to it, so that one odd example does not spoil a step.',
    }),
    beta: Type.Number({
      default: 0.1,
      exclusiveMinimum: 0,
      maximum: 2,
      description: 'Of dpo: how near the model stays to its base. Larger stays nearer.',
    }),
    seed: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 2 ** 32 - 1,
      description:
        'What chance begins with: the same seed, data and recipe give the same adapter, byte for byte.',
    }),
    evaluations: Type.Integer({
      default: 10,
      minimum: 1,
      maximum: 1000,
      description:
        'How often, over the whole run, the held-out loss is measured and a checkpoint kept. Each costs time.',
    }),
    patience: Type.Integer({
      default: 3,
      minimum: 0,
      maximum: 1000,
      description:
        'Evaluations in a row without a better held-out loss after which training stops; 0 never stops it. The best checkpoint is what is kept.',
    }),
    influence_checkpoints: Type.Integer({
      default: 3,
      minimum: 0,
      maximum: 3,
      description:
        'At how many of its checkpoints the gradient of each example is kept (influence.index), by which answers are attributed; 0 keeps nothing. Each costs about an epoch and, but for the last, the size of the adapter; three foretell better than one who taught an answer.',
    }),
    max_tokens: Type.Integer({
      default: 1024,
      minimum: 2,
      maximum: 2 ** 20,
      description: 'Longest example; longer ones are cut at their end. Longer costs memory.',
    }),
  },
  { additionalProperties: false },
);

export type Recipe = Static<typeof recipeSchema>;

/** What an adapted linear's output is multiplied with. */
export function scalingOf({ alpha, rank, rslora }: Pick<Recipe, 'alpha' | 'rank' | 'rslora'>): number {
  return alpha / (rslora ? Math.sqrt(rank) : rank);
}
