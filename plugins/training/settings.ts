/** What a request asks for, and the recipe that comes of it. */
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ColophonError } from '../../gateway/contract/index.ts';
import type { Hyperparameters } from './job.ts';
import { type Recipe, recipeSchema } from './recipe.ts';
import { baseRates } from './sweep.ts';

const auto = <Schema extends ReturnType<typeof Type.Number>>(schema: Schema) =>
  Type.Optional(Type.Union([Type.Literal('auto'), schema]));

const hyperparameters = {
  n_epochs: auto(Type.Integer({ minimum: 1, maximum: 50 }) as never),
  batch_size: auto(Type.Integer({ minimum: 1, maximum: 256 }) as never),
  learning_rate_multiplier: auto(Type.Number({ exclusiveMinimum: 0, maximum: 1000 })),
};
const supervised = Type.Object(hyperparameters);
const dpo = Type.Object({ ...hyperparameters, beta: auto(Type.Number({ exclusiveMinimum: 0, maximum: 2 })) });
const nullable = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Optional(Type.Union([schema, Type.Null()]));

export const createBody = Type.Object({
  model: Type.String({ minLength: 1, maxLength: 512, description: 'The base model.' }),
  training_file: Type.String({
    minLength: 1,
    maxLength: 512,
    description: 'A file of the purpose "fine-tune".',
  }),
  validation_file: nullable(Type.String({ minLength: 1, maxLength: 512 })),
  suffix: nullable(Type.String({ minLength: 1, maxLength: 64, description: "Part of the adapter's name." })),
  seed: nullable(Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 })),
  method: nullable(
    Type.Object({
      type: Type.Enum(['supervised', 'dpo']),
      supervised: Type.Optional(Type.Object({ hyperparameters: Type.Optional(supervised) })),
      dpo: Type.Optional(Type.Object({ hyperparameters: Type.Optional(dpo) })),
    }),
  ),
  hyperparameters: nullable(supervised),
  metadata: nullable(
    Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 512 }), { maxProperties: 16 }),
  ),
  integrations: nullable(Type.Array(Type.Unknown(), { maxItems: 5 })),
  priority: nullable(
    Type.Integer({
      minimum: -1000,
      maximum: 1000,
      description:
        'Ours: of the jobs that wait, lower values go first; those of the same as they came. Default 0.',
    }),
  ),
  recipe: nullable(
    Type.Partial(recipeSchema, {
      description: 'Ours: any setting of the run by its own name, above the hyperparameters.',
    }),
  ),
});
export type CreateBody = Static<typeof createBody>;

/** What was asked for, 'auto' where nothing was. */
export function askedFor(body: CreateBody): { type: 'supervised' | 'dpo'; hyperparameters: Hyperparameters } {
  const type = body.method?.type ?? 'supervised';
  const given = (body.method?.[type]?.hyperparameters ??
    body.hyperparameters ??
    {}) as Partial<Hyperparameters>;
  return {
    type,
    hyperparameters: {
      n_epochs: given.n_epochs ?? 'auto',
      batch_size: given.batch_size ?? 'auto',
      learning_rate_multiplier: given.learning_rate_multiplier ?? 'auto',
      ...(type === 'dpo' ? { beta: given.beta ?? 'auto' } : {}),
    },
  };
}

function rateOf(type: 'supervised' | 'dpo', multiplier: 'auto' | number): 'auto' | number {
  return multiplier === 'auto' ? 'auto' : multiplier * baseRates[type];
}

/** 'auto' by the number of examples: some hundred steps at least, batches that LoRA does well with. */
export function recipeOf(body: CreateBody, examples: number, longest: number): Recipe {
  const { type, hyperparameters: asked } = askedFor(body);
  const fallback = Value.Create(recipeSchema) as Recipe;
  const chosen = <T>(value: 'auto' | T | undefined, otherwise: T) =>
    value === 'auto' || value === undefined ? otherwise : value;
  const batch = chosen(asked.batch_size, Math.min(32, Math.max(4, Math.round(examples / 50))));
  const epochs = chosen(asked.n_epochs, Math.min(10, Math.max(3, Math.ceil((100 * batch) / examples))));
  const recipe: Recipe = {
    ...fallback,
    method: type,
    epochs,
    batch_size: Math.min(batch, examples),
    learning_rate: rateOf(type, asked.learning_rate_multiplier),
    beta: chosen(asked.beta, fallback.beta),
    ...(body.seed == null ? {} : { seed: body.seed }),
    ...body.recipe,
  };
  recipe.max_tokens = Math.min(recipe.max_tokens, longest);
  if (Value.Check(recipeSchema, recipe)) return recipe;
  const [first] = Value.Errors(recipeSchema, recipe);
  throw new ColophonError(
    `The recipe is not possible: ${first?.instancePath ?? ''} ${first?.message ?? ''}.`,
    {
      param: 'recipe',
      code: 'invalid_value',
    },
  );
}
