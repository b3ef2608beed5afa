/** What the readers of rows have in common. */
import type { Example } from '../model.ts';
import type { JsonObject } from './json_row.ts';
import { key, quote, Refusal } from './refusal.ts';

/** Keys that a row of any format may have besides its own: see Example; `metadata` is what an export says of it, and left out. */
export const originKeys = ['source', 'group', 'metadata'];

export function refuseUnknownKeys(
  value: JsonObject,
  known: readonly string[],
  field: string,
  what: string,
): void {
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue;
    const path = field === '' ? key(name) : `${field}.${key(name)}`;
    throw new Refusal(path, `${what} has the unknown key ${quote(name)}`, `; known are ${known.join(', ')}`);
  }
}

/** A text that must be there. */
export function text(value: unknown, field: string, name: string): string {
  if (value === undefined) throw new Refusal(field, `${name} is missing`);
  if (typeof value !== 'string')
    throw new Refusal(field, `${name} must be a string`, `, not ${quote(value)}`);
  return value;
}

/** A text that must be there and say something. */
export function filledText(value: unknown, field: string, name: string): string {
  const found = text(value, field, name);
  if (found.trim() === '') throw new Refusal(field, `${name} is empty`);
  return found;
}

/** A text that may be left out, or be null. */
export function optionalText(value: unknown, field: string, name: string): string | undefined {
  return value === undefined || value === null ? undefined : text(value, field, name);
}

/** Longest source and group, characters: they are kept beside the example, in the store. */
const originCharacters = 1000;

/** Source and group of a row; a number stands for its text, as ids in tables do. */
export function origin(
  row: JsonObject,
  names: { source?: string; group?: string } = { source: 'source', group: 'group' },
): Pick<Example, 'source' | 'group'> {
  const found: Pick<Example, 'source' | 'group'> = {};
  for (const part of ['source', 'group'] as const) {
    const name = names[part];
    const value = name === undefined ? undefined : row[name];
    if (value === undefined || value === null || value === '') continue;
    const label = part === 'source' ? 'Source' : 'Group';
    const said = typeof value === 'number' || typeof value === 'bigint' ? String(value) : value;
    if (typeof said !== 'string')
      throw new Refusal(key(name!), `${label} must be a string`, `, not ${quote(said)}`);
    if (said.length > originCharacters) {
      throw new Refusal(key(name!), `${label} is longer than ${originCharacters} characters`);
    }
    found[part] = said;
  }
  return found;
}
