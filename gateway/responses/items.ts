/** Items, of which inputs and outputs are made: a client's, read into ours with ids, and ours as messages of a chat. */
import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import type { ChatMessage } from '../text/text_model.ts';
import type { ItemIds } from './ids.ts';

const text = maybe(Type.String());

const givenPart = Type.Object({ type: Type.String(), text, refusal: text });
const givenContent = Type.Union([Type.String(), Type.Array(givenPart, { maxItems: 4096 })]);

const givenItem = Type.Object({
  type: text,
  id: text,
  role: maybe(Type.Enum(['user', 'assistant', 'system', 'developer'])),
  content: maybe(givenContent),
  call_id: text,
  name: text,
  arguments: text,
  output: maybe(givenContent),
});

/** Field `input` of a request. */
export const inputField = Type.Union([Type.String(), Type.Array(givenItem, { maxItems: 16_384 })]);

type GivenItem = Static<typeof givenItem>;
type GivenContent = Static<typeof givenContent>;

export interface OutputLogprob {
  token: string;
  logprob: number;
  bytes: number[];
  top_logprobs: Array<{ token: string; logprob: number; bytes: number[] }>;
}

export type ContentPart =
  | { type: 'input_text'; text: string }
  | { type: 'output_text'; text: string; annotations: never[]; logprobs: OutputLogprob[] }
  | { type: 'refusal'; refusal: string };

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

export interface MessageItem {
  id: string;
  type: 'message';
  status: ItemStatus;
  role: string;
  content: ContentPart[];
}

export interface FunctionCallItem {
  id: string;
  type: 'function_call';
  status: ItemStatus;
  call_id: string;
  name: string;
  arguments: string;
}

export interface FunctionCallOutputItem {
  id: string;
  type: 'function_call_output';
  status: ItemStatus;
  call_id: string;
  output: string | ContentPart[];
}

export type Item = MessageItem | FunctionCallItem | FunctionCallOutputItem;

/** Finds an item that came before, by its id. */
export type Recall = (itemId: string) => Item | undefined;

/** A request's input as items. Throws ColophonError that names the place of what cannot be read. */
export function readInput(input: string | GivenItem[], ids: ItemIds, recall: Recall): Item[] {
  if (typeof input === 'string') return [userMessage(input, ids)];
  return input.flatMap((given, index) => readItem(given, `input[${index}]`, ids, recall) ?? []);
}

function userMessage(content: string, ids: ItemIds): MessageItem {
  return {
    id: ids.next('msg'),
    type: 'message',
    status: 'completed',
    role: 'user',
    content: [{ type: 'input_text', text: content }],
  };
}

/** Undefined for what a model without hidden reasoning has no use for. */
function readItem(given: GivenItem, at: string, ids: ItemIds, recall: Recall): Item | undefined {
  switch (given.type ?? (isReference(given) ? 'item_reference' : 'message')) {
    case 'message':
      return {
        id: ids.next('msg'),
        type: 'message',
        status: 'completed',
        role: needed(given.role, `${at}.role`),
        content: readContent(
          needed(given.content, `${at}.content`),
          `${at}.content`,
          given.role === 'assistant',
        ),
      };
    case 'function_call':
      return {
        id: ids.next('fc'),
        type: 'function_call',
        status: 'completed',
        call_id: needed(given.call_id, `${at}.call_id`),
        name: needed(given.name, `${at}.name`),
        arguments: needed(given.arguments, `${at}.arguments`),
      };
    case 'function_call_output': {
      const output = needed(given.output, `${at}.output`);
      return {
        id: ids.next('fco'),
        type: 'function_call_output',
        status: 'completed',
        call_id: needed(given.call_id, `${at}.call_id`),
        output: typeof output === 'string' ? output : readContent(output, `${at}.output`, false),
      };
    }
    case 'item_reference': {
      const id = needed(given.id, `${at}.id`);
      const found = recall(id);
      if (found) return found;
      throw new ColophonError(
        `Item with id '${id.slice(0, 100)}' not found. Items of responses that were not stored cannot be referred to; send the item itself.`,
        { status: 404, param: `${at}.id`, code: 'item_not_found' },
      );
    }
    case 'reasoning':
      return undefined;
    default:
      throw new ColophonError(
        `Items of the type '${String(given.type).slice(0, 100)}' are not supported in 'input'. Send message, function_call, function_call_output, item_reference or reasoning.`,
        { param: `${at}.type`, code: 'unsupported_value' },
      );
  }
}

/** OpenAI lets references go without their type. */
function isReference({ id, role, content }: GivenItem): boolean {
  return typeof id === 'string' && (role ?? content ?? null) === null;
}

function readContent(content: GivenContent, at: string, output: boolean): ContentPart[] {
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
  return parts.map((part, index) => {
    const place = typeof content === 'string' ? at : `${at}[${index}]`;
    switch (part.type) {
      case 'input_text':
      case 'output_text':
      case 'text': {
        const value = needed(part.text, `${place}.text`);
        return output
          ? { type: 'output_text', text: value, annotations: [], logprobs: [] }
          : { type: 'input_text', text: value };
      }
      case 'refusal':
        return { type: 'refusal', refusal: needed(part.refusal, `${place}.refusal`) };
      default:
        throw new ColophonError(
          `Content of the type '${part.type.slice(0, 100)}' is not supported: the models served here read text only. Send input_text.`,
          { param: `${place}.type`, code: 'unsupported_value' },
        );
    }
  });
}

function needed<Value>(value: Value, param: string): NonNullable<Value> {
  if (value !== undefined && value !== null) return value;
  throw new ColophonError(`Missing required parameter: '${param}'.`, {
    param,
    code: 'missing_required_parameter',
  });
}

/** Items as a chat template wants them. Calls belong to the assistant's message before them. */
export function messagesOf(items: readonly Item[]): ChatMessage[] {
  const messages: ChatMessage[] = [];
  for (const item of items) {
    const last = messages.at(-1);
    if (item.type === 'message') {
      // Templates know no "developer"; for them it is the system, which it replaced.
      const role = item.role === 'developer' ? 'system' : item.role;
      messages.push({ role, content: textOf(item.content) });
    } else if (item.type === 'function_call') {
      const call = {
        id: item.call_id,
        type: 'function',
        function: { name: item.name, arguments: item.arguments },
      };
      if (Array.isArray(last?.tool_calls)) last.tool_calls.push(call);
      else if (last?.role === 'assistant') last.tool_calls = [call];
      else messages.push({ role: 'assistant', content: null, tool_calls: [call] });
    } else {
      const content = typeof item.output === 'string' ? item.output : textOf(item.output);
      messages.push({ role: 'tool', tool_call_id: item.call_id, content });
    }
  }
  return messages;
}

/** Parts are lines of their own, as in chat completions. */
export function textOf(content: readonly ContentPart[]): string {
  return content.map((part) => (part.type === 'refusal' ? part.refusal : part.text)).join('\n');
}
