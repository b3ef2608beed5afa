/** Fields that would change the answer and that this server does not know how to obey: refused, never ignored. */
import { ColophonError } from '../contract/index.ts';

type Body = Record<string, unknown>;
/** What asks for it, and why it is refused. */
export type RefusedField = [field: string, asksForIt: (value: unknown, body: Body) => boolean, why: string];

const given = (value: unknown) => value !== undefined && value !== null;
const yes = (value: unknown) => value === true;
const nonEmpty = (value: unknown) =>
  given(value) && value !== '' && !(Array.isArray(value) && value.length === 0);
const nonEmptyObject = (value: unknown) =>
  typeof value === 'object' && value !== null && Object.keys(value).length > 0;

const rules: RefusedField[] = [
  [
    'best_of',
    (value, body) => given(value) && value !== (body.n ?? 1),
    'best_of is not supported: every generated choice is returned. Use n alone.',
  ],
  [
    'suffix',
    nonEmpty,
    'suffix is not supported: the models served here continue text, they do not fill gaps.',
  ],
  ['use_beam_search', yes, 'Beam search is not supported.'],
  ['prompt_embeds', nonEmpty, 'Prompts as embeddings are not supported.'],
  ['truncate_prompt_tokens', given, 'Prompts are never truncated. Shorten the prompt instead.'],
  ['allowed_token_ids', nonEmpty, 'allowed_token_ids is not supported yet.'],
  ['bad_words', nonEmpty, 'bad_words is not supported; use logit_bias.'],
  ['logprob_token_ids', nonEmpty, 'logprob_token_ids is not supported.'],
  ['chat_template', given, "The chat template is the model's own; a request cannot bring another."],
  ['documents', nonEmpty, 'documents are not supported; put their text into a message.'],
  [
    'modalities',
    (value) => Array.isArray(value) && value.some((item) => item !== 'text'),
    'Only the modality "text" is supported.',
  ],
  ['audio', given, 'Audio is not supported.'],
  ['web_search_options', given, 'Web search is not supported.'],
  ['moderation', given, 'Moderation is not supported.'],
  ['thinking_token_budget', given, 'thinking_token_budget is not supported; use max_completion_tokens.'],
  [
    'length_penalty',
    (value) => given(value) && value !== 1,
    'length_penalty is for beam search, which is not supported.',
  ],
  ['logits_processors', nonEmpty, 'logits_processors are not supported.'],
  ['repetition_detection', given, 'repetition_detection is not supported; use repetition_penalty.'],
  ['watermarking', yes, 'Watermarking is not supported.'],
  ['return_prompt_text', yes, 'return_prompt_text is not supported; use return_token_ids and /detokenize.'],
  [
    'mm_processor_kwargs',
    nonEmptyObject,
    'mm_processor_kwargs are for images and audio, which are not supported.',
  ],
  ['media_io_kwargs', nonEmptyObject, 'media_io_kwargs are for images and audio, which are not supported.'],
  ['kv_transfer_params', given, 'kv_transfer_params are not supported.'],
  ['ec_transfer_params', given, 'ec_transfer_params are not supported.'],
  ['vllm_xargs', nonEmptyObject, 'vllm_xargs are for extensions of vLLM.'],
];

/** What is of prompts. */
export const refusedInChats: RefusedField[] = [
  ['echo', yes, 'echo is only supported by /v1/completions.'],
  ['add_special_tokens', yes, 'The chat template says which special tokens there are.'],
];

/** Tools are of chats. */
export const refusedInCompletions: RefusedField[] = ['tools', 'functions'].map((field) => [
  field,
  nonEmpty,
  `'${field}' are only supported by /v1/chat/completions and /v1/responses.`,
]);

const ruleOf = new Map(rules.map((rule) => [rule[0], rule]));

/** Throws for the first field of the body that asks for what is not there. */
export function refuseUnsupported(body: object, also: readonly RefusedField[] = []): void {
  const fields = body as Body;
  // Bodies have few fields, and there are many rules.
  for (const field in fields) refuse(ruleOf.get(field), fields);
  for (const rule of also) refuse(rule, fields);
}

function refuse(rule: RefusedField | undefined, fields: Body): void {
  if (rule?.[1](fields[rule[0]], fields))
    throw new ColophonError(rule[2], { param: rule[0], code: 'unsupported_parameter' });
}
