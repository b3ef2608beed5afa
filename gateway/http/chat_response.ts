/** /v1/chat/completions: from steps to OpenAI's body or chunks. */

import type { Answer } from './answer.ts';
import type { Served } from './catalogue.ts';
import type { ChatBody, ChatRequest } from './chat_request.ts';
import type { ChoiceStep } from './choice.ts';
import { type CollectedChoice, collect, newCollection } from './collected.ts';
import { chatLogprobs, promptLogprobs, type TokenNaming } from './logprobs.ts';
import { type Envelope, serviceTier } from './shared_request.ts';
import { type Usage, usageOf } from './usage.ts';

export function chatAnswer(body: ChatBody, request: ChatRequest, served: Served, envelope: Envelope): Answer {
  return body.stream
    ? chatStream(body, request, served, envelope)
    : chatWhole(body, request, served, envelope);
}

function chatWhole(body: ChatBody, request: ChatRequest, served: Served, envelope: Envelope): Answer {
  const collected = request.choices.map(newCollection);
  const naming = namingOf(body, served);
  return {
    choices: request.choices,
    perPrompt: request.choices.length,
    step(index, step) {
      collect(collected[index]!, step);
      return '';
    },
    end: (usage) =>
      JSON.stringify({
        id: envelope.id,
        object: 'chat.completion',
        created: envelope.created,
        model: envelope.model,
        choices: collected.map((choice, index) => wholeChoice(body, naming, choice, index)),
        usage,
        ...serviceTier(body),
        system_fingerprint: envelope.system_fingerprint,
        ...(body.return_token_ids ? { prompt_token_ids: request.prompt } : {}),
        ...(collected[0]!.promptLogprobs
          ? { prompt_logprobs: promptLogprobs(naming, request.prompt, collected[0]!.promptLogprobs) }
          : {}),
      }),
  };
}

function wholeChoice(body: ChatBody, naming: TokenNaming, choice: CollectedChoice, index: number) {
  return {
    index,
    message: { role: 'assistant', content: choice.text, refusal: null },
    logprobs: body.logprobs ? chatLogprobs(naming, choice.ids, choice.logprobs) : null,
    finish_reason: choice.finish,
    ...(choice.stopReason === null ? {} : { stop_reason: choice.stopReason }),
    ...(body.return_token_ids ? { token_ids: choice.ids } : {}),
  };
}

function chatStream(body: ChatBody, request: ChatRequest, served: Served, envelope: Envelope): Answer {
  const naming = namingOf(body, served);
  const includeUsage = body.stream_options?.include_usage ?? false;
  const continuous = includeUsage && (body.stream_options?.continuous_usage_stats ?? false);
  const withIds = body.return_token_ids ?? false;
  // The parts of a chunk that never change are written once.
  const head = `data: ${JSON.stringify({
    id: envelope.id,
    object: 'chat.completion.chunk',
    created: envelope.created,
    model: envelope.model,
    ...serviceTier(body),
    system_fingerprint: envelope.system_fingerprint,
  }).slice(0, -1)}`;
  const tail = includeUsage ? ',"usage":null}\n\n' : '}\n\n';
  const started = new Set<number>();
  const usages = request.choices.map(() => ({
    promptTokens: request.prompt.length,
    cachedTokens: 0,
    completionTokens: 0,
  }));

  const chunk = (choice: string, usage: string, first = ''): string =>
    `${head},"choices":[${choice}]${first}${usage}`;

  const usageTail = (): string =>
    continuous ? `,"usage":${JSON.stringify(usageOf(usages, request.choices.length))}}\n\n` : tail;

  /** What goes with the tokens of a step. */
  const extras = (step: ChoiceStep): { logprobs: string; ids: string } => ({
    logprobs:
      body.logprobs && step.ids.length > 0
        ? JSON.stringify(chatLogprobs(naming, step.ids, step.logprobs))
        : 'null',
    ids: withIds ? `,"token_ids":[${step.ids.join(',')}]` : '',
  });

  return {
    choices: request.choices,
    perPrompt: request.choices.length,
    step(index, step) {
      usages[index] = step.usage;
      const usage = usageTail();
      let events = '';
      if (!started.has(index)) {
        started.add(index);
        const prompt =
          withIds && started.size === 1 ? `,"prompt_token_ids":[${request.prompt.join(',')}]` : '';
        events += chunk(
          `{"index":${index},"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}`,
          usage,
          prompt,
        );
      }
      const { logprobs, ids } = extras(step);
      const carries = step.ids.length > 0 && (withIds || body.logprobs);
      const inFinish = step.finish !== undefined && step.text === '';
      if (!inFinish && (step.text !== '' || carries)) {
        events += chunk(
          `{"index":${index},"delta":{"content":${JSON.stringify(step.text)}},"logprobs":${logprobs},"finish_reason":null${ids}}`,
          usage,
        );
      }
      if (step.finish) {
        const reason = step.stopReason === null ? '' : `,"stop_reason":${JSON.stringify(step.stopReason)}`;
        const last = inFinish
          ? { logprobs, ids }
          : { logprobs: 'null', ids: withIds ? ',"token_ids":[]' : '' };
        events += chunk(
          `{"index":${index},"delta":{},"logprobs":${last.logprobs},"finish_reason":"${step.finish}"${reason}${last.ids}}`,
          usage,
        );
      }
      return events;
    },
    end(usage: Usage) {
      const last = includeUsage ? `${head},"choices":[],"usage":${JSON.stringify(usage)}}\n\n` : '';
      return `${last}data: [DONE]\n\n`;
    },
  };
}

function namingOf(body: ChatBody, served: Served): TokenNaming {
  return { text: served.text, asIds: body.return_tokens_as_token_ids ?? false };
}
