/**
 * Conversations as OpenAI's fine-tuning takes them: `{"messages": [...], "tools": [...]}`, and pairs of answers of which one is
 * preferred: `{"input": {"messages": [...]}, "preferred_output": [...], "non_preferred_output": [...]}`.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Example, Message } from '../model.ts';
import { origin, originKeys, refuseUnknownKeys, text } from './fields.ts';
import { isObject, type JsonObject } from './json_row.ts';
import { quote, Refusal } from './refusal.ts';
import { readToolCalls, readTools } from './tools.ts';

const roles = ['system', 'developer', 'user', 'assistant', 'tool'] as const;
const messageKeys = ['role', 'content', 'name', 'weight', 'tool_calls', 'tool_call_id'];
/** `parallel_tool_calls` asks something of a server and is in no text that is learned: it may be there, and is left out. */
const inputKeys = ['messages', 'tools', 'parallel_tool_calls'];
const preferenceKeys = ['input', 'preferred_output', 'non_preferred_output'];

export function readChat(row: JsonObject): Example {
  if (preferenceKeys.some((name) => name in row)) return readPreference(row);
  refuseUnknownKeys(row, [...inputKeys, ...originKeys], '', 'Row');
  return { content: conversation(row, '', true), ...origin(row) };
}

function readPreference(row: JsonObject): Example {
  refuseUnknownKeys(row, [...preferenceKeys, ...originKeys], '', 'Row');
  const { input } = row;
  if (!isObject(input)) {
    throw new Refusal('input', 'Input must be an object with messages', `, not ${quote(input)}`);
  }
  refuseUnknownKeys(input, inputKeys, 'input', 'Input');
  return { content: preference(conversation(input, 'input.', false), row), ...origin(row) };
}

/** The two answers to a conversation, in `preferred_output` and `non_preferred_output`. */
export function preference(input: { messages: Message[]; tools?: unknown[] }, row: JsonObject) {
  const calls = callsOf(input.messages);
  const [preferred_output, non_preferred_output] = (
    ['preferred_output', 'non_preferred_output'] as const
  ).map((name) => {
    const messages = readMessages(row[name], name, new Set(calls));
    const other = messages.findIndex(({ role }) => role !== 'assistant');
    if (other < 0) return messages;
    throw new Refusal(
      `${name}[${other}].role`,
      'Role must be assistant',
      `, not ${quote(messages[other]!.role)}`,
    );
  }) as [Message[], Message[]];
  if (isDeepStrictEqual(preferred_output, non_preferred_output)) {
    throw new Refusal('non_preferred_output', 'Both answers are the same');
  }
  return { input, preferred_output, non_preferred_output };
}

/** Messages and tools; `learned`: as mustTeach asks. */
export function conversation(
  row: JsonObject,
  prefix: string,
  learned: boolean,
): { messages: Message[]; tools?: unknown[] } {
  const { parallel_tool_calls: parallel } = row;
  if (parallel !== undefined && parallel !== null && typeof parallel !== 'boolean') {
    const detail = `, not ${quote(parallel)}`;
    throw new Refusal(`${prefix}parallel_tool_calls`, 'Parallel tool calls must be true or false', detail);
  }
  const messages = readMessages(row.messages, `${prefix}messages`);
  const tools = readTools(row.tools, `${prefix}tools`);
  if (learned) mustTeach(messages, `${prefix}messages`);
  return { messages, ...(tools === undefined ? {} : { tools }) };
}

/** One message at least must be the assistant's, and learned from. */
export function mustTeach(messages: Message[], field: string): void {
  const answers = messages.filter(({ role }) => role === 'assistant');
  if (answers.some(({ weight }) => weight !== 0)) return;
  throw new Refusal(
    field,
    answers.length > 0 ? 'No assistant message has weight 1' : 'No message is from the assistant',
  );
}

/** `calls`: ids of tool calls that may be answered; those of the messages are added. */
export function readMessages(value: unknown, field: string, calls = new Set<string>()): Message[] {
  if (value === undefined) throw new Refusal(field, 'Messages are missing');
  if (!Array.isArray(value)) throw new Refusal(field, 'Messages must be a list', `, not ${quote(value)}`);
  if (value.length === 0) throw new Refusal(field, 'Messages are empty');
  return value.map((message, i) => readMessage(message, `${field}[${i}]`, calls));
}

function readMessage(value: unknown, field: string, calls: Set<string>): Message {
  if (!isObject(value)) throw new Refusal(field, 'Message must be an object', `, not ${quote(value)}`);
  if ('function_call' in value) {
    throw new Refusal(
      `${field}.function_call`,
      'Message has the old key "function_call"',
      '; write tool_calls',
    );
  }
  refuseUnknownKeys(value, messageKeys, field, 'Message');
  const { role, weight } = value;
  if (role === undefined) throw new Refusal(`${field}.role`, 'Role is missing');
  if (!roles.includes(role as Message['role'])) {
    throw new Refusal(`${field}.role`, `Role must be one of ${roles.join(', ')}`, `, not ${quote(role)}`);
  }
  const message: Message = { role: role as Message['role'], content: null };
  const given = (name: string) => value[name] !== undefined && value[name] !== null;
  const only = (name: string, of: string) => {
    if (given(name) && role !== of) {
      throw new Refusal(
        `${field}.${name}`,
        `Only ${of} messages may have ${name}`,
        `; this one is from ${role}`,
      );
    }
  };
  if (weight !== undefined && weight !== null && weight !== 0 && weight !== 1) {
    throw new Refusal(`${field}.weight`, 'Weight must be either 0 or 1', `, not ${quote(weight)}`);
  }
  only('weight', 'assistant');
  only('tool_calls', 'assistant');
  only('tool_call_id', 'tool');
  if (given('tool_calls')) message.tool_calls = readToolCalls(value.tool_calls, `${field}.tool_calls`, calls);
  message.content = readContent(value.content, `${field}.content`, message.tool_calls !== undefined);
  if (given('name')) message.name = readName(value.name, `${field}.name`);
  if (given('weight')) message.weight = weight as 0 | 1;
  if (role === 'tool') {
    const id = text(value.tool_call_id ?? undefined, `${field}.tool_call_id`, 'Tool call id');
    if (!calls.has(id)) {
      throw new Refusal(`${field}.tool_call_id`, `Tool call id ${quote(id)} is that of no call before it`);
    }
    message.tool_call_id = id;
  }
  return message;
}

/** A string, or a list of parts that are text; none beside tool calls. */
function readContent(value: unknown, field: string, mayBeNull: boolean): string | null {
  if (value === undefined || value === null) {
    if (mayBeNull) return null;
    throw new Refusal(field, value === null ? 'Content is null' : 'Content is missing');
  }
  const content = Array.isArray(value) ? joinParts(value, field) : value;
  if (typeof content !== 'string') {
    throw new Refusal(field, 'Content must be a string', `, not ${quote(content)}`);
  }
  if (content === '' && !mayBeNull) throw new Refusal(field, 'Content is empty');
  return content;
}

function joinParts(parts: unknown[], field: string): string {
  return parts
    .map((part, i) => {
      if (isObject(part) && part.type === 'text' && typeof part.text === 'string') return part.text;
      const detail = `, not ${quote(isObject(part) ? part.type : part)}`;
      throw new Refusal(`${field}[${i}]`, 'Content must be text', detail);
    })
    .join('');
}

function readName(value: unknown, field: string): string {
  const name = text(value, field, 'Name');
  if (/^[\w-]{1,64}$/.test(name)) return name;
  throw new Refusal(field, 'Name must be 1 to 64 letters, digits, _ or -', `, not ${quote(name)}`);
}

function callsOf(messages: Message[]): string[] {
  return messages.flatMap(
    ({ tool_calls: calls }) => (calls as Array<{ id: string }> | undefined)?.map(({ id }) => id) ?? [],
  );
}
