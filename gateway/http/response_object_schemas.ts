/** What /v1/responses answers. As in response_schemas.ts. */
import { Type } from 'typebox';
import { colophonAnswer } from './attribution.ts';
import { plainText } from './openapi.ts';
import { integer, orNull } from './response_schemas.ts';

const text = Type.String();
const status = Type.Enum(['in_progress', 'completed', 'incomplete']);
const token = { token: text, logprob: Type.Number(), bytes: Type.Array(integer) };

const contentPart = Type.Union([
  Type.Object({ type: Type.Literal('input_text'), text }),
  Type.Object({
    type: Type.Literal('output_text'),
    text,
    annotations: Type.Array(Type.Unknown(), { maxItems: 0 }),
    logprobs: Type.Array(Type.Object({ ...token, top_logprobs: Type.Array(Type.Object(token)) })),
  }),
  Type.Object({ type: Type.Literal('refusal'), refusal: text }),
]);

const message = Type.Object({
  id: text,
  type: Type.Literal('message'),
  status,
  role: text,
  content: Type.Array(contentPart),
});

const functionCall = Type.Object({
  id: text,
  type: Type.Literal('function_call'),
  status,
  call_id: text,
  name: text,
  arguments: Type.String({ description: 'JSON.' }),
});

const functionCallOutput = Type.Object({
  id: text,
  type: Type.Literal('function_call_output'),
  status,
  call_id: text,
  output: Type.Union([text, Type.Array(contentPart)]),
});

export const inputItem = Type.Union([message, functionCall, functionCallOutput]);

/** In the order of what is answered. */
export const responseAnswer = Type.Object({
  id: text,
  object: Type.Literal('response'),
  created_at: Type.Integer({ description: 'Unix seconds.' }),
  status: Type.Enum(['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled']),
  background: Type.Boolean(),
  completed_at: orNull(integer),
  error: orNull(Type.Object({ code: text, message: text })),
  frequency_penalty: Type.Number(),
  incomplete_details: orNull(Type.Object({ reason: Type.Literal('max_output_tokens') })),
  instructions: orNull(text),
  max_output_tokens: orNull(integer),
  max_tool_calls: orNull(integer),
  model: text,
  output: Type.Array(Type.Union([message, functionCall])),
  parallel_tool_calls: Type.Boolean(),
  presence_penalty: Type.Number(),
  previous_response_id: orNull(text),
  prompt_cache_key: orNull(text),
  prompt_cache_retention: orNull(text),
  reasoning: Type.Object({ effort: orNull(text), summary: orNull(text) }),
  safety_identifier: orNull(text),
  service_tier: Type.Literal('default'),
  store: Type.Boolean(),
  temperature: Type.Number(),
  text: Type.Object({
    format: Type.Object({
      type: Type.Enum(['text', 'json_object', 'json_schema']),
      name: Type.Optional(text),
      description: Type.Optional(orNull(text)),
      schema: Type.Optional(Type.Unknown()),
      strict: Type.Optional(Type.Boolean()),
    }),
    verbosity: text,
  }),
  tool_choice: Type.Union([text, Type.Record(text, Type.Unknown())], { description: 'As it was asked for.' }),
  tools: Type.Array(
    Type.Object({
      type: Type.Literal('function'),
      name: text,
      description: orNull(text),
      parameters: orNull(Type.Record(text, Type.Unknown())),
      strict: Type.Boolean(),
    }),
  ),
  top_logprobs: integer,
  top_p: Type.Number(),
  truncation: Type.Enum(['auto', 'disabled']),
  usage: orNull(
    Type.Object({
      input_tokens: integer,
      input_tokens_details: Type.Object({ cached_tokens: integer, cache_write_tokens: integer }),
      output_tokens: integer,
      output_tokens_details: Type.Object({ reasoning_tokens: integer }),
      total_tokens: integer,
    }),
  ),
  user: orNull(text),
  metadata: Type.Record(text, text),
  colophon: Type.Optional(colophonAnswer),
});

/** Of a request that may ask for a stream. */
export const responseAnswers = {
  'application/json': responseAnswer,
  'text/event-stream': plainText(
    'With `stream`: events, each a line `event: ` with its type and a line `data: ` with its JSON, at last `data: [DONE]`.',
  ),
};

export const inputTokensAnswer = Type.Object({
  object: Type.Literal('response.input_tokens'),
  input_tokens: integer,
});
