/** Rows of tables, and rows of JSON whose keys have other names: columns become the parts of an example. */
import type { ColumnMapping, Example, Message } from '../model.ts';
import { alpacaKeys, readAlpaca } from './alpaca.ts';
import { conversation, preference } from './chat.ts';
import { filledText, optionalText, origin, text } from './fields.ts';
import { isObject, type JsonObject, parseField } from './json_row.ts';
import { key } from './refusal.ts';
import { readShareGpt, shareGptKeys } from './sharegpt.ts';

const parts = [
  'system',
  'prompt',
  'completion',
  'messages',
  'tools',
  'text',
  'preferred_output',
  'non_preferred_output',
  'source',
  'group',
] as const satisfies ReadonlyArray<keyof ColumnMapping>;

/** How the rows of a table are read, and which of its columns that takes. */
export interface TableReader {
  columns: string[];
  read(row: JsonObject): Example;
}

/** Of a table with such columns; undefined where it has none that say what an example is. */
export function tableReader(
  columns: readonly string[],
  mapping: ColumnMapping | undefined,
): TableReader | undefined {
  const having = (names: readonly string[]) => names.filter((name) => columns.includes(name));
  if (mapping === undefined) {
    const own = Object.fromEntries(having(parts).map((name) => [name, name])) as ColumnMapping;
    if (!saysSomething(own)) return foreignTable(having);
    return { columns: Object.values(own), read: (row) => readMapped(row, own) };
  }
  return { columns: Object.values(mapping), read: (row) => readMapped(row, mapping) };
}

/** Other columns than a format's own (ids, rendered copies) are common in tables and no part of its rows. */
function foreignTable(having: (names: readonly string[]) => string[]): TableReader | undefined {
  const origins = having(['source', 'group']);
  // A column of text has a conversation as its JSON.
  const lists = ['conversations', 'history'];
  const part = (row: JsonObject, name: string) =>
    withoutNulls(lists.includes(name) ? list(row[name], name) : row[name]);
  const of = (names: string[], read: (row: JsonObject) => Example): TableReader => {
    const columns = [...names, ...origins];
    const given = (row: JsonObject) => columns.filter((name) => row[name] != null && row[name] !== '');
    return {
      columns,
      read: (row) => read(Object.fromEntries(given(row).map((name) => [name, part(row, name)]))),
    };
  };
  if (having(['instruction', 'output']).length === 2) return of(having(alpacaKeys), readAlpaca);
  if (having(['conversations']).length === 1) return of(having(shareGptKeys), readShareGpt);
  return undefined;
}

/** Columns that say what is learned. */
const saysSomething = (mapping: ColumnMapping) =>
  mapping.messages !== undefined ||
  mapping.completion !== undefined ||
  mapping.text !== undefined ||
  mapping.preferred_output !== undefined;

/** A mapping that says what an example is, or why it does not. */
export function checkMapping(mapping: ColumnMapping): string | undefined {
  if (saysSomething(mapping)) return undefined;
  return 'columns must name the column of messages, completion, text or preferred_output';
}

/** Columns of several kinds may be there, of which each row fills those of its own. */
export function readMapped(row: JsonObject, mapping: ColumnMapping): Example {
  const value = (part: keyof ColumnMapping) => {
    const name = mapping[part];
    const found = name === undefined || !Object.hasOwn(row, name) ? undefined : row[name];
    return found === null || found === '' ? undefined : found;
  };
  const name = (part: keyof ColumnMapping) => key(mapping[part] ?? part);
  const said = origin(row, mapping);
  const input = () => ({
    messages:
      value('messages') === undefined
        ? question(value, name)
        : withoutNulls(list(value('messages'), name('messages'))),
    tools: withoutNulls(list(value('tools'), name('tools'))),
  });
  if (value('preferred_output') !== undefined) {
    const answers = {
      preferred_output: answer(value('preferred_output'), name('preferred_output')),
      non_preferred_output: answer(value('non_preferred_output'), name('non_preferred_output')),
    };
    return { content: preference(conversation(input() as JsonObject, '', false), answers), ...said };
  }
  if (value('messages') !== undefined) {
    return { content: conversation(input() as JsonObject, '', true), ...said };
  }
  if (value('completion') !== undefined || mapping.text === undefined) {
    const completion = filledText(value('completion'), name('completion'), 'Completion');
    const prompt = text(value('prompt') ?? '', name('prompt'), 'Prompt');
    if (value('system') === undefined) return { content: { prompt, completion }, ...said };
    const messages = [...question(value, name), { role: 'assistant', content: completion } as Message];
    return { content: { messages }, ...said };
  }
  return { content: { text: filledText(value('text'), name('text'), 'Text') }, ...said };
}

type ValueOf = (part: keyof ColumnMapping) => unknown;

/** What is asked, from the columns of system and prompt. */
function question(value: ValueOf, name: (part: keyof ColumnMapping) => string): Message[] {
  const system = optionalText(value('system'), name('system'), 'System');
  const prompt = filledText(value('prompt'), name('prompt'), 'Prompt');
  return [
    ...(system === undefined ? [] : [{ role: 'system' as const, content: system }]),
    { role: 'user', content: prompt },
  ];
}

/** One answer of a pair: a text, or a list of messages. */
function answer(value: unknown, field: string): unknown {
  if (typeof value !== 'string' || value.trimStart().startsWith('[')) return withoutNulls(list(value, field));
  return [{ role: 'assistant', content: filledText(value, field, 'Answer') }];
}

/** A list, which a column of text has as its JSON. */
function list(value: unknown, field: string): unknown {
  return typeof value === 'string' ? parseField(value, field, 'Column must be a list or its JSON') : value;
}

/** Parquet gives every message all the fields that any of them has; those that are null are not there. */
function withoutNulls(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  return value.map((entry) => {
    if (!isObject(entry)) return entry;
    const given = Object.entries(entry).filter(([name, part]) => part !== null || name === 'content');
    return Object.fromEntries(
      given.map(([name, part]) => (name === 'tool_calls' ? [name, list(part, name)] : [name, part])),
    );
  });
}
