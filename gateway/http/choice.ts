/** One generation, from the backend's tokens to the text, ids and log-probabilities of a choice. */
import {
  type Backend,
  ColophonError,
  type Followed,
  type Following,
  type GenerateRequest,
  type TokenLogprob,
  type TokenTrace,
} from '../contract/index.ts';
import type { GenerationMeter } from '../observe/metrics.ts';
import type { Grammar } from '../text/grammar/grammar.ts';
import type { Constraint } from '../text/grammar/grammars.ts';
import { StopStrings } from '../text/stop_strings.ts';
import type { TextModel } from '../text/text_model.ts';
import { RepeatedCalls } from '../text/tools/index.ts';
import type { Metered } from './metered.ts';

export interface ChoiceRequest {
  backend: Backend;
  text: TextModel;
  generate: GenerateRequest;
  /** Whether the model is an adapter. */
  adapter: boolean;
  stop: string[];
  /** The stop string, or the stop token's text, is part of the output. */
  includeStop: boolean;
  skipSpecial: boolean;
  /** Only the prompt is asked for: nothing that is generated is kept. */
  promptOnly?: boolean;
  /** It is calls alone; one that is equal to one before it is left out, and ends it. */
  endAtRepeatedCall?: boolean;
  /** The grammar that the answer is kept to, and what makes what keeps it. */
  structure?: { grammar: Grammar; constrain(): Promise<Constraint> };
  /** Begins to follow it for whoever attributes answers. */
  follow?(): Promise<Following>;
  /** Whether steps have `traces`. */
  showTraces?: boolean;
  /** What it is recorded in, and which choice of it it is. */
  metered?: { answer: Metered; at: number };
}

export interface ChoiceUsage {
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
}

/** What one step of the backend gave a choice. */
export interface ChoiceStep {
  text: string;
  ids: number[];
  /** One for each id, where they were asked for. */
  logprobs: TokenLogprob[];
  /** Code points of generated text before each id's own. */
  offsets: number[];
  /** Once, before anything was generated. */
  promptLogprobs: Array<TokenLogprob | null> | undefined;
  finish: 'stop' | 'length' | undefined;
  /** The stop string or explicit stop token that ended it. */
  stopReason: string | number | null;
  /** One for each id, where they are shown. */
  traces: TokenTrace[];
  /** With the finish, where it was followed. */
  followed?: Followed;
  /** With the finish, where it was recorded: the id of its receipt. */
  receipt?: string;
  /** So far. */
  usage: ChoiceUsage;
}

/** The client went away or the server stops; nobody reads the rest. */
export class Cancelled extends Error {}

const none: ReadonlySet<number> = new Set();
const untraced: TokenTrace = { length: 0, occurrences: 0, examples: [] };

/** Runs to the end, giving each step to `onStep` as it comes. Ends the generation when `signal` fires or `onStep` throws. */
export async function runChoice(
  request: ChoiceRequest,
  signal: AbortSignal,
  meter: GenerationMeter,
  onStep: (step: ChoiceStep) => void,
): Promise<ChoiceUsage> {
  const { generate, text } = request;
  const stops = generate.stopTokenIds.length > 0 ? new Set(generate.stopTokenIds) : none;
  const ends = generate.ignoreEnd ? none : text.ends;
  const stopStrings = new StopStrings(request.stop, request.includeStop);
  const detokenizer = text.detokenizer({ skipSpecial: request.skipSpecial });
  const repeats = request.endAtRepeatedCall ? new RepeatedCalls() : undefined;
  const usage: ChoiceUsage = { promptTokens: generate.prompt.length, cachedTokens: 0, completionTokens: 0 };
  let codePoints = 0;

  const take = (step: ChoiceStep, id: number): void => {
    usage.completionTokens++;
    step.ids.push(id);
    step.offsets.push(codePoints);
    const ending = stops.has(id) || ends.has(id);
    if (ending && !request.includeStop) {
      if (stops.has(id)) step.stopReason = id;
      return;
    }
    const piece = detokenizer.push(id);
    if (generate.logprobs !== undefined) codePoints += countCodePoints(piece);
    if (usage.completionTokens <= generate.minTokens) {
      step.text += piece;
      return;
    }
    const { emit, stopped } = stopStrings.push(piece);
    step.text += emit;
    if (stopped !== undefined) {
      step.finish = 'stop';
      step.stopReason = stopped;
    } else if (ending && stops.has(id)) {
      step.stopReason = id;
    }
  };

  const finish = (step: ChoiceStep, reason: 'stop' | 'length'): void => {
    // Cut at its length, an answer may end inside a character: the half is left out, as vLLM does; the ids still have it.
    const { emit, stopped } = stopStrings.push(reason === 'length' ? '' : detokenizer.flush());
    step.text += emit + stopStrings.flush();
    step.finish = stopped === undefined ? reason : 'stop';
    if (stopped !== undefined) step.stopReason = stopped;
  };

  const { metered } = request;
  /** Of the tokens that were made, those that the backend had recorded before it gave them. */
  let recorded = 0;
  let constraint: Constraint | undefined;
  let following: Following | undefined;
  let followed = false;
  const endFollowing = (finish: 'stop' | 'length' | 'cut'): Followed | undefined => {
    if (!following || followed) return undefined;
    followed = true;
    return following.end(finish);
  };
  try {
    metered?.answer.begin();
    constraint = await request.structure?.constrain();
    if (!request.promptOnly) following = await request.follow?.();
    const asked = {
      ...generate,
      ...(constraint ? { constraint } : {}),
      ...(following?.wantsStates ? { answerStates: true } : {}),
      ...(metered && !request.promptOnly
        ? {
            record(ids: readonly number[], cached: number) {
              recorded += ids.length;
              return metered.answer.record(metered.at, ids, cached);
            },
          }
        : {}),
    };
    for await (const parts of request.backend.generate(asked, signal)) {
      if (signal.aborted) throw new Cancelled();
      const step: ChoiceStep = {
        text: '',
        ids: [],
        logprobs: [],
        offsets: [],
        promptLogprobs: undefined,
        finish: undefined,
        stopReason: null,
        traces: [],
        usage,
      };
      for (const part of parts) {
        if (part.type === 'prompt-logprobs') {
          step.promptLogprobs = part.tokens;
        } else if (part.type === 'finish') {
          usage.cachedTokens = part.usage.cachedTokens;
          if (request.promptOnly) step.finish = 'length';
          else finish(step, part.reason);
        } else {
          if (part.cachedTokens !== undefined) usage.cachedTokens = part.cachedTokens;
          if (request.promptOnly) continue;
          if (part.logprob) step.logprobs.push(part.logprob);
          if (following) {
            const trace = following.token(part.id, part.match, part.state);
            if (request.showTraces) step.traces.push(trace ?? untraced);
          }
          take(step, part.id);
        }
        if (step.finish) break;
      }
      if (repeats) {
        const { emit, stopped } = repeats.push(step.text);
        step.text = emit;
        if (stopped) step.finish = 'stop';
        else if (step.finish) step.text += repeats.flush();
      }
      meter.step(step.ids.length);
      if (step.finish) {
        const whole = endFollowing(step.finish);
        if (whole) step.followed = whole;
      }
      if (metered) {
        const { answer, at } = metered;
        const { ids, finish } = step;
        answer.make(at, ids.length);
        const more = usage.completionTokens - recorded;
        if (more > 0 || (request.promptOnly && finish)) {
          recorded += more;
          await answer.record(at, ids.slice(ids.length - more), usage.cachedTokens);
        }
        if (finish) {
          answer.finish(at, finish);
          step.receipt = answer.id;
        }
        if (signal.aborted) throw new Cancelled();
        answer.give(at, ids.length);
      }
      onStep(step);
      if (step.finish) {
        meter.finish(step.finish, usage);
        return usage;
      }
    }
  } catch (error) {
    if (signal.aborted) {
      meter.finish('cancelled', usage);
      throw new Cancelled();
    }
    meter.finish('error', usage);
    throw error;
  } finally {
    endFollowing('cut');
    constraint?.close();
  }
  meter.finish(signal.aborted ? 'cancelled' : 'error', usage);
  if (signal.aborted) throw new Cancelled();
  throw new ColophonError('The backend ended the generation without finishing it.', { type: 'server_error' });
}

/** Length as Python counts it: text_offset is an index into a string of most of its readers. */
export function countCodePoints(text: string): number {
  let count = text.length;
  for (let at = 0; at < text.length - 1; at++) {
    const unit = text.charCodeAt(at);
    if (unit >= 0xd800 && unit < 0xdc00) count--;
  }
  return count;
}
