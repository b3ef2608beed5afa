/** /v1/completions: from steps to OpenAI's body or chunks. */
import type { TokenLogprob } from '../contract/index.ts';
import type { Answer } from './answer.ts';
import { colophonField, colophonOf } from './attribution.ts';
import type { Served } from './catalogue.ts';
import { type ChoiceStep, countCodePoints } from './choice.ts';
import { type CollectedChoice, collect, newCollection } from './collected.ts';
import type { CompletionBody, CompletionRequest, Prompt } from './completion_request.ts';
import { completionLogprobs, promptLogprobs, type TokenNaming } from './logprobs.ts';
import { given } from './missing.ts';
import { type Envelope, serviceTier } from './shared_request.ts';
import { type Usage, usageOf } from './usage.ts';

/** What a choice has to show: all of it, or the part that one step brought. */
interface Shown {
  text: string;
  ids: number[];
  logprobs: Array<TokenLogprob | null>;
  offsets: number[];
}

interface Context {
  body: CompletionBody;
  request: CompletionRequest;
  naming: TokenNaming;
  envelope: Envelope;
}

export function completionAnswer(
  body: CompletionBody,
  request: CompletionRequest,
  served: Served,
  envelope: Envelope,
): Answer {
  const naming = { text: served.text, asIds: body.return_tokens_as_token_ids ?? false };
  const context = { body, request, naming, envelope };
  return body.stream ? completionStream(context) : completionWhole(context);
}

function completionWhole({ body, request, naming, envelope }: Context): Answer {
  const collected = request.choices.map(newCollection);
  const choiceJson = (choice: CollectedChoice, index: number) => {
    const prompt = request.prompts[Math.floor(index / request.perPrompt)]!;
    const logprobs = collected[index - (index % request.perPrompt)]!.promptLogprobs;
    const shown = body.echo ? withPrompt(naming, prompt, choice, logprobs) : choice;
    const json: Record<string, unknown> = {
      index,
      text: shown.text,
      logprobs: logprobsJson(body, naming, shown),
      finish_reason: choice.finish,
    };
    if (choice.stopReason !== null) json.stop_reason = choice.stopReason;
    if (body.return_token_ids) {
      json.token_ids = choice.ids;
      json.prompt_token_ids = prompt.ids;
    }
    if (given(body.prompt_logprobs) && logprobs)
      json.prompt_logprobs = promptLogprobs(naming, prompt.ids, logprobs);
    return Object.assign(json, colophonOf(body.attribution, choice));
  };
  return {
    choices: request.choices,
    perPrompt: request.perPrompt,
    step(index, step) {
      collect(collected[index]!, step);
      return '';
    },
    end: (usage) =>
      JSON.stringify({
        id: envelope.id,
        object: 'text_completion',
        created: envelope.created,
        model: envelope.model,
        choices: collected.map(choiceJson),
        usage,
        ...serviceTier(body),
        system_fingerprint: envelope.system_fingerprint,
      }),
  };
}

function completionStream({ body, request, naming, envelope }: Context): Answer {
  const includeUsage = body.stream_options?.include_usage ?? false;
  const continuous = includeUsage && (body.stream_options?.continuous_usage_stats ?? false);
  const withIds = body.return_token_ids ?? false;
  const head = `data: ${JSON.stringify({
    id: envelope.id,
    object: 'text_completion',
    created: envelope.created,
    model: envelope.model,
    ...serviceTier(body),
    system_fingerprint: envelope.system_fingerprint,
  }).slice(0, -1)}`;
  const tail = includeUsage ? ',"usage":null}\n\n' : '}\n\n';
  const started = new Set<number>();
  const echoed = new Map<number, number>();
  const usages = request.choices.map((choice) => ({
    promptTokens: choice.generate.prompt.length,
    cachedTokens: 0,
    completionTokens: 0,
  }));

  const shownOf = (index: number, step: ChoiceStep, prompt: Prompt): Shown => {
    if (!body.echo) return step;
    if (started.has(index)) {
      const before = echoed.get(index) ?? 0;
      return before === 0 ? step : { ...step, offsets: step.offsets.map((offset) => offset + before) };
    }
    const shown = withPrompt(naming, prompt, step, step.promptLogprobs);
    echoed.set(index, countCodePoints(prompt.text()));
    return shown;
  };

  return {
    choices: request.choices,
    perPrompt: request.perPrompt,
    step(index, step) {
      usages[index] = step.usage;
      const prompt = request.prompts[Math.floor(index / request.perPrompt)]!;
      const shown = shownOf(index, step, prompt);
      const first = !started.has(index);
      const carries =
        shown.ids.length > 0 && (withIds || body.attribution === 'spans' || body.logprobs !== undefined);
      if (shown.text === '' && !step.finish && !carries) return '';
      started.add(index);
      const logprobs = shown.ids.length > 0 ? JSON.stringify(logprobsJson(body, naming, shown)) : 'null';
      const reason = step.stopReason === null ? '' : `,"stop_reason":${JSON.stringify(step.stopReason)}`;
      const ids = withIds ? `,"token_ids":[${step.ids.join(',')}]` : '';
      const promptIds = withIds && first ? `,"prompt_token_ids":[${prompt.ids.join(',')}]` : '';
      const choice = `{"index":${index},"text":${JSON.stringify(shown.text)},"logprobs":${logprobs},"finish_reason":${
        step.finish ? `"${step.finish}"` : 'null'
      }${reason}${ids}${promptIds}${colophonField(body.attribution, step)}}`;
      const usage = continuous ? `,"usage":${JSON.stringify(usageOf(usages, request.perPrompt))}}\n\n` : tail;
      return `${head},"choices":[${choice}]${usage}`;
    },
    end(usage: Usage) {
      const last = includeUsage ? `${head},"choices":[],"usage":${JSON.stringify(usage)}}\n\n` : '';
      return `${last}data: [DONE]\n\n`;
    },
  };
}

function logprobsJson(body: CompletionBody, naming: TokenNaming, shown: Shown) {
  if (body.logprobs === undefined || body.logprobs === null) return null;
  return completionLogprobs(naming, shown.ids, shown.logprobs, shown.offsets);
}

/** `echo`: the prompt, with its tokens' log-probabilities where they were asked for, stands before the completion. */
function withPrompt(
  naming: TokenNaming,
  prompt: Prompt,
  shown: Shown,
  logprobs: Array<TokenLogprob | null> | undefined,
): Shown {
  const text = prompt.text();
  if (!logprobs) return { ...shown, text: text + shown.text };
  const offsets: number[] = [];
  let offset = 0;
  const detokenizer = naming.text.detokenizer({ continues: false });
  for (const id of prompt.ids) {
    offsets.push(offset);
    offset += countCodePoints(detokenizer.push(id));
  }
  const before = countCodePoints(text);
  return {
    text: text + shown.text,
    ids: [...prompt.ids, ...shown.ids],
    logprobs: [...logprobs, ...shown.logprobs],
    offsets: [...offsets, ...shown.offsets.map((at) => at + before)],
  };
}
