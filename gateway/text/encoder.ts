/**
 * Text to ids and back without holding up other streams: what is short is done at once, what is long in a thread of its
 * own, for which a megabyte takes about a second.
 */
import type { Piscina } from 'piscina';
import { ColophonError, type TextDefinition } from '../contract/index.ts';
import { threadFile } from '../contract/thread_file.ts';
import type { EncoderTask, EncoderTasks, ThreadAnswer } from './encoder_thread.ts';
import type { ChatMessage, ChatTemplateOptions, SpecialReading, TextModel } from './text_model.ts';

export interface EncodeOptions {
  special?: SpecialReading;
  addBos?: boolean;
}

export type EncodeChatOptions = ChatTemplateOptions & { special?: SpecialReading };

export type ListOptions = EncodeOptions & EncodeChatOptions & { strings: boolean };

/** Tokens as JSON arrays: to write millions of them takes nearly as long as to find them. */
export interface TokenList {
  count: number;
  ids: string;
  /** Each token's text; "null" where it was not asked for. */
  strings: string;
}

/** Characters or ids that are worked on at once: the slowest texts take a microsecond a character. */
const shortAtMost = 16 * 1024;

/** Two, so that one text of megabytes does not hold up every long prompt; more would take cores from the engine. */
const threadsAtMost = 2;

/** A thread that has nothing to do gives its 90 MB back after this. */
const idleMs = 60_000;

/** What may wait for threads or be in them, together: some ten requests of the largest size. */
const waitingAtMost = 64 * 2 ** 20;

export class Encoder {
  readonly #text: TextModel;
  readonly #definition: TextDefinition;
  #threads: Promise<Piscina> | undefined;
  #waiting = 0;

  constructor(text: TextModel, definition: TextDefinition) {
    this.#text = text;
    this.#definition = definition;
  }

  /** Ids of each text. */
  async encode(texts: string[], options: EncodeOptions): Promise<number[][]> {
    const size = texts.reduce((sum, text) => sum + text.length, 0);
    if (size <= shortAtMost) return texts.map((text) => this.#text.encode(text, options));
    return this.#inThread('encode', [texts, options], size);
  }

  /** Ids of a chat as the model's template writes it. */
  async encodeChat(messages: ChatMessage[], options: EncodeChatOptions): Promise<number[]> {
    const size = sizeOf(messages, options);
    if (size <= shortAtMost) return this.#text.encodeChat(messages, options).ids;
    return this.#inThread('encodeChat', [messages, options], size);
  }

  /** The same as `encode` and `encodeChat` in writing. */
  async list(given: string | ChatMessage[], options: ListOptions): Promise<TokenList> {
    const size = typeof given === 'string' ? given.length : sizeOf(given, options);
    if (size <= shortAtMost) return listTokens(this.#text, given, options);
    return this.#inThread('list', [given, options], size);
  }

  async decode(ids: number[]): Promise<string> {
    if (ids.length <= shortAtMost) return this.#text.decode(ids);
    return this.#inThread('decode', [ids], ids.length);
  }

  /** Ends the threads, whatever they are at. */
  async close(): Promise<void> {
    const threads = await this.#threads?.catch(() => undefined);
    await threads?.destroy();
  }

  async #inThread<Name extends keyof EncoderTasks>(
    name: Name,
    given: Parameters<EncoderTasks[Name]>,
    size: number,
  ): Promise<ReturnType<EncoderTasks[Name]>> {
    if (this.#waiting + size > waitingAtMost) {
      throw new ColophonError('Too many long texts wait to be tokenized; try again shortly.', {
        type: 'rate_limit_error',
        code: 'queue_full',
        retryAfterSeconds: 1,
      });
    }
    this.#waiting += size;
    try {
      this.#threads ??= startThreads(this.#definition);
      const threads = await this.#threads;
      const answer: ThreadAnswer = await threads.run({ name, given } satisfies EncoderTask);
      if ('error' in answer) throw new ColophonError(answer.error.message, answer.error);
      return answer.value as ReturnType<EncoderTasks[Name]>;
    } finally {
      this.#waiting -= size;
    }
  }
}

export function listTokens(model: TextModel, given: string | ChatMessage[], options: ListOptions): TokenList {
  const ids = typeof given === 'string' ? model.encode(given, options) : model.encodeChat(given, options).ids;
  return {
    count: ids.length,
    ids: JSON.stringify(ids),
    strings: options.strings ? JSON.stringify(ids.map((id) => model.tokenText(id))) : 'null',
  };
}

/** Read only when the first long text comes: most servers that start soon serve short ones. */
async function startThreads(definition: TextDefinition): Promise<Piscina> {
  const { Piscina } = await import('piscina');
  return new Piscina({
    filename: threadFile(import.meta.url, 'encoder_thread'),
    workerData: definition,
    minThreads: 0,
    maxThreads: threadsAtMost,
    idleTimeout: idleMs,
  });
}

function sizeOf(messages: ChatMessage[], { tools }: EncodeChatOptions): number {
  let size = tools && tools.length > 0 ? JSON.stringify(tools).length : 0;
  for (const { content, tool_calls: calls } of messages) {
    if (calls !== undefined) size += JSON.stringify(calls).length;
    if (typeof content === 'string') size += content.length;
    else for (const part of content ?? []) size += (part as { text?: string }).text?.length ?? 0;
  }
  return size;
}
