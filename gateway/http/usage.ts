import type { ChoiceUsage } from './choice.ts';

/** OpenAI's usage object. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number; audio_tokens: number };
  completion_tokens_details: {
    reasoning_tokens: number;
    audio_tokens: number;
    accepted_prediction_tokens: number;
    rejected_prediction_tokens: number;
  };
}

/** Choices are in order, `perPrompt` of them for each prompt; a prompt counts once, whatever came of it. */
export function usageOf(choices: readonly ChoiceUsage[], perPrompt: number): Usage {
  let prompt = 0;
  let cached = 0;
  let completion = 0;
  choices.forEach((choice, index) => {
    completion += choice.completionTokens;
    if (index % perPrompt !== 0) return;
    prompt += choice.promptTokens;
    cached += choice.cachedTokens;
  });
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}
