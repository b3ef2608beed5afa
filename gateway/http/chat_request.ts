/** /v1/chat/completions: from OpenAI's JSON to choices that can run. */
import { type Static, Type } from 'typebox';
import type { Caller } from '../access/callers.ts';
import { ColophonError } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import type { ChatMessage, ChatTemplateOptions, SpecialReading } from '../text/text_model.ts';
import type { Served } from './catalogue.ts';
import { contentBytes, messagesField, readMessages } from './chat_messages.ts';
import type { ChoiceRequest } from './choice.ts';
import { ignoredFields, lengthFields, modelField, outputFields, samplingFields } from './fields.ts';
import { leastTokens } from './least_tokens.ts';
import { refusedInChats, refuseUnsupported } from './refused.ts';
import { checkShared, choicesOf } from './shared_request.ts';
import { readStructure, structureFields } from './structured.ts';
import { refuseHopeless, tokenBudget } from './token_budget.ts';
import { readTools, structureWithTools, type ToolRequest, toolFields } from './tools.ts';

export const templateFields = {
  add_generation_prompt: maybe(Type.Boolean()),
  continue_final_message: maybe(Type.Boolean()),
  chat_template_kwargs: maybe(Type.Record(Type.String(), Type.Unknown())),
};

const predicted = Type.Union([
  Type.String(),
  Type.Array(Type.Object({ type: Type.Enum(['text']), text: Type.String() })),
]);

/** Checked, and without effect: hints for models and services that there are not here. */
const hintFields = {
  modalities: maybe(Type.Array(Type.String())),
  prediction: maybe(Type.Object({ type: Type.Enum(['content']), content: predicted })),
  reasoning_effort: maybe(Type.Enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'])),
  verbosity: maybe(Type.Enum(['low', 'medium', 'high'])),
  safety_identifier: maybe(Type.String()),
  prompt_cache_key: maybe(Type.String()),
  prompt_cache_retention: maybe(Type.String()),
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
  ...toolFields,
  ...ignoredFields,
  ...templateFields,
  ...hintFields,
});

export type ChatBody = Static<typeof chatBody>;

export interface ChatRequest {
  prompt: number[];
  choices: ChoiceRequest[];
  tools: ToolRequest;
}

export async function readChatRequest(
  body: ChatBody,
  served: Served,
  special: SpecialReading,
  caller: Caller,
): Promise<ChatRequest> {
  refuseUnsupported(body, refusedInChats);
  const tools = readTools(body, served);
  const structure = structureWithTools(tools, readStructure(body), body);
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
  const { messages, options } = templated(body, tools);
  const prompt = await served.encoder.encodeChat(messages, { special, ...options });
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
  return {
    prompt,
    choices: tools.use.active ? choices.map((choice) => readable(choice, tools)) : choices,
    tools,
  };
}

/** Messages, and what else the chat template gets. */
export function templated(
  body: Pick<ChatBody, 'messages' | keyof typeof templateFields>,
  { use }: ToolRequest,
): { messages: ChatMessage[]; options: ChatTemplateOptions } {
  const tools = use.templateTools();
  return {
    messages: use.messages(readMessages(body.messages)),
    options: { ...templateOptions(body), ...(tools.length > 0 ? { tools } : {}) },
  };
}

/** With what begins a call in its text, where that is a special token. */
function readable(choice: ChoiceRequest, { use }: ToolRequest): ChoiceRequest {
  return choice.text.isSpecial(use.marker) ? { ...choice, skipSpecial: false } : choice;
}

/** What a body says about how its messages become text. */
function templateOptions(
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
