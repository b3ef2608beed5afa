/** Request fields that chat completions and completions share: OpenAI's and vLLM's. Null means absent. */

import { type Static, Type } from 'typebox';
import { maybe } from '../schema/nullable.ts';
import { attributionField } from './attribution.ts';
import { metadataField } from './metadata.ts';

const int32 = 2 ** 31 - 1;

export const modelField = Type.String({
  minLength: 1,
  maxLength: 512,
  description: 'Name of a base model or an adapter.',
});

export const tokenId = Type.Integer({ minimum: 0, maximum: int32 });

const stopString = Type.String({ minLength: 1, maxLength: 4096 });

export const samplingFields = {
  temperature: maybe(Type.Number({ minimum: 0, maximum: 2, description: '0 is greedy; default 1.' })),
  top_p: maybe(Type.Number({ minimum: 0, maximum: 1 })),
  top_k: maybe(Type.Integer({ minimum: -1, maximum: int32, description: '-1 or 0: all tokens.' })),
  min_p: maybe(Type.Number({ minimum: 0, maximum: 1 })),
  repetition_penalty: maybe(Type.Number({ exclusiveMinimum: 0, maximum: 100 })),
  presence_penalty: maybe(Type.Number({ minimum: -2, maximum: 2 })),
  frequency_penalty: maybe(Type.Number({ minimum: -2, maximum: 2 })),
  logit_bias: maybe(Type.Record(Type.String(), Type.Number({ minimum: -100, maximum: 100 }))),
  // 64 bits; JSON numbers beyond 2^53 are read rounded, as JavaScript reads them, which is the same on every call.
  seed: maybe(Type.Integer({ minimum: -(2 ** 63), maximum: 2 ** 63 })),
};

export const lengthFields = {
  min_tokens: maybe(Type.Integer({ minimum: 0, maximum: int32 })),
  ignore_eos: maybe(Type.Boolean({ description: 'Go on past the end token.' })),
  stop: maybe(Type.Union([stopString, Type.Array(stopString, { maxItems: 64 })])),
  stop_token_ids: maybe(Type.Array(tokenId, { maxItems: 1024 })),
  include_stop_str_in_output: maybe(Type.Boolean()),
};

export const outputFields = {
  n: maybe(Type.Integer({ minimum: 1, maximum: 128 })),
  stream: maybe(Type.Boolean()),
  stream_options: maybe(
    Type.Object({ include_usage: maybe(Type.Boolean()), continuous_usage_stats: maybe(Type.Boolean()) }),
  ),
  prompt_logprobs: maybe(Type.Integer({ minimum: 0, maximum: 20 })),
  return_token_ids: maybe(Type.Boolean()),
  return_tokens_as_token_ids: maybe(Type.Boolean()),
  skip_special_tokens: maybe(Type.Boolean()),
  spaces_between_special_tokens: maybe(Type.Boolean()),
  attribution: attributionField,
  cache_salt: maybe(Type.String({ minLength: 1, maxLength: 1024 })),
  priority: maybe(Type.Integer({ minimum: -int32 - 1, maximum: int32, description: 'Lower values first.' })),
};

/** Accepted and without effect on the answer. */
export const ignoredFields = {
  user: maybe(Type.String()),
  metadata: maybe(metadataField),
  store: maybe(Type.Boolean()),
  service_tier: maybe(Type.String()),
};

const shared = Type.Object({
  model: modelField,
  ...samplingFields,
  ...lengthFields,
  ...outputFields,
  ...ignoredFields,
});

/** What both kinds of request have. */
export type SharedFields = Static<typeof shared>;
