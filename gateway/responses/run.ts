/** One response, from its request to its last event. HTTP and sockets share it; neither is known here. */
import type { Caller } from '../access/callers.ts';
import { ColophonError } from '../contract/index.ts';
import { Cancelled, type ChoiceUsage, runChoice } from '../http/choice.ts';
import { publicError } from '../http/errors.ts';
import { chatLogprobs } from '../http/logprobs.ts';
import type { Services } from '../http/services.ts';
import type { Emit, ResponseObject, ResponseUsage } from './events.ts';
import { numbered, Output } from './output.ts';
import { type PreparedResponse, type PrepareOptions, prepareResponse } from './prepare.ts';
import type { ResponseBody } from './request.ts';
import { type KeptResponse, keep } from './state.ts';

/** What became of a response: completed, incomplete or failed. */
export interface EndedResponse extends KeptResponse {
  /** Why it failed. */
  error?: ColophonError;
}

/**
 * Runs a request and emits the events of its response, the first with the first step of the model. Until then it throws
 * ColophonError for what is wrong; after it a failure is the event `response.failed`. A response that is to be stored is
 * stored before its last event. Throws Cancelled where `signal` fires; where its reason is a ColophonError, that is a failure.
 */
export async function runResponse(
  services: Services,
  caller: Caller,
  body: ResponseBody,
  signal: AbortSignal,
  emit: Emit,
  options: PrepareOptions = {},
): Promise<EndedResponse> {
  const prepared = await prepareResponse(services, caller, body, options);
  return runPrepared(services, caller, prepared, signal, emit);
}

/** The same for a request that was prepared. */
export async function runPrepared(
  services: Services,
  caller: Caller,
  prepared: PreparedResponse,
  signal: AbortSignal,
  emit: Emit,
): Promise<EndedResponse> {
  const { choice, served, input } = prepared;
  const event = numbered(emit);
  const output = new Output(prepared.ids, event);
  const naming = { text: served.text, asIds: false };
  let begun = false;
  const begin = () => {
    if (begun) return;
    begun = true;
    event('response.created', { response: prepared.response });
    event('response.in_progress', { response: prepared.response });
  };
  const end = (type: string, changed: Partial<ResponseObject>, error?: ColophonError): EndedResponse => {
    const response: ResponseObject = { ...prepared.response, ...changed, output: output.items };
    const kept = { response, input };
    if (response.store) keep(services.store, caller.tenant, kept);
    event(type, { response });
    return { ...kept, ...(error ? { error } : {}) };
  };

  const meter = services.metrics.generation(choice.adapter ? 'adapter' : 'base');
  let finish: 'stop' | 'length' | undefined;
  let usage: ChoiceUsage | undefined;
  try {
    await runChoice(choice, signal, meter, (step) => {
      begin();
      usage = step.usage;
      const logprobs =
        choice.generate.logprobs === undefined ? [] : chatLogprobs(naming, step.ids, step.logprobs).content;
      if (step.text !== '' || logprobs.length > 0) output.text(step.text, logprobs);
      if (step.finish) finish = step.finish;
    });
  } catch (thrown) {
    const error = signal.reason instanceof ColophonError ? signal.reason : thrown;
    if (error instanceof Cancelled || !begun) throw error;
    const shown = publicError(error);
    if (shown.status >= 500)
      services.log.error({ err: error, response: prepared.response.id }, shown.message);
    output.end('incomplete');
    const failed = { code: codeOf(shown), message: shown.message };
    return end('response.failed', { status: 'failed', error: failed, usage: usageOf(usage) }, shown);
  }
  const cut = finish === 'length';
  output.end(cut ? 'incomplete' : 'completed');
  return cut
    ? end('response.incomplete', {
        status: 'incomplete',
        incomplete_details: { reason: 'max_output_tokens' },
        usage: usageOf(usage),
      })
    : end('response.completed', { status: 'completed', completed_at: now(), usage: usageOf(usage) });
}

/** OpenAI's few codes of failed responses. */
function codeOf(error: ColophonError): string {
  if (error.status === 429) return 'rate_limit_exceeded';
  return error.status >= 500 ? 'server_error' : 'invalid_prompt';
}

function usageOf(usage: ChoiceUsage | undefined): ResponseUsage | null {
  if (!usage) return null;
  return {
    input_tokens: usage.promptTokens,
    input_tokens_details: { cached_tokens: usage.cachedTokens, cache_write_tokens: 0 },
    output_tokens: usage.completionTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: usage.promptTokens + usage.completionTokens,
  };
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
