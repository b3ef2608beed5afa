/** /v1/chat/completions: from OpenAI's JSON to choices that can run. */
import { type Static, Type } from 'typebox';
import type { Caller } from '../access/callers.ts';
import { ColophonError } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import type { ChatMessage, ChatTemplateOptions, SpecialReading } from '../text/text_model.ts';
import type { Served } from './catalogue.ts';
import type { ChoiceRequest } from './choice.ts';
import { ignoredFields, lengthFields, modelField, outputFields, samplingFields } from './fields.ts';
import { leastTokens } from './least_tokens.ts';
import { refuseUnsupported } from './refused.ts';
import { checkShared, choicesOf } from './shared_request.ts';
import { readStructure, structureFields } from './structured.ts';
import { refuseHopeless, tokenBudget } from './token_budget.ts';

const part = Type.Object({ type: Type.String(), text: Type.Optional(Type.String()) });

export const messagesField = Type.Array(
  Type.Object({
    role: Type.Enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
    content: Type.Optional(Type.Union([Type.String(), Type.Array(part, { minItems: 1 }), Type.Null()])),
    name: maybe(Type.String()),
    tool_call_id: maybe(Type.String()),
  }),
  { minItems: 1 },
);

export const templateFields = {
  add_generation_prompt: maybe(Type.Boolean()),
  continue_final_message: maybe(Type.Boolean()),
  chat_template_kwargs: maybe(Type.Record(Type.String(), Type.Unknown())),
};

export const chatBody = Type.Object({
  model: modelField,
  messages: messagesField,
  max_tokens: maybe(Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 })),
  max_completion_tokens: maybe(Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 })),
  logprobs: maybe(Type.Boolean()),
  top_logprobs: maybe(Type.Integer({ minimum: 0, maximum: 20 })),
  ...samplingFields,
  ...lengthFields,
  ...outputFields,
  ...structureFields,
  ...ignoredFields,
  ...templateFields,
});

export type ChatBody = Static<typeof chatBody>;

export interface ChatRequest {
  prompt: number[];
  choices: ChoiceRequest[];
}

export async function readChatRequest(
  body: ChatBody,
  served: Served,
  special: SpecialReading,
  caller: Caller,
): Promise<ChatRequest> {
  refuseUnsupported(body, [
    ['echo', (value) => value === true, 'echo is only supported by /v1/completions.'],
  ]);
  const structure = readStructure(body);
  const asked = body.max_completion_tokens ?? body.max_tokens ?? undefined;
  checkShared(body, asked, caller);
  if (body.top_logprobs && !body.logprobs) {
    throw new ColophonError("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", {
      param: 'top_logprobs',
      code: 'invalid_value',
    });
  }
  const least = leastTokens(served.text, contentBytes(body.messages));
  refuseHopeless(least, served.card.maxModelLength, 'messages');
  const prompt = await served.encoder.encodeChat(readMessages(body.messages), {
    special,
    ...templateOptions(body),
  });
  const maxTokens = tokenBudget({
    promptTokens: prompt.length,
    asked,
    context: served.card.maxModelLength,
    param: 'messages',
  });
  const choices = choicesOf(body, served, prompt, {
    caller,
    maxTokens,
    logprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
    promptLogprobs: body.prompt_logprobs ?? undefined,
    structure,
  });
  return { prompt, choices };
}

/** What a body says about how its messages become text. */
export function templateOptions(
  body: Pick<ChatBody, 'add_generation_prompt' | 'continue_final_message' | 'chat_template_kwargs'>,
): ChatTemplateOptions {
  return {
    continueFinalMessage: body.continue_final_message ?? false,
    ...(body.add_generation_prompt === null || body.add_generation_prompt === undefined
      ? {}
      : { addGenerationPrompt: body.add_generation_prompt }),
    ...(body.chat_template_kwargs ? { templateArguments: templateArguments(body.chat_template_kwargs) } : {}),
  };
}

function contentBytes(messages: ChatBody['messages']): number {
  let bytes = 0;
  for (const { content } of messages) {
    if (typeof content === 'string') bytes += Buffer.byteLength(content);
    else for (const piece of content ?? []) bytes += Buffer.byteLength(piece.text ?? '');
  }
  return bytes;
}

/** Templates know no "developer"; for them it is the system, which it replaced. */
export function readMessages(messages: ChatBody['messages']): ChatMessage[] {
  return messages.map((message, index) => {
    const calls = (message as { tool_calls?: unknown }).tool_calls;
    if (Array.isArray(calls) && calls.length > 0) {
      const param = `messages[${index}].tool_calls`;
      throw new ColophonError('Tool calls in messages are not supported yet.', {
        param,
        code: 'unsupported_parameter',
      });
    }
    const param = `messages[${index}].content`;
    if (message.content === undefined || message.content === null) {
      throw new ColophonError(`Missing required parameter: '${param}'.`, {
        param,
        code: 'missing_required_parameter',
      });
    }
    return { ...message, role: message.role === 'developer' ? 'system' : message.role } as ChatMessage;
  });
}

/** Variables of the template's own; what the request's other fields say cannot be said twice. */
function templateArguments(given: Record<string, unknown>): Record<string, unknown> {
  for (const name of ['messages', 'tools', 'add_generation_prompt', 'raise_exception']) {
    if (Object.hasOwn(given, name)) {
      throw new ColophonError(`'chat_template_kwargs' cannot set '${name}'.`, {
        param: `chat_template_kwargs.${name}`,
        code: 'invalid_value',
      });
    }
  }
  return given;
}
