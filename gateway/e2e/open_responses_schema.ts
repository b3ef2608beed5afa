/** What Open Responses (2026-04-24) requires of responses and events, as far as a server of text and functions sends it. */
import { type TSchema, Type } from 'typebox';

const orNull = (schema: TSchema) => Type.Union([schema, Type.Null()]);
const text = Type.String();
const count = Type.Integer({ minimum: 0 });

const logprob = Type.Object({
  token: text,
  logprob: Type.Number(),
  bytes: Type.Array(Type.Integer()),
  top_logprobs: Type.Array(
    Type.Object({ token: text, logprob: Type.Number(), bytes: Type.Array(Type.Integer()) }),
  ),
});

const outputText = Type.Object({
  type: Type.Literal('output_text'),
  text,
  annotations: Type.Array(Type.Unknown(), { maxItems: 0 }),
  logprobs: Type.Array(logprob),
});

const status = Type.Enum(['in_progress', 'completed', 'incomplete']);

const message = Type.Object({
  type: Type.Literal('message'),
  id: text,
  status,
  role: Type.Enum(['user', 'assistant', 'system', 'developer']),
  content: Type.Array(outputText),
});

const functionCall = Type.Object({
  type: Type.Literal('function_call'),
  id: text,
  call_id: text,
  name: text,
  arguments: text,
  status,
});

const item = Type.Union([message, functionCall]);

const functionTool = Type.Object({
  type: Type.Literal('function'),
  name: text,
  description: orNull(text),
  parameters: orNull(Type.Record(Type.String(), Type.Unknown())),
  strict: orNull(Type.Boolean()),
});

const toolChoice = Type.Union([
  Type.Enum(['none', 'auto', 'required']),
  Type.Object({ type: Type.Literal('function'), name: text }),
  Type.Object({ type: Type.Literal('allowed_tools'), tools: Type.Array(Type.Unknown()), mode: text }),
]);

export const responseResource = Type.Object({
  id: text,
  object: Type.Literal('response'),
  created_at: count,
  completed_at: orNull(count),
  status: Type.Enum(['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled']),
  incomplete_details: orNull(Type.Object({ reason: text })),
  model: text,
  previous_response_id: orNull(text),
  instructions: orNull(text),
  output: Type.Array(item),
  error: orNull(Type.Object({ code: text, message: text })),
  tools: Type.Array(functionTool),
  tool_choice: toolChoice,
  truncation: Type.Enum(['auto', 'disabled']),
  parallel_tool_calls: Type.Boolean(),
  text: Type.Object({ format: Type.Object({ type: text }) }),
  top_p: Type.Number(),
  presence_penalty: Type.Number(),
  frequency_penalty: Type.Number(),
  top_logprobs: count,
  temperature: Type.Number(),
  reasoning: orNull(Type.Object({ effort: orNull(text), summary: orNull(text) })),
  user: orNull(text),
  usage: orNull(
    Type.Object({
      input_tokens: count,
      output_tokens: count,
      total_tokens: count,
      input_tokens_details: Type.Object({ cached_tokens: count }),
      output_tokens_details: Type.Object({ reasoning_tokens: count }),
    }),
  ),
  max_output_tokens: orNull(count),
  max_tool_calls: orNull(count),
  store: Type.Boolean(),
  background: Type.Boolean(),
  service_tier: text,
  metadata: Type.Record(Type.String(), Type.String()),
  safety_identifier: orNull(text),
  prompt_cache_key: orNull(text),
});

const ofResponse = { response: responseResource };
const ofItem = { output_index: count, item };
const ofContent = { item_id: text, output_index: count, content_index: count };
const ofCall = { item_id: text, output_index: count };

/** By type; every event has a sequence_number besides. */
export const streamingEvents: Record<string, TSchema> = Object.fromEntries(
  Object.entries({
    'response.created': ofResponse,
    'response.queued': ofResponse,
    'response.in_progress': ofResponse,
    'response.completed': ofResponse,
    'response.failed': ofResponse,
    'response.incomplete': ofResponse,
    'response.output_item.added': ofItem,
    'response.output_item.done': ofItem,
    'response.content_part.added': { ...ofContent, part: outputText },
    'response.content_part.done': { ...ofContent, part: outputText },
    'response.output_text.delta': { ...ofContent, delta: text, logprobs: Type.Array(logprob) },
    'response.output_text.done': { ...ofContent, text, logprobs: Type.Array(logprob) },
    'response.function_call_arguments.delta': { ...ofCall, delta: text },
    'response.function_call_arguments.done': { ...ofCall, arguments: text },
  }).map(([type, fields]) => [
    type,
    Type.Object({ type: Type.Literal(type), sequence_number: count, ...fields }),
  ]),
);
