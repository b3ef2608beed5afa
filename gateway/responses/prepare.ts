/** From a checked body to a generation that can run, and the response as it is before it does. */
import type { Caller } from '../access/callers.ts';
import { ColophonError } from '../contract/index.ts';
import { followChoices, type ShownAttribution } from '../http/attribution.ts';
import type { Served } from '../http/catalogue.ts';
import type { ChoiceRequest } from '../http/choice.ts';
import { type Metered, meterChoices } from '../http/metered.ts';
import type { Services } from '../http/services.ts';
import { checkShared, choicesOf } from '../http/shared_request.ts';
import { tokenBudget } from '../http/token_budget.ts';
import { structureWithTools } from '../http/tools.ts';
import type { ToolUse } from '../text/tools/index.ts';
import type { ResponseObject } from './events.ts';
import { ItemIds, newResponseId } from './ids.ts';
import { type Item, readInput } from './items.ts';
import { makePrompt, type Prompt } from './prompt.ts';
import {
  type CountBody,
  checkPrompt,
  checkResponseBody,
  type PromptBody,
  type ResponseBody,
  structureOf,
} from './request.ts';
import { chainOf, type FindResponse, keptBy, recallFrom } from './state.ts';
import { readTools, toolsJson } from './tools.ts';

export interface PreparedResponse {
  /** In progress, without output. */
  response: ResponseObject;
  served: Served;
  choice: ChoiceRequest;
  /** What the model is given, for those who go on from this response. */
  input: Item[];
  tools: ToolUse;
  /** For the items of the output. */
  ids: ItemIds;
  /** What it is recorded in. */
  metered: Metered | undefined;
  /** What its answer shows of who taught it. */
  attribution: ShownAttribution | null | undefined;
}

export interface PrepareOptions {
  /** Where previous responses and items are looked for; default: the caller's stored ones. */
  find?: FindResponse;
}

/** Tokens that a cut prompt leaves for an answer of no given length. */
const usualReserve = 1024;

/** Throws ColophonError: nothing has been generated or emitted by then. */
export async function prepareResponse(
  services: Services,
  caller: Caller,
  body: ResponseBody,
  options: PrepareOptions = {},
): Promise<PreparedResponse> {
  checkResponseBody(body);
  const shared = { ...body, n: 1, stream_options: undefined, stream: false };
  const asked = body.max_output_tokens ?? undefined;
  checkShared(shared, asked, caller);
  const served = await services.catalogue.find(body.model);
  const tools = readTools(body, served);
  const structure = structureWithTools({ use: tools, legacy: false }, structureOf(body), body);
  const id = newResponseId();
  const ids = new ItemIds(id);
  const context = served.card.maxModelLength;
  const prompt = await readPrompt(services, served, body, {
    tools,
    ids,
    find: options.find ?? keptBy(services.store, caller.tenant),
    reserve: asked ?? Math.min(usualReserve, context >> 2),
  });
  const maxTokens = tokenBudget({ promptTokens: prompt.tokens.length, asked, context, param: 'input' });
  const [choice] = choicesOf(shared, served, prompt.tokens, {
    caller,
    maxTokens,
    logprobs: wantsLogprobs(body) ? (body.top_logprobs ?? 0) : undefined,
    promptLogprobs: undefined,
    structure,
  });
  followChoices(services, id, caller.tenant, served, [choice!], body.attribution);
  const metered = meterChoices(services, id, caller, served, [choice!]);
  // What begins a call is looked for in the text.
  if (tools.active && served.text.isSpecial(tools.marker)) choice!.skipSpecial = false;
  return {
    response: responseOf(id, body),
    served,
    choice: choice!,
    input: prompt.items,
    tools,
    ids,
    metered,
    attribution: body.attribution,
  };
}

/** How many tokens an input would be. Throws ColophonError as a response of it would. */
export async function countInput(services: Services, caller: Caller, body: CountBody): Promise<number> {
  checkPrompt(body);
  const served = await services.catalogue.findOrFirst(body.model);
  const prompt = await readPrompt(services, served, body, {
    tools: readTools(body, served),
    ids: new ItemIds(newResponseId()),
    find: keptBy(services.store, caller.tenant),
    reserve: 1,
  });
  return prompt.tokens.length;
}

async function readPrompt(
  services: Services,
  served: Served,
  body: PromptBody,
  options: { tools: ToolUse; ids: ItemIds; find: FindResponse; reserve: number },
): Promise<Prompt> {
  const { tools, ids, find, reserve } = options;
  const chain = chainOf(find, body.previous_response_id);
  const items = [...chain, ...readInput(body.input ?? [], ids, recallFrom(chain, find))];
  if (items.length === 0) {
    throw new ColophonError("'input' is empty. Give a text, or at least one item.", {
      param: 'input',
      code: 'empty_array',
    });
  }
  checkCalls(items);
  return makePrompt({
    served,
    special: services.config.text.special_tokens_in_content,
    instructions: body.instructions,
    items,
    tools,
    truncate: body.truncation === 'auto',
    reserve,
  });
}

/** Every result answers a call before it, and every call has its result, as OpenAI demands it. */
function checkCalls(items: readonly Item[]): void {
  const open = new Set<string>();
  const known = new Set<string>();
  for (const item of items) {
    if (item.type === 'function_call') {
      open.add(item.call_id);
      known.add(item.call_id);
    } else if (item.type === 'function_call_output') {
      if (!known.has(item.call_id)) {
        throw wrongCall(
          `No tool call found for function call output with call_id ${item.call_id.slice(0, 100)}.`,
        );
      }
      open.delete(item.call_id);
    }
  }
  const [unanswered] = open;
  if (unanswered !== undefined) {
    throw wrongCall(`No tool output found for function call ${unanswered.slice(0, 100)}.`);
  }
}

function wrongCall(sentence: string): ColophonError {
  return new ColophonError(sentence, { param: 'input', code: 'invalid_value' });
}

function wantsLogprobs(body: ResponseBody): boolean {
  return (body.top_logprobs ?? 0) > 0 || (body.include ?? []).includes('message.output_text.logprobs');
}

/** In the order that OpenAI has; fields that the request left out have the values that hold then. */
function responseOf(id: string, body: ResponseBody): ResponseObject {
  const format = body.text?.format ?? { type: 'text' };
  return {
    id,
    object: 'response',
    created_at: Math.floor(Date.now() / 1000),
    status: 'in_progress',
    background: body.background ?? false,
    completed_at: null,
    error: null,
    frequency_penalty: body.frequency_penalty ?? 0,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    model: body.model,
    output: [],
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    presence_penalty: body.presence_penalty ?? 0,
    previous_response_id: body.previous_response_id ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    prompt_cache_retention: body.prompt_cache_retention ?? null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: body.reasoning?.summary ?? null },
    safety_identifier: body.safety_identifier ?? null,
    service_tier: 'default',
    store: body.store ?? true,
    temperature: body.temperature ?? 1,
    text: {
      format:
        format.type === 'json_schema'
          ? {
              ...format,
              name: format.name ?? 'answer',
              description: format.description ?? null,
              strict: format.strict ?? false,
            }
          : { type: format.type },
      verbosity: body.text?.verbosity ?? 'medium',
    },
    tool_choice: body.tool_choice ?? 'auto',
    tools: toolsJson(body),
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? 1,
    truncation: body.truncation ?? 'disabled',
    usage: null,
    user: body.user ?? null,
    metadata: body.metadata ?? {},
  };
}
