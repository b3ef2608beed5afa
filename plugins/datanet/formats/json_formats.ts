/** Which format a row of JSON has, by its keys. */
import type { Example, FormatName } from '../model.ts';
import { readAlpaca } from './alpaca.ts';
import { readChat } from './chat.ts';
import { readCompletion, readText } from './completion.ts';
import type { JsonObject } from './json_row.ts';
import { quote, Refusal } from './refusal.ts';
import { readShareGpt } from './sharegpt.ts';

export type JsonFormat = Extract<FormatName, 'chat' | 'completion' | 'alpaca' | 'sharegpt'>;

const readers: Record<JsonFormat, (row: JsonObject) => Example> = {
  chat: readChat,
  completion: readCompletion,
  alpaca: readAlpaca,
  sharegpt: readShareGpt,
};

/** Keys that are of one format alone. */
const marks: ReadonlyArray<[string, (row: JsonObject) => Example]> = [
  ['messages', readChat],
  ['preferred_output', readChat],
  ['non_preferred_output', readChat],
  ['conversations', readShareGpt],
  ['instruction', readAlpaca],
  ['completion', readCompletion],
  ['prompt', readCompletion],
  ['text', readText],
];

export function isJsonFormat(format: string): format is JsonFormat {
  return Object.hasOwn(readers, format);
}

/** Reads a row of the format, or of that which its keys show. */
export function readJsonRow(row: JsonObject, format: JsonFormat | undefined): Example {
  if (format !== undefined) return readers[format](row);
  const mark = marks.find(([name]) => Object.hasOwn(row, name));
  if (mark) return mark[1](row);
  const keys = Object.keys(row).slice(0, 10).join(', ');
  throw new Refusal(
    null,
    'Row is of no known format',
    `: it has ${keys === '' ? 'no keys' : `the keys ${quote(keys)}`}, but none of ${marks.map(([name]) => name).join(', ')}; name them in columns`,
  );
}
