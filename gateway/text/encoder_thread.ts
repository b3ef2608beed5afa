/** What a thread of the encoder runs: a text model of its own. Errors for clients go back as values, else they lose their fields. */
import { workerData } from 'piscina';
import { ColophonError, type ErrorOptions, type TextDefinition } from '../contract/index.ts';
import { type EncodeChatOptions, type EncodeOptions, type ListOptions, listTokens } from './encoder.ts';
import { type ChatMessage, TextModel } from './text_model.ts';

const model = new TextModel(workerData as TextDefinition);

const tasks = {
  encode: (texts: string[], options: EncodeOptions) => texts.map((text) => model.encode(text, options)),
  encodeChat: (messages: ChatMessage[], options: EncodeChatOptions) =>
    model.encodeChat(messages, options).ids,
  list: (given: string | ChatMessage[], options: ListOptions) => listTokens(model, given, options),
  decode: (ids: number[]) => model.decode(ids),
};

export type EncoderTasks = typeof tasks;

export interface EncoderTask {
  name: keyof EncoderTasks;
  given: unknown[];
}

export type ThreadAnswer = { value: unknown } | { error: ErrorOptions & { message: string } };

export default function run({ name, given }: EncoderTask): ThreadAnswer {
  try {
    return { value: (tasks[name] as (...given: unknown[]) => unknown)(...given) };
  } catch (thrown) {
    if (!(thrown instanceof ColophonError)) throw thrown;
    const { message, type, code, param, status } = thrown;
    return { error: { message, type, code, param, status } };
  }
}
