/** The assistant's message of a choice, as its steps come. */
import type { ToolCallReader, ToolPart } from '../text/tools/index.ts';
import type { ChoiceStep } from './choice.ts';

export interface CalledFunction {
  id: string;
  name: string;
  arguments: string;
}

export interface ChatAnswerMessage {
  text: string;
  calls: CalledFunction[];
}

/** What a step adds to a message. Without a reader all of it is text. */
export function partsOf(step: ChoiceStep, reader: ToolCallReader | undefined): ToolPart[] {
  if (!reader) return step.text === '' ? [] : [{ type: 'text', text: step.text }];
  const parts = reader.feed(step.text);
  return step.finish === undefined ? parts : [...parts, ...reader.end()];
}

export function addPart(message: ChatAnswerMessage, part: ToolPart): void {
  if (part.type === 'text') message.text += part.text;
  else if (part.type === 'call') message.calls.push({ id: part.id, name: part.name, arguments: '' });
  else message.calls[part.index]!.arguments += part.text;
}

/** OpenAI's message. `legacy`: the call as `function_call`. */
export function wholeMessage({ text, calls }: ChatAnswerMessage, legacy: boolean) {
  const content = text === '' && calls.length > 0 ? null : text;
  const message = { role: 'assistant' as const, content, refusal: null };
  const [first] = calls;
  if (!first) return message;
  if (legacy) return { ...message, function_call: { name: first.name, arguments: first.arguments } };
  return {
    ...message,
    tool_calls: calls.map(({ id, ...called }) => ({ id, type: 'function' as const, function: called })),
  };
}

/** The `delta` of a chunk, as JSON. */
export function deltaOf(part: ToolPart, legacy: boolean): string {
  if (part.type === 'text') return `{"content":${JSON.stringify(part.text)}}`;
  const called = part.type === 'call' ? { name: part.name, arguments: '' } : { arguments: part.text };
  if (legacy) return JSON.stringify({ function_call: called });
  const head = part.type === 'call' ? { id: part.id, type: 'function' } : {};
  return JSON.stringify({ tool_calls: [{ index: part.index, ...head, function: called }] });
}

/** An answer that ended by itself with a call ended for the call. */
export function finishReason(finish: ChoiceStep['finish'], called: boolean, legacy: boolean) {
  if (finish !== 'stop' || !called) return finish;
  return legacy ? 'function_call' : 'tool_calls';
}
