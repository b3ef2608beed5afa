/** A request for a response: its fields, and what is refused because it could not be obeyed. */

import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import { lengthFields, modelField, outputFields, samplingFields } from '../http/fields.ts';
import { metadataField } from '../http/metadata.ts';
import { missing } from '../http/missing.ts';
import { type RefusedField, refuseUnsupported } from '../http/refused.ts';
import { readStructure, type Structure, structureFields } from '../http/structured.ts';
import { deeperThan } from '../schema/depth.ts';
import { maybe } from '../schema/nullable.ts';
import { inputField } from './items.ts';
import { toolFields } from './tools.ts';

const short = Type.String({ maxLength: 512 });
const deepestSchema = 64;
/** Of these only the first can occur: the others are of tools and models that are not served. */
const includable = [
  'message.output_text.logprobs',
  'reasoning.encrypted_content',
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
  'code_interpreter_call.outputs',
];
const positive = Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 });

const textField = Type.Object({
  format: maybe(
    Type.Object({
      type: Type.Enum(['text', 'json_object', 'json_schema']),
      name: maybe(short),
      description: maybe(Type.String()),
      schema: maybe(Type.Unknown()),
      strict: maybe(Type.Boolean()),
    }),
  ),
  verbosity: maybe(Type.Enum(['low', 'medium', 'high'])),
});

const { response_format: _, ...otherStructureFields } = structureFields;

/** What counting the tokens of an input needs. */
export const promptFields = {
  input: maybe(inputField),
  instructions: maybe(Type.String()),
  previous_response_id: maybe(Type.String({ maxLength: 512 })),
  truncation: maybe(Type.Enum(['auto', 'disabled'])),
  reasoning: maybe(
    Type.Object({
      effort: maybe(Type.Enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'])),
      summary: maybe(Type.Enum(['auto', 'concise', 'detailed'])),
    }),
  ),
  text: maybe(textField),
  ...toolFields,
};

const promptBody = Type.Object(promptFields);

export type PromptBody = Static<typeof promptBody>;

/** Body of a request that only counts. */
export const countBody = Type.Object({ model: maybe(modelField), ...promptFields });

export type CountBody = Static<typeof countBody>;

export const responseBody = Type.Object({
  model: modelField,
  ...promptFields,
  stream: maybe(Type.Boolean()),
  stream_options: maybe(Type.Object({ include_obfuscation: maybe(Type.Boolean()) })),
  background: maybe(Type.Boolean()),
  store: maybe(Type.Boolean()),
  include: maybe(Type.Array(Type.Enum(includable), { maxItems: 64 })),
  max_output_tokens: maybe(positive),
  max_tool_calls: maybe(positive),
  top_logprobs: maybe(Type.Integer({ minimum: 0, maximum: 20 })),
  metadata: maybe(metadataField),
  user: maybe(Type.String()),
  safety_identifier: maybe(short),
  prompt_cache_key: maybe(short),
  prompt_cache_retention: maybe(Type.Enum(['in_memory', 'in-memory', '24h'])),
  service_tier: maybe(Type.Enum(['auto', 'default', 'flex', 'scale', 'priority'])),
  ...samplingFields,
  ...lengthFields,
  ...otherStructureFields,
  cache_salt: outputFields.cache_salt,
  attribution: outputFields.attribution,
  priority: outputFields.priority,
  skip_special_tokens: outputFields.skip_special_tokens,
});

export type ResponseBody = Static<typeof responseBody>;

const given = (value: unknown) => value !== undefined && value !== null;

/** Fields of chat completions that have another name here. */
const movedFields = Object.entries({
  messages: 'input',
  max_tokens: 'max_output_tokens',
  max_completion_tokens: 'max_output_tokens',
  response_format: 'text.format',
  reasoning_effort: 'reasoning.effort',
  functions: 'tools',
  function_call: 'tool_choice',
  logprobs: "include (['message.output_text.logprobs']) and top_logprobs",
}).map(
  ([field, here]): RefusedField => [
    field,
    given,
    `'${field}' is of chat completions; in a response it is ${here}.`,
  ],
);

/** Checks that a schema cannot say. */
export function checkPrompt(body: PromptBody): void {
  refuseUnsupported(body, [
    [
      'conversation',
      given,
      'Conversations are not supported. Use previous_response_id, or send the whole input.',
    ],
    ['prompt', given, 'Prompt templates are not kept here. Send their text as instructions and input.'],
    ['context_management', given, 'context_management is not supported. Use truncation "auto".'],
    ...movedFields,
    ['n', (value) => given(value) && value !== 1, 'A response has one answer. Ask again for another.'],
    ['prompt_logprobs', given, 'prompt_logprobs are only supported by completions.'],
    ['return_token_ids', (value) => value === true, 'return_token_ids is only supported by completions.'],
  ]);
  if (!given(body.input) && !given(body.previous_response_id)) throw missing('input');
}

/** As checkPrompt, for all fields. */
export function checkResponseBody(body: ResponseBody): void {
  checkPrompt(body);
  if (body.background && body.store === false) {
    throw invalid('background', "'background' needs 'store': its response is read from the store.");
  }
}

/** The form that the answer's text must have; undefined where any will do. */
export function structureOf(body: ResponseBody): Structure | undefined {
  const format = body.text?.format;
  const also: Structure[] = [];
  if (format?.type === 'json_object') {
    also.push({ grammar: { kind: 'json', schema: { type: 'object' } }, param: 'text.format' });
  } else if (format?.type === 'json_schema') {
    if (!given(format.schema)) throw missing('text.format.schema');
    if (deeperThan(deepestSchema, format.schema)) {
      throw invalid('text.format.schema', `The schema is nested deeper than ${deepestSchema} levels.`);
    }
    also.push({ grammar: { kind: 'json', schema: format.schema }, param: 'text.format.schema' });
  }
  return readStructure(body, also);
}

function invalid(param: string, sentence: string): ColophonError {
  return new ColophonError(sentence, { param, code: 'invalid_value' });
}
