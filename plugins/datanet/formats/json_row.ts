/**
 * JSON of a row, as strictly as I-JSON (RFC 7493) has it, so that one row is one value for every reader: no name twice in an
 * object, no half of a surrogate pair, no number that a double cannot hold. Besides: no NUL, no `__proto__`, no endless nesting.
 */
import { key, quote, Refusal } from './refusal.ts';

/** Brackets inside brackets that a row may have. */
const deepest = 64;

export type JsonObject = Record<string, unknown>;

export function parseRow(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Refusal(null, 'Row is not JSON', `: ${quote((error as Error).message).slice(1, -1)}`);
  }
  if (!isObject(value)) throw new Refusal(null, 'Row must be a JSON object', `, not ${quote(value)}`);
  if (checkValue(value) !== namesIn(text)) throw duplicateName(text);
  return value;
}

/** A value that a field has as JSON in its text, held to the same as a row; `must` is the sentence where it is no JSON. */
export function parseField(text: string, field: string, must: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal(field, must, `, not ${quote(text)}`);
  }
  if (checkValue(value, [field]) !== namesIn(text)) throw duplicateName(text);
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Names and numbers on the way to a value; it is spelled only where something is wrong. */
export type Path = Array<string | number>;

export const spelled = (path: Path): string | null =>
  path
    .map((step, i) => (typeof step === 'number' ? `[${step}]` : `${i > 0 ? '.' : ''}${key(step)}`))
    .join('') || null;

/** Refuses what must not be in a row. Returns how many names its objects have together. */
export function checkValue(value: unknown, path: Path = []): number {
  if (typeof value === 'string') checkString(value, path);
  if (typeof value === 'number') checkNumber(value, path);
  if (typeof value !== 'object' || value === null) return 0;
  if (path.length === deepest) throw new Refusal(spelled(path), `Row is nested more than ${deepest} deep`);
  let names = 0;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      path.push(i);
      names += checkValue(value[i], path);
      path.pop();
    }
    return names;
  }
  for (const name of Object.keys(value)) {
    path.push(name);
    if (name === '__proto__') throw new Refusal(spelled(path), `Key "__proto__" is not allowed`);
    checkString(name, path);
    names += 1 + checkValue((value as JsonObject)[name], path);
    path.pop();
  }
  return names;
}

function checkString(text: string, path: Path): void {
  // With the flag u, halves that have their other half are no match.
  if (/\p{Surrogate}/u.test(text)) throw new Refusal(spelled(path), 'Text has half of a surrogate pair');
  if (text.includes('\0')) throw new Refusal(spelled(path), 'Text has a NUL character');
}

function checkNumber(number: number, path: Path): void {
  if (Number.isInteger(number) ? Number.isSafeInteger(number) : Number.isFinite(number)) return;
  throw new Refusal(spelled(path), 'Number is too large to be held exactly', '; write it as a string');
}

/** End of the string that begins at `at`, which is behind its closing quote; `text` is JSON. */
function stringEnd(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); ; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text[end - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return end + 1;
  }
}

const isColonNext = (text: string, at: number) => {
  let next = at;
  while (text.charCodeAt(next) <= 32) next++;
  return text[next] === ':';
};

/** How many names are written in a JSON text: where that is more than its value has, one was written twice. */
function namesIn(text: string): number {
  let names = 0;
  for (let at = text.indexOf('"'); at >= 0; ) {
    const end = stringEnd(text, at);
    if (isColonNext(text, end)) names++;
    at = text.indexOf('"', end);
  }
  return names;
}

function duplicateName(text: string): Refusal {
  const open: Array<Set<string> | null> = [];
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '{') open.push(new Set());
    else if (char === '[') open.push(null);
    else if (char === '}' || char === ']') open.pop();
    else if (char === '"') {
      const end = stringEnd(text, at);
      if (isColonNext(text, end)) {
        const name = JSON.parse(text.slice(at, end)) as string;
        const names = open.at(-1)!;
        if (names?.has(name)) return new Refusal(key(name), `Key ${quote(name)} is there twice`);
        names?.add(name);
      }
      at = end - 1;
    }
  }
  return new Refusal(null, 'A key is there twice');
}
