/** One response, from its request to its last event. HTTP and sockets share it; neither is known here. */
import type { Caller } from '../access/callers.ts';
import { ColophonError, type Followed } from '../contract/index.ts';
import { colophonOf } from '../http/attribution.ts';
import { Cancelled, type ChoiceUsage } from '../http/choice.ts';
import { publicError } from '../http/errors.ts';
import { runLimited } from '../http/limited_choice.ts';
import { chatLogprobs } from '../http/logprobs.ts';
import type { Services } from '../http/services.ts';
import { AnswerReader } from './answer_reader.ts';
import type { Emit, ResponseObject, ResponseUsage } from './events.ts';
import { numbered, Output } from './output.ts';
import type { PreparedResponse } from './prepare.ts';
import { type KeptResponse, keep } from './state.ts';

/** What became of a response: completed, incomplete, failed or, in the background, cancelled. */
export interface EndedResponse extends KeptResponse {
  /** Why it failed. */
  error?: ColophonError;
}

/** Reason of a signal: the caller wants no more of the response, but what there is of it. */
export class ResponseCancelled extends Error {}

/**
 * Runs a prepared request and emits the events of its response, the first with the first step of the model. Until then it throws
 * ColophonError for what is wrong; after it a failure is the event `response.failed`. A response that is to be stored is
 * stored before its last event. Throws Cancelled where `signal` fires; where its reason is a ColophonError, that is a failure.
 * A background one begins at once, as queued, and is never left without an end.
 */
export async function runResponse(
  services: Services,
  caller: Caller,
  prepared: PreparedResponse,
  signal: AbortSignal,
  emit: Emit,
): Promise<EndedResponse> {
  const { choice, served, input, response: begun } = prepared;
  const { background } = begun;
  const event = numbered(emit);
  const output = new Output(prepared.ids, event);
  const answer = new AnswerReader(output, prepared.tools);
  const naming = { text: served.text, asIds: false };

  let state: 'prepared' | 'queued' | 'in_progress' = 'prepared';
  const enqueue = () => {
    state = 'queued';
    const response: ResponseObject = { ...begun, status: 'queued' };
    keep(services, caller.tenant, { response, input });
    event('response.created', { response });
    event('response.queued', { response });
  };
  const begin = () => {
    if (state === 'in_progress') return;
    if (state === 'prepared') event('response.created', { response: begun });
    else keep(services, caller.tenant, { response: begun, input });
    state = 'in_progress';
    event('response.in_progress', { response: begun });
  };
  const end = (status: ResponseObject['status'], changed: Partial<ResponseObject>): KeptResponse => {
    const response: ResponseObject = {
      ...begun,
      status,
      ...changed,
      output: output.items,
      usage: usageOf(usage),
      ...colophonOf(prepared.attribution, { traces: [], followed, receipt: prepared.metered?.id }),
    };
    const kept = { response, input };
    if (response.store) keep(services, caller.tenant, kept);
    // OpenAI has no event for what was cancelled.
    event(`response.${status === 'cancelled' ? 'incomplete' : status}`, { response });
    return kept;
  };

  const meter = services.metrics.generation(choice.adapter ? 'adapter' : 'base');
  let finish: 'stop' | 'length' | undefined;
  let usage: ChoiceUsage | undefined;
  let followed: Followed | undefined;
  if (background) enqueue();
  try {
    await runLimited(services, caller, choice, signal, meter, (step) => {
      begin();
      usage = step.usage;
      const logprobs =
        choice.generate.logprobs === undefined ? [] : chatLogprobs(naming, step.ids, step.logprobs).content;
      answer.feed(step.text, logprobs, step.traces);
      followed = step.followed;
      if (step.finish) finish = step.finish;
    });
  } catch (thrown) {
    const error = signal.reason instanceof ColophonError ? signal.reason : thrown;
    if (signal.reason instanceof ResponseCancelled && state !== 'prepared') {
      output.end('incomplete');
      return end('cancelled', {});
    }
    if (error instanceof Cancelled || state === 'prepared') throw error;
    const shown = publicError(error);
    if (shown.status >= 500) services.log.error({ err: error, response: begun.id }, shown.message);
    answer.end('incomplete');
    return { ...end('failed', { error: { code: codeOf(shown), message: shown.message } }), error: shown };
  }
  if (finish === 'length') {
    answer.end('incomplete');
    return end('incomplete', { incomplete_details: { reason: 'max_output_tokens' } });
  }
  answer.end('completed');
  return end('completed', { completed_at: Math.floor(Date.now() / 1000) });
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

/** The same where what is emitted has left with that: a socket takes it, or it is kept to be fetched. */
export async function runSent(
  services: Services,
  caller: Caller,
  prepared: PreparedResponse,
  signal: AbortSignal,
  emit: Emit,
): Promise<EndedResponse> {
  const { metered } = prepared;
  try {
    return await runResponse(services, caller, prepared, signal, (event) => {
      emit(event);
      metered?.take()?.();
    });
  } finally {
    metered?.end();
  }
}
