import type { Followed, TokenLogprob, TokenTrace } from '../contract/index.ts';
import type { ChoiceStep } from './choice.ts';

/** All steps of a choice, for an answer that does not stream. */
export interface CollectedChoice {
  text: string;
  ids: number[];
  logprobs: TokenLogprob[];
  offsets: number[];
  promptLogprobs: Array<TokenLogprob | null> | undefined;
  finish: 'stop' | 'length' | undefined;
  stopReason: string | number | null;
  traces: TokenTrace[];
  followed: Followed | undefined;
  receipt: string | undefined;
}

export function newCollection(): CollectedChoice {
  return {
    text: '',
    ids: [],
    logprobs: [],
    offsets: [],
    promptLogprobs: undefined,
    finish: undefined,
    stopReason: null,
    traces: [],
    followed: undefined,
    receipt: undefined,
  };
}

export function collect(choice: CollectedChoice, step: ChoiceStep): void {
  choice.text += step.text;
  choice.ids.push(...step.ids);
  choice.logprobs.push(...step.logprobs);
  choice.offsets.push(...step.offsets);
  choice.promptLogprobs ??= step.promptLogprobs;
  choice.traces.push(...step.traces);
  choice.followed ??= step.followed;
  choice.receipt ??= step.receipt;
  choice.finish ??= step.finish;
  choice.stopReason ??= step.stopReason;
}
