/** Items of a Realtime conversation: a client's, read into ours, and ours as messages of a chat. */
import { randomBytes } from 'node:crypto';
import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import type { ChatBody } from '../http/chat_request.ts';
import { maybe } from '../schema/nullable.ts';

const text = maybe(Type.String());

export const givenItem = Type.Object({
  type: Type.Enum(['message', 'function_call', 'function_call_output', 'item_reference']),
  id: maybe(Type.String({ minLength: 1, maxLength: 64 })),
  role: maybe(Type.Enum(['user', 'assistant', 'system'])),
  content: maybe(Type.Array(Type.Object({ type: Type.String(), text }), { minItems: 1, maxItems: 1024 })),
  call_id: text,
  name: text,
  arguments: text,
  output: text,
});

export type GivenItem = Static<typeof givenItem>;

interface Common {
  id: string;
  object: 'realtime.item';
  status: 'in_progress' | 'completed' | 'incomplete';
}

export type Item = Common &
  (
    | {
        type: 'message';
        role: 'user' | 'assistant' | 'system';
        content: Array<{ type: 'input_text' | 'output_text'; text: string }>;
      }
    | { type: 'function_call'; call_id: string; name: string; arguments: string }
    | { type: 'function_call_output'; call_id: string; output: string }
  );

/** "PREFIX_" and 24 hex digits. */
export function newId(prefix: string): string {
  return `${prefix}_${randomBytes(12).toString('hex')}`;
}

/** `at` is the item's place in its event, for errors; `recall` finds items of the conversation by their id. */
export function readItem(given: GivenItem, at: string, recall: (id: string) => Item | undefined): Item {
  const common = { id: given.id ?? newId('item'), object: 'realtime.item', status: 'completed' } as const;
  switch (given.type) {
    case 'message': {
      const role = needed(given.role, `${at}.role`);
      const content = needed(given.content, `${at}.content`);
      return {
        ...common,
        type: 'message',
        role,
        content: content.map((part, index) => readPart(role, part, `${at}.content[${index}]`)),
      };
    }
    case 'function_call':
      return {
        ...common,
        type: 'function_call',
        call_id: given.call_id ?? newId('call'),
        name: needed(given.name, `${at}.name`),
        arguments: needed(given.arguments, `${at}.arguments`),
      };
    case 'function_call_output':
      return {
        ...common,
        type: 'function_call_output',
        call_id: needed(given.call_id, `${at}.call_id`),
        output: needed(given.output, `${at}.output`),
      };
    case 'item_reference': {
      const id = needed(given.id, `${at}.id`);
      return recall(id) ?? missingItem(id, `${at}.id`);
    }
  }
}

function readPart(role: string, part: { type: string; text?: string | null | undefined }, at: string) {
  const type = role === 'assistant' ? 'output_text' : 'input_text';
  // "text" is what the assistant's parts were called before the API's general availability.
  if (part.type === type || (role === 'assistant' && part.type === 'text')) {
    return { type, text: needed(part.text, `${at}.text`) } as const;
  }
  throw new ColophonError(
    `Content of the type '${part.type.slice(0, 100)}' is not supported in a message of the ${role}: the models served here read text only. Send '${type}'.`,
    { param: `${at}.type`, code: 'unsupported_value' },
  );
}

export function missingItem(id: string, param: string): never {
  throw new ColophonError(`The conversation has no item with the id '${id.slice(0, 100)}'.`, {
    type: 'not_found_error',
    param,
    code: 'item_not_found',
  });
}

function needed<Value>(value: Value, param: string): NonNullable<Value> {
  if (value !== undefined && value !== null) return value;
  throw new ColophonError(`Missing required parameter: '${param}'.`, {
    param,
    code: 'missing_required_parameter',
  });
}

/** How much of a socket's memory an item takes, about: characters. */
export function sizeOf(item: Item): number {
  if (item.type === 'message') return item.content.reduce((sum, part) => sum + part.text.length, 200);
  return (
    200 + (item.type === 'function_call' ? item.name.length + item.arguments.length : item.output.length)
  );
}

/** Items as a chat, after the instructions. Calls belong to the assistant's message before them. */
export function messagesOf(instructions: string, items: readonly Item[]): ChatBody['messages'] {
  const messages: Array<ChatBody['messages'][number] & { tool_calls?: unknown[] }> = [];
  for (const item of items) {
    const last = messages.at(-1);
    if (item.type === 'message') {
      messages.push({ role: item.role, content: item.content.map((part) => part.text).join('\n') });
    } else if (item.type === 'function_call_output') {
      messages.push({ role: 'tool', tool_call_id: item.call_id, content: item.output });
    } else {
      const call = {
        id: item.call_id,
        type: 'function',
        function: { name: item.name, arguments: item.arguments },
      };
      if (last?.role === 'assistant') last.tool_calls = [...(last.tool_calls ?? []), call];
      else messages.push({ role: 'assistant', content: null, tool_calls: [call] });
    }
  }
  return withInstructions(instructions, messages);
}

/** Many templates take one system message only, the first: instructions go before what it says. */
function withInstructions(instructions: string, messages: ChatBody['messages']): ChatBody['messages'] {
  if (instructions === '') return messages;
  const [first, ...rest] = messages;
  if (first?.role !== 'system') return [{ role: 'system', content: instructions }, ...messages];
  return [{ role: 'system', content: `${instructions}\n\n${first.content as string}` }, ...rest];
}
