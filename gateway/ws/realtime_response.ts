/** One response of a Realtime session, from its event to response.done. */
import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import { followChoices } from '../http/attribution.ts';
import { type ChatBody, readChatRequest } from '../http/chat_request.ts';
import { Cancelled, type ChoiceStep, type ChoiceUsage } from '../http/choice.ts';
import { runLimited } from '../http/limited_choice.ts';
import { meterChoices } from '../http/metered.ts';
import { maybe } from '../schema/nullable.ts';
import type { ToolCallReader, ToolPart } from '../text/tools/index.ts';
import type { Connection } from './connection.ts';
import type { Conversation } from './realtime_conversation.ts';
import { givenItem, type Item, messagesOf, newId } from './realtime_items.ts';
import { RealtimeOutput } from './realtime_output.ts';
import { functionsOf, generationFields, type Settings } from './realtime_session.ts';

export const responseParams = Type.Object({
  ...generationFields,
  conversation: maybe(Type.String()),
  input: maybe(Type.Array(givenItem, { maxItems: 4096 })),
  metadata: maybe(Type.Record(Type.String(), Type.String({ maxLength: 512 }))),
});

export type ResponseParams = Static<typeof responseParams>;

type Status = 'in_progress' | 'completed' | 'cancelled' | 'incomplete' | 'failed';

export interface RealtimeRequest {
  model: string;
  settings: Settings;
  /** What the model reads. */
  items: readonly Item[];
  /** Where the output goes; undefined for a response outside of the conversation. */
  conversation: Conversation | undefined;
  metadata: Record<string, string> | null;
}

export class RealtimeResponse {
  readonly id = newId('resp');
  readonly request: RealtimeRequest;
  readonly controller: AbortController;
  readonly #connection: Connection;
  readonly #send: (type: string, fields: object) => void;
  readonly #output: RealtimeOutput;
  #reader: ToolCallReader | undefined;
  #usage: ChoiceUsage | undefined;

  constructor(
    connection: Connection,
    request: RealtimeRequest,
    controller: AbortController,
    send: (type: string, fields: object) => void,
  ) {
    this.#connection = connection;
    this.request = request;
    this.controller = controller;
    this.#send = send;
    this.#output = new RealtimeOutput(this.id, request.conversation, send);
  }

  /** Runs to the end and tells the client of it, however it ends; never throws. */
  async run(): Promise<void> {
    this.#send('response.created', { response: this.#shown('in_progress') });
    const { services, caller } = this.#connection;
    const taken = await services.limits.takeRequest(caller).catch((error) => ({ error }));
    // Where no limits are configured the list is empty; clients wait for the event all the same.
    const states = await services.limits.states(caller);
    this.#send('rate_limits.updated', {
      rate_limits: states.map(({ name, limit, remaining, resetMs }) => ({
        name,
        limit,
        remaining,
        reset_seconds: resetMs / 1000,
      })),
    });
    let status: Status = 'completed';
    let details: object | undefined;
    try {
      if (taken) throw taken.error;
      const finish = await this.#generate();
      if (finish === 'length') {
        status = 'incomplete';
        details = { type: 'incomplete', reason: 'max_output_tokens' };
      }
      this.#end(status === 'completed' ? 'completed' : 'incomplete');
    } catch (thrown) {
      const { reason } = this.controller.signal;
      const error = reason instanceof ColophonError ? reason : thrown;
      if (error instanceof Cancelled) {
        status = 'cancelled';
        details = { type: 'cancelled', reason: 'client_cancelled' };
      } else {
        const { type, code, message } = this.#connection.shown(error);
        status = 'failed';
        details = { type: 'failed', error: { type, code, message } };
      }
      this.#end('incomplete');
    }
    this.#send('response.done', { response: this.#shown(status, details) });
  }

  get usage(): ChoiceUsage | undefined {
    return this.#usage;
  }

  async #generate(): Promise<ChoiceStep['finish']> {
    const { services, caller } = this.#connection;
    const { signal } = this.controller;
    const served = await services.catalogue.find(this.request.model);
    const special = services.config.text.special_tokens_in_content;
    const chat = await readChatRequest(this.#body(), served, special, caller);
    if (signal.aborted) throw new Cancelled();
    this.#usage = { promptTokens: chat.prompt.length, cachedTokens: 0, completionTokens: 0 };
    const choice = chat.choices[0]!;
    followChoices(services, this.id, caller.tenant, served, chat.choices, 'none');
    const meter = services.metrics.generation(choice.adapter ? 'adapter' : 'base');
    if (chat.tools.use.active) this.#reader = chat.tools.use.reader();
    const metered = meterChoices(services, this.id, caller, served, [choice]);
    let finish: ChoiceStep['finish'];
    try {
      await runLimited(services, caller, choice, signal, meter, (step) => {
        this.#usage = step.usage;
        finish = step.finish;
        if (step.text !== '')
          this.#write(this.#reader?.feed(step.text) ?? [{ type: 'text', text: step.text }]);
        metered?.take()?.();
      });
    } finally {
      metered?.end();
    }
    // An answer of nothing is an empty message.
    if (this.#output.items.length === 0 && !this.#reader) this.#output.text('');
    return finish;
  }

  #write(parts: ToolPart[]): void {
    for (const part of parts) {
      if (part.type === 'text') this.#output.text(part.text);
      else if (part.type === 'call') this.#output.call(part.id, part.name);
      else this.#output.callArguments(part.text);
    }
  }

  /** Nothing more comes: what was held back, since it might have been a call, is text. */
  #end(status: 'completed' | 'incomplete'): void {
    if (this.#reader) this.#write(this.#reader.end());
    this.#output.close(status);
  }

  #body(): ChatBody {
    const { model, settings, items } = this.request;
    const messages = messagesOf(settings.instructions, items);
    if (messages.length === 0) {
      throw new ColophonError(
        'There is nothing to respond to: the conversation is empty and there are no instructions. Create an item first.',
        { code: 'conversation_empty' },
      );
    }
    return {
      model,
      messages,
      ...(settings.max_output_tokens === 'inf' ? {} : { max_completion_tokens: settings.max_output_tokens }),
      ...(settings.temperature === undefined ? {} : { temperature: settings.temperature }),
      ...toolsOf(settings),
    };
  }

  #shown(status: Status, details?: object): object {
    const { conversation, settings, metadata } = this.request;
    return {
      object: 'realtime.response',
      id: this.id,
      status,
      status_details: details ?? null,
      output: this.#output.items,
      conversation_id: conversation?.id ?? null,
      output_modalities: ['text'],
      max_output_tokens: settings.max_output_tokens,
      metadata,
      usage: status === 'in_progress' ? null : usageOf(this.#usage),
    };
  }
}

/** As chat completions spell them. */
function toolsOf({ tools, tool_choice: choice, parallel_tool_calls }: Settings): Partial<ChatBody> {
  if (tools.length === 0) return {};
  return {
    tools: functionsOf(tools, 'session').map((one) => ({ type: 'function', function: one })),
    tool_choice:
      typeof choice === 'string'
        ? choice
        : { type: choice.type, function: choice.name ? { name: choice.name } : null },
    parallel_tool_calls,
  };
}

function usageOf(usage: ChoiceUsage | undefined): object | null {
  if (!usage) return null;
  const { promptTokens, cachedTokens, completionTokens } = usage;
  return {
    total_tokens: promptTokens + completionTokens,
    input_tokens: promptTokens,
    output_tokens: completionTokens,
    input_token_details: {
      text_tokens: promptTokens,
      audio_tokens: 0,
      image_tokens: 0,
      cached_tokens: cachedTokens,
      cached_tokens_details: { text_tokens: cachedTokens, audio_tokens: 0, image_tokens: 0 },
    },
    output_token_details: { text_tokens: completionTokens, audio_tokens: 0 },
  };
}
