/** Messages of a chat: from OpenAI's JSON to what chat templates take. */

import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import type { ChatMessage } from '../text/text_model.ts';
import { given, missing } from './missing.ts';

const part = Type.Object({
  type: Type.String(),
  text: Type.Optional(Type.String()),
  refusal: Type.Optional(Type.String()),
});

const calledFunction = Type.Object({ name: Type.String({ minLength: 1 }), arguments: Type.String() });

export const messagesField = Type.Array(
  Type.Object({
    role: Type.Enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
    content: Type.Optional(Type.Union([Type.String(), Type.Array(part, { minItems: 1 }), Type.Null()])),
    name: maybe(Type.String()),
    refusal: maybe(Type.String()),
    tool_calls: maybe(
      Type.Array(
        Type.Object({ id: Type.String(), type: maybe(Type.String()), function: maybe(calledFunction) }),
      ),
    ),
    function_call: maybe(calledFunction),
    tool_call_id: maybe(Type.String()),
  }),
  { minItems: 1 },
);

type Messages = Static<typeof messagesField>;
type Message = Messages[number];

/** Bytes of the texts. */
export function contentBytes(messages: Messages): number {
  let bytes = 0;
  for (const { content } of messages) {
    if (typeof content === 'string') bytes += Buffer.byteLength(content);
    else for (const piece of content ?? []) bytes += Buffer.byteLength(piece.text ?? '');
  }
  return bytes;
}

/**
 * The messages as templates know them: no "developer" (it is the system, which it replaced) and no function_call of old.
 * Throws ColophonError where something is missing, or results and calls do not belong together.
 */
export function readMessages(messages: Messages): ChatMessage[] {
  checkResults(messages);
  return messages.map((message, index) => {
    const calls = callsOf(message, index);
    const content = contentOf(message, index, calls.length > 0);
    const { name, tool_call_id: id } = message;
    const role =
      message.role === 'developer' ? 'system' : message.role === 'function' ? 'tool' : message.role;
    return {
      role,
      content,
      ...(given(name) ? { name } : {}),
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
      ...(given(id) ? { tool_call_id: id } : {}),
    };
  });
}

function contentOf(message: Message, index: number, calls: boolean): ChatMessage['content'] {
  const { content, refusal, role } = message;
  if (Array.isArray(content)) {
    return content.map((piece) =>
      piece.type === 'refusal' && role === 'assistant' ? { type: 'text', text: piece.refusal ?? '' } : piece,
    );
  }
  if (typeof content === 'string') return content;
  if (role === 'assistant' && given(refusal)) return refusal;
  if (calls) return null;
  throw missing(`messages[${index}].content`);
}

function callsOf(message: Message, index: number): unknown[] {
  const { tool_calls: calls, function_call: old, role } = message;
  const field = given(calls) && calls.length > 0 ? 'tool_calls' : given(old) ? 'function_call' : undefined;
  if (field === undefined) return [];
  const param = `messages[${index}].${field}`;
  if (role !== 'assistant') {
    throw new ColophonError(`'${param}' is only allowed in messages with role 'assistant'.`, {
      param,
      code: 'invalid_value',
    });
  }
  if (field === 'function_call') return [{ id: `call_${index}`, type: 'function', function: old }];
  return calls!.map(({ id, type, function: called }, at) => {
    if (given(type) && type !== 'function') {
      throw new ColophonError(`Tool calls of type '${type.slice(0, 64)}' are not supported; 'function' is.`, {
        param: `${param}[${at}].type`,
        code: 'unsupported_parameter',
      });
    }
    if (!called) throw missing(`${param}[${at}].function`);
    return { id, type: 'function', function: { name: called.name, arguments: called.arguments } };
  });
}

/** Each result is of a call in the message before the results, and each call has its result. */
function checkResults(messages: Messages): void {
  let calls: string[] = [];
  let open = new Set<string>();
  let results = false;
  const refuseOpen = (index: number) => {
    if (open.size === 0) return;
    const ids = [...open].join(', ');
    throw new ColophonError(
      `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${ids.slice(0, 500)}`,
      { param: `messages[${index}].role`, code: 'invalid_value' },
    );
  };
  messages.forEach((message, index) => {
    if (message.role === 'tool') {
      const param = `messages[${index}].tool_call_id`;
      if (!given(message.tool_call_id)) throw missing(param);
      if (!results) {
        throw new ColophonError(
          "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
          { param: `messages[${index}].role`, code: 'invalid_value' },
        );
      }
      if (!calls.includes(message.tool_call_id)) {
        throw new ColophonError(
          `Invalid parameter: 'tool_call_id' of '${message.tool_call_id.slice(0, 100)}' not found in 'tool_calls' of previous message.`,
          { param, code: 'invalid_value' },
        );
      }
      open.delete(message.tool_call_id);
      return;
    }
    refuseOpen(index);
    calls = message.role === 'assistant' ? (message.tool_calls ?? []).map(({ id }) => id) : [];
    results = calls.length > 0;
    open = new Set(calls);
  });
  refuseOpen(messages.length - 1);
}
