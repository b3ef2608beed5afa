/** Turns what people write into what the schema means, before it is checked. */
import type { TSchema } from 'typebox';
import { findFault, type Node } from '../schema/fault.ts';
import { parseBytes } from './bytes.ts';

/** A value from the environment or a flag: only the schema knows whether "8" is a number. */
export class Text {
  readonly value: string;
  constructor(value: string) {
    this.value = value;
  }
}

/** A copy with texts read by the schema, sizes in bytes and defaults filled in. What does not fit is left for the check. */
export function coerce(node: Node & { default?: unknown }, value: unknown): unknown {
  if (value === undefined || value === null) {
    // A default of an object may leave out what has defaults of its own.
    if (node.default !== undefined)
      return coerce({ ...node, default: undefined }, structuredClone(node.default));
    if (node.type !== 'object' || !node.properties) return value ?? undefined;
    return coerceObject(node, {});
  }
  if (value instanceof Text) return coerceText(node, value.value);
  if (node.bytes && typeof value === 'string') return parseBytes(value) ?? value;
  if (node.anyOf) {
    for (const variant of node.anyOf) {
      const candidate = coerce(variant, value);
      if (!findFault(variant as TSchema, candidate)) return candidate;
    }
    return value;
  }
  if (Array.isArray(value)) return node.items ? value.map((item) => coerce(node.items!, item)) : value;
  if (typeof value === 'object') return coerceObject(node, value as Record<string, unknown>);
  return value;
}

function coerceObject(node: Node, value: Record<string, unknown>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  const rest =
    Object.values(node.patternProperties ?? {})[0] ??
    (typeof node.additionalProperties === 'object' ? node.additionalProperties : {});
  for (const [key, item] of Object.entries(value)) {
    if (!Object.hasOwn(node.properties ?? {}, key)) result[key] = coerce(rest, item);
  }
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    const optional = !node.required?.includes(key);
    if (optional && value[key] === undefined && (child as { default?: unknown }).default === undefined)
      continue;
    const item = coerce(child, value[key]);
    if (item !== undefined) result[key] = item;
  }
  return result;
}

function coerceText(node: Node, text: string): unknown {
  if (node.bytes) return parseBytes(text) ?? text;
  if (node.anyOf) {
    for (const variant of node.anyOf) {
      const candidate = coerceText(variant, text);
      if (!findFault(variant as TSchema, candidate)) return candidate;
    }
    return text;
  }
  if (node.type === 'integer' || node.type === 'number') {
    return /^\s*-?\d+(\.\d+)?\s*$/.test(text) ? Number(text) : text;
  }
  if (node.type === 'boolean') {
    if (/^(true|yes|on|1)$/i.test(text)) return true;
    return /^(false|no|off|0)$/i.test(text) ? false : text;
  }
  if (node.type === 'array') return text.split(':').filter((part) => part !== '');
  return text;
}
