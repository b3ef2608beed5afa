/** Tools of a conversation and calls of them, in OpenAI's shape. */
import { filledText, optionalText, refuseUnknownKeys, text } from './fields.ts';
import { isObject, type JsonObject } from './json_row.ts';
import { quote, Refusal } from './refusal.ts';

/** Undefined where there are none. */
export function readTools(value: unknown, field: string): unknown[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw new Refusal(field, 'Tools must be a list', `, not ${quote(value)}`);
  const names = new Set<string>();
  const tools = value.map((tool, i) => readTool(tool, `${field}[${i}]`, names));
  return tools.length === 0 ? undefined : tools;
}

function functionOf(value: unknown, field: string, keys: readonly string[], what: string): JsonObject {
  if (!isObject(value)) throw new Refusal(field, `${what} must be an object`, `, not ${quote(value)}`);
  refuseUnknownKeys(value, keys, field, what);
  if (value.type !== 'function') {
    throw new Refusal(`${field}.type`, `Type must be "function"`, `, not ${quote(value.type)}`);
  }
  if (isObject(value.function)) return value.function;
  throw new Refusal(`${field}.function`, 'Function must be an object', `, not ${quote(value.function)}`);
}

function functionName(value: unknown, field: string): string {
  const name = filledText(value, `${field}.function.name`, 'Function name');
  if (/^[\w.-]{1,64}$/.test(name)) return name;
  const detail = `, not ${quote(name)}`;
  throw new Refusal(
    `${field}.function.name`,
    'Function name must be 1 to 64 letters, digits, _, . or -',
    detail,
  );
}

function readTool(value: unknown, field: string, names: Set<string>): unknown {
  const given = functionOf(value, field, ['type', 'function'], 'Tool');
  refuseUnknownKeys(given, ['name', 'description', 'parameters', 'strict'], `${field}.function`, 'Function');
  const name = functionName(given.name, field);
  if (names.has(name)) throw new Refusal(`${field}.function.name`, `Two tools have the name ${quote(name)}`);
  names.add(name);
  optionalText(given.description, `${field}.function.description`, 'Description');
  const { parameters, strict } = given;
  if (parameters !== undefined && parameters !== null && !isObject(parameters)) {
    const detail = `, not ${quote(parameters)}`;
    throw new Refusal(`${field}.function.parameters`, 'Parameters must be a JSON schema', detail);
  }
  if (strict !== undefined && strict !== null && typeof strict !== 'boolean') {
    throw new Refusal(`${field}.function.strict`, 'Strict must be true or false', `, not ${quote(strict)}`);
  }
  return value;
}

/** Adds the ids of the calls to `ids`, in which none may be yet. */
export function readToolCalls(value: unknown, field: string, ids: Set<string>): unknown[] {
  if (!Array.isArray(value)) throw new Refusal(field, 'Tool calls must be a list', `, not ${quote(value)}`);
  if (value.length === 0) throw new Refusal(field, 'Tool calls are empty', '; leave them out');
  return value.map((call, i) => {
    const at = `${field}[${i}]`;
    const called = functionOf(call, at, ['id', 'type', 'function'], 'Tool call');
    refuseUnknownKeys(called, ['name', 'arguments'], `${at}.function`, 'Function');
    const id = filledText((call as JsonObject).id, `${at}.id`, 'Tool call id');
    if (ids.has(id)) throw new Refusal(`${at}.id`, `Two tool calls have the id ${quote(id)}`);
    ids.add(id);
    const name = functionName(called.name, at);
    const given = text(called.arguments, `${at}.function.arguments`, 'Arguments');
    if (!isJsonObject(given)) {
      throw new Refusal(
        `${at}.function.arguments`,
        'Arguments must be the JSON of an object',
        `, not ${quote(given)}`,
      );
    }
    return { id, type: 'function', function: { name, arguments: given } };
  });
}

function isJsonObject(json: string): boolean {
  try {
    return isObject(JSON.parse(json));
  } catch {
    return false;
  }
}
