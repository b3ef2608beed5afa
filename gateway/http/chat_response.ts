/** /v1/chat/completions: from steps to OpenAI's body or chunks. */
import type { ToolCallReader, ToolPart } from '../text/tools/index.ts';
import type { Answer } from './answer.ts';
import { colophonField, colophonOf } from './attribution.ts';
import type { Served } from './catalogue.ts';
import {
  addPart,
  type ChatAnswerMessage,
  deltaOf,
  finishReason,
  partsOf,
  wholeMessage,
} from './chat_message.ts';
import type { ChatBody, ChatRequest } from './chat_request.ts';
import type { ChoiceStep } from './choice.ts';
import { type CollectedChoice, collect, newCollection } from './collected.ts';
import { chatLogprobs, promptLogprobs, type TokenNaming } from './logprobs.ts';
import { type Envelope, serviceTier } from './shared_request.ts';
import { type Usage, usageOf } from './usage.ts';

/** A completion as it is answered where it does not stream. */
export type ChatCompletion = ReturnType<typeof wholeCompletion>;

/** `keep`: gets the whole completion at the end, streamed or not. */
export function chatAnswer(
  body: ChatBody,
  request: ChatRequest,
  served: Served,
  envelope: Envelope,
  keep?: (completion: ChatCompletion) => void,
): Answer {
  return body.stream
    ? chatStream(body, request, served, envelope, keep)
    : chatWhole(body, request, served, envelope, keep);
}

/** All choices of a request as they come, for a whole answer. */
interface Gathered {
  choices: CollectedChoice[];
  messages: ChatAnswerMessage[];
}

function gather(request: ChatRequest): Gathered {
  return {
    choices: request.choices.map(newCollection),
    messages: request.choices.map(() => ({ text: '', calls: [] })),
  };
}

function addStep(gathered: Gathered, index: number, step: ChoiceStep, parts: readonly ToolPart[]): void {
  collect(gathered.choices[index]!, step);
  for (const part of parts) addPart(gathered.messages[index]!, part);
}

function chatWhole(
  body: ChatBody,
  request: ChatRequest,
  served: Served,
  envelope: Envelope,
  keep?: (completion: ChatCompletion) => void,
): Answer {
  const gathered = gather(request);
  const readers = readersOf(request);
  return {
    choices: request.choices,
    perPrompt: request.choices.length,
    step(index, step) {
      addStep(gathered, index, step, partsOf(step, readers[index]));
      return '';
    },
    end(usage) {
      const completion = wholeCompletion(body, request, namingOf(body, served), envelope, gathered, usage);
      keep?.(completion);
      return JSON.stringify(completion);
    },
  };
}

function wholeCompletion(
  body: ChatBody,
  request: ChatRequest,
  naming: TokenNaming,
  envelope: Envelope,
  { choices, messages }: Gathered,
  usage: Usage,
) {
  const { legacy } = request.tools;
  return {
    id: envelope.id,
    object: 'chat.completion' as const,
    created: envelope.created,
    model: envelope.model,
    choices: choices.map((choice, index) => {
      const message = messages[index]!;
      return {
        index,
        message: wholeMessage(message, legacy),
        logprobs: body.logprobs ? chatLogprobs(naming, choice.ids, choice.logprobs) : null,
        finish_reason: finishReason(choice.finish, message.calls.length > 0, legacy),
        ...(choice.stopReason === null ? {} : { stop_reason: choice.stopReason }),
        ...(body.return_token_ids ? { token_ids: choice.ids } : {}),
        ...colophonOf(body.attribution, choice),
      };
    }),
    usage,
    ...serviceTier(body),
    system_fingerprint: envelope.system_fingerprint,
    ...(body.return_token_ids ? { prompt_token_ids: request.prompt } : {}),
    ...(choices[0]!.promptLogprobs
      ? { prompt_logprobs: promptLogprobs(naming, request.prompt, choices[0]!.promptLogprobs) }
      : {}),
  };
}

function chatStream(
  body: ChatBody,
  request: ChatRequest,
  served: Served,
  envelope: Envelope,
  keep?: (completion: ChatCompletion) => void,
): Answer {
  const naming = namingOf(body, served);
  const { legacy } = request.tools;
  const readers = readersOf(request);
  const gathered = keep && gather(request);
  const includeUsage = body.stream_options?.include_usage ?? false;
  const continuous = includeUsage && (body.stream_options?.continuous_usage_stats ?? false);
  const withIds = body.return_token_ids ?? false;
  const withTraces = body.attribution === 'spans';
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
  const extras = ({ ids, logprobs, traces }: ChoiceStep) => ({
    logprobs: body.logprobs && ids.length > 0 ? JSON.stringify(chatLogprobs(naming, ids, logprobs)) : 'null',
    ids: withIds ? `,"token_ids":[${ids.join(',')}]` : '',
    traces,
  });

  return {
    choices: request.choices,
    perPrompt: request.choices.length,
    step(index, step) {
      usages[index] = step.usage;
      const reader = readers[index];
      const usage = usageTail();
      let events = '';
      if (!started.has(index)) {
        started.add(index);
        const prompt =
          withIds && started.size === 1 ? `,"prompt_token_ids":[${request.prompt.join(',')}]` : '';
        // Where calls may come there may be no content at all.
        const content = reader ? 'null' : '""';
        events += chunk(
          `{"index":${index},"delta":{"role":"assistant","content":${content},"refusal":null},"logprobs":null,"finish_reason":null}`,
          usage,
          prompt,
        );
      }
      const parts = partsOf(step, reader);
      if (gathered) addStep(gathered, index, step, parts);
      const deltas = parts.map((part) => deltaOf(part, legacy));
      const carries = step.ids.length > 0 && (withIds || withTraces || body.logprobs);
      if (deltas.length === 0 && carries && !step.finish) deltas.push(reader ? '{}' : '{"content":""}');
      // What goes with the tokens of a step goes with its first chunk.
      let { logprobs, ids, traces } = extras(step);
      const spend = () => {
        logprobs = 'null';
        if (withIds) ids = ',"token_ids":[]';
        traces = [];
      };
      for (const delta of deltas) {
        events += chunk(
          `{"index":${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":null${ids}${colophonField(body.attribution, { traces })}}`,
          usage,
        );
        spend();
      }
      if (step.finish) {
        const reason = step.stopReason === null ? '' : `,"stop_reason":${JSON.stringify(step.stopReason)}`;
        const finish = finishReason(step.finish, (reader?.calls ?? 0) > 0, legacy);
        const colophon = colophonField(body.attribution, { ...step, traces });
        events += chunk(
          `{"index":${index},"delta":{},"logprobs":${logprobs},"finish_reason":"${finish}"${reason}${ids}${colophon}}`,
          usage,
        );
      }
      return events;
    },
    end(usage: Usage) {
      if (gathered) keep?.(wholeCompletion(body, request, naming, envelope, gathered, usage));
      const last = includeUsage ? `${head},"choices":[],"usage":${JSON.stringify(usage)}}\n\n` : '';
      return `${last}data: [DONE]\n\n`;
    },
  };
}

/** What finds calls in each choice; none where no tool may be called. */
function readersOf({ choices, tools: { use } }: ChatRequest): ToolCallReader[] {
  return use.active ? choices.map(() => use.reader()) : [];
}

function namingOf(body: ChatBody, served: Served): TokenNaming {
  return { text: served.text, asIds: body.return_tokens_as_token_ids ?? false };
}
