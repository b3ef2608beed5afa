/** What routes answer, for the OpenAPI document. Nothing is checked against it but in tests. */
import { type TSchema, Type } from 'typebox';
import { colophonAnswer } from './attribution.ts';
import { messagesField } from './chat_messages.ts';
import { plainText } from './openapi.ts';
import { toolFields } from './tools.ts';

export const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()]);
export const integer = Type.Integer();
const ids = Type.Array(integer);

export const modelAnswer = Type.Object({
  id: Type.String(),
  object: Type.Literal('model'),
  created: Type.Integer({ description: 'Unix seconds.' }),
  owned_by: Type.String(),
  root: Type.String({ description: 'Path or source of the weights.' }),
  parent: orNull(Type.String({ description: "An adapter's base." })),
  max_model_len: integer,
  residency: Type.Optional(Type.Enum(['disk', 'loading', 'ram', 'failed'])),
  content_hash: Type.Optional(Type.String({ description: 'SHA-256, hex.' })),
});

export const modelsAnswer = Type.Object({ object: Type.Literal('list'), data: Type.Array(modelAnswer) });

const usage = Type.Object({
  prompt_tokens: integer,
  completion_tokens: integer,
  total_tokens: integer,
  prompt_tokens_details: Type.Object({ cached_tokens: integer, audio_tokens: integer }),
  completion_tokens_details: Type.Object({
    reasoning_tokens: integer,
    audio_tokens: integer,
    accepted_prediction_tokens: integer,
    rejected_prediction_tokens: integer,
  }),
});

const envelope = {
  id: Type.String(),
  created: integer,
  model: Type.String(),
  system_fingerprint: orNull(Type.String()),
  service_tier: Type.Optional(Type.String()),
};

const chatToken = {
  token: Type.String(),
  logprob: Type.Number(),
  bytes: orNull(ids),
};

const promptLogprobs = Type.Optional(
  orNull(Type.Array(orNull(Type.Record(Type.String(), Type.Object({ logprob: Type.Number() }))))),
);

const shared = {
  index: integer,
  finish_reason: orNull(Type.String({ description: 'stop, length or another reason.' })),
  stop_reason: Type.Optional(orNull(Type.Union([Type.String(), integer]))),
  token_ids: Type.Optional(orNull(ids)),
  colophon: Type.Optional(colophonAnswer),
};

const calledFunction = Type.Object({
  name: Type.String(),
  arguments: Type.String({ description: 'JSON.' }),
});

const chatFields = {
  ...envelope,
  object: Type.Literal('chat.completion'),
  choices: Type.Array(
    Type.Object({
      ...shared,
      message: Type.Object({
        role: Type.Literal('assistant'),
        content: orNull(Type.String()),
        refusal: orNull(Type.String()),
        tool_calls: Type.Optional(
          Type.Array(
            Type.Object({ id: Type.String(), type: Type.Literal('function'), function: calledFunction }),
          ),
        ),
        function_call: Type.Optional(calledFunction),
      }),
      logprobs: orNull(
        Type.Object({
          content: orNull(
            Type.Array(Type.Object({ ...chatToken, top_logprobs: Type.Array(Type.Object(chatToken)) })),
          ),
          refusal: Type.Null(),
        }),
      ),
    }),
  ),
  usage,
  prompt_token_ids: Type.Optional(ids),
  prompt_logprobs: promptLogprobs,
};

const chatAnswerJson = Type.Object(chatFields);

/** A chat completion that is kept, with what was asked for. */
export const storedChatAnswer = Type.Object({
  ...chatFields,
  request_id: Type.String(),
  seed: orNull(integer),
  temperature: Type.Number(),
  top_p: Type.Number(),
  presence_penalty: Type.Number(),
  frequency_penalty: Type.Number(),
  input_user: orNull(Type.String()),
  tools: orNull(toolFields.tools),
  tool_choice: orNull(toolFields.tool_choice),
  response_format: orNull(Type.Record(Type.String(), Type.Unknown())),
  metadata: Type.Record(Type.String(), Type.String()),
});

/** A message that was asked with; beside these it has the fields that it was sent with. */
export const storedMessageAnswer = Type.Object({
  ...messagesField.items.properties,
  id: Type.String(),
  content: orNull(Type.String({ description: 'The texts of all parts.' })),
  content_parts: orNull(Type.Array(Type.Record(Type.String(), Type.Unknown()))),
  name: orNull(Type.String()),
  refusal: orNull(Type.String()),
});

const completionAnswerJson = Type.Object({
  ...envelope,
  object: Type.Literal('text_completion'),
  choices: Type.Array(
    Type.Object({
      ...shared,
      text: Type.String(),
      logprobs: orNull(
        Type.Object({
          tokens: Type.Array(Type.String()),
          token_logprobs: Type.Array(orNull(Type.Number())),
          top_logprobs: orNull(Type.Array(orNull(Type.Record(Type.String(), Type.Number())))),
          text_offset: ids,
        }),
      ),
      prompt_token_ids: Type.Optional(ids),
      prompt_logprobs: promptLogprobs,
    }),
  ),
  usage,
});

const events = (chunk: string) =>
  plainText(`With \`stream\`: \`data: \` lines, each a ${chunk} in JSON, at last \`data: [DONE]\`.`);

export const chatAnswers = {
  'application/json': chatAnswerJson,
  'text/event-stream': events('chat.completion.chunk'),
};
export const completionAnswers = {
  'application/json': completionAnswerJson,
  'text/event-stream': events('text_completion'),
};

/** Of what DELETE took away; `object` as OpenAI names its kind. */
export const deletedAnswer = (object: string) =>
  Type.Object({ id: Type.String(), object: Type.Literal(object), deleted: Type.Literal(true) });

export const embeddingsAnswer = Type.Object({
  object: Type.Literal('list'),
  data: Type.Array(
    Type.Object({
      object: Type.Literal('embedding'),
      index: integer,
      embedding: Type.Union([Type.Array(Type.Number()), Type.String({ description: 'base64' })]),
    }),
  ),
  model: Type.String(),
  usage: Type.Object({ prompt_tokens: integer, total_tokens: integer }),
});

export const tokenizeAnswer = Type.Object({
  count: integer,
  max_model_len: integer,
  tokens: ids,
  token_strs: orNull(Type.Array(Type.String())),
});

export const detokenizeAnswer = Type.Object({ prompt: Type.String() });

export const statusAnswer = Type.Object({ status: Type.String() });
export const unavailableAnswer = Type.Object({
  status: Type.Literal('unavailable'),
  detail: Type.Optional(Type.String()),
});
export const versionAnswer = Type.Object({ version: Type.String(), contract: integer });
export const rootAnswer = Type.Object({ name: Type.String(), version: Type.String(), hint: Type.String() });
