/** How many tokens may be generated. A prompt is never truncated: what does not fit is refused with the counts. */
import { ColophonError } from '../contract/index.ts';

export interface TokenBudgetRequest {
  promptTokens: number;
  /** What the client asked for; undefined: what is left, or `fallback` where that is less. */
  asked: number | undefined;
  fallback?: number;
  context: number;
  /** Field of the prompt. */
  param: PromptParam;
}

type PromptParam = 'messages' | 'prompt' | 'input';

export function tokenBudget(request: TokenBudgetRequest): number {
  const { promptTokens, asked, context, param } = request;
  const left = context - promptTokens;
  const what = param === 'prompt' ? 'your prompt' : `the ${param}`;
  if (left < 1) {
    throw tooLong(
      param,
      `This model's maximum context length is ${context} tokens. However, ${what.replace('the', 'your')} resulted in ${promptTokens} tokens, which leaves no room for a completion. Please reduce the length of ${what}.`,
    );
  }
  if (asked === undefined) return Math.min(left, request.fallback ?? left);
  if (asked > left) {
    throw tooLong(
      param,
      `This model's maximum context length is ${context} tokens. However, you requested ${promptTokens + asked} tokens (${promptTokens} in ${what}, ${asked} in the completion). Please reduce the length of ${what} or completion.`,
    );
  }
  return asked;
}

/** Refuses a text that cannot fit however it is encoded; `least`: tokens that it has at the very least. */
export function refuseHopeless(least: number, context: number, param: PromptParam): void {
  if (least < context) return;
  throw tooLong(
    param,
    `This model's maximum context length is ${context} tokens. However, your ${param} would result in at least ${least} tokens. Please reduce the length of ${param === 'prompt' ? 'your' : 'the'} ${param}.`,
  );
}

function tooLong(param: string, sentence: string): ColophonError {
  return new ColophonError(sentence, { param, code: 'context_length_exceeded' });
}
