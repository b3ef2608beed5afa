/** ShareGPT: `{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}`. */
import type { Example } from '../model.ts';
import { mustTeach, readMessages } from './chat.ts';
import { filledText, optionalText, origin, originKeys, refuseUnknownKeys, text } from './fields.ts';
import { isObject, type JsonObject, parseField } from './json_row.ts';
import { quote, Refusal } from './refusal.ts';
import { readTools } from './tools.ts';

/** `id` and `idx` number rows in many files; they are not part of an example. */
export const shareGptKeys = ['conversations', 'system', 'tools', 'id', 'idx'];

const roleOf: Readonly<Record<string, string>> = {
  system: 'system',
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  assistant: 'assistant',
  chatgpt: 'assistant',
  function_call: 'assistant',
  observation: 'tool',
  tool: 'tool',
};

export function readShareGpt(row: JsonObject): Example {
  refuseUnknownKeys(row, [...shareGptKeys, ...originKeys], '', 'Row');
  const { conversations } = row;
  if (!Array.isArray(conversations)) {
    throw new Refusal('conversations', 'Conversations must be a list', `, not ${quote(conversations)}`);
  }
  const system = optionalText(row.system, 'system', 'System');
  /** Ids of calls that have no observation yet. */
  const open: string[] = [];
  let calls = 0;
  const turns = conversations.map((turn, i) => {
    const field = `conversations[${i}]`;
    if (!isObject(turn)) throw new Refusal(field, 'Turn must be an object', `, not ${quote(turn)}`);
    // Some files of this name have OpenAI's messages inside.
    if ('role' in turn) return turn;
    refuseUnknownKeys(turn, ['from', 'value', 'weight'], field, 'Turn');
    const from = text(turn.from, `${field}.from`, 'From');
    const role = Object.hasOwn(roleOf, from) ? roleOf[from]! : undefined;
    if (role === undefined) {
      const known = Object.keys(roleOf).join(', ');
      throw new Refusal(`${field}.from`, `From must be one of ${known}`, `, not ${quote(from)}`);
    }
    const value = filledText(turn.value, `${field}.value`, 'Value');
    if (role === 'tool') return { role, content: value, tool_call_id: open.shift() };
    const weight = turn.weight === undefined ? {} : { weight: turn.weight };
    if (from !== 'function_call') return { role, content: value, ...weight };
    open.push(`call_${++calls}`);
    return {
      role,
      content: null,
      tool_calls: [toolCall(value, `${field}.value`, `call_${calls}`)],
      ...weight,
    };
  });
  const messages = readMessages(turns, 'conversations');
  mustTeach(messages, 'conversations');
  if (system) messages.unshift({ role: 'system', content: system });
  const tools = readTools(parsedTools(row.tools), 'tools');
  return { content: { messages, ...(tools === undefined ? {} : { tools }) }, ...origin(row) };
}

/** ShareGPT writes a call as the JSON of its name and arguments. */
function toolCall(value: string, field: string, id: string): JsonObject {
  const must = 'Function call must be the JSON of a name and arguments';
  const call = parseField(value, field, must);
  if (!isObject(call) || typeof call.name !== 'string')
    throw new Refusal(field, must, `, not ${quote(value)}`);
  const given = call.arguments ?? {};
  const json = typeof given === 'string' ? given : JSON.stringify(given);
  return { id, type: 'function', function: { name: call.name, arguments: json } };
}

/** Tools are a list here too, or its JSON, in OpenAI's shape or as bare functions. */
function parsedTools(value: unknown): unknown {
  if (value === undefined || value === null || value === '') return undefined;
  const tools = typeof value === 'string' ? parseField(value, 'tools', 'Tools must be JSON') : value;
  if (!Array.isArray(tools)) return tools;
  return tools.map((tool) =>
    isObject(tool) && !('function' in tool) ? { type: 'function', function: tool } : tool,
  );
}
