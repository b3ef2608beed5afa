/**
 * Finds what is wrong with a value, as one fact about one place, so that each surface (HTTP, config) can word it in its
 * own way. TypeBox decides whether a value is right; this says why it is not.
 */
import type { TSchema } from 'typebox';
import Schema from 'typebox/schema';

export type FaultKind =
  | 'missing'
  | 'unknown'
  | 'type'
  | 'below'
  | 'above'
  | 'too-short'
  | 'too-long'
  | 'too-few'
  | 'too-many'
  | 'value';

export interface Fault {
  kind: FaultKind;
  path: Array<string | number>;
  /** The schema at the place. */
  schema: Node;
  /** What stands there; undefined where it is missing. */
  value: unknown;
  /** Keys that the object knows, where one is unknown. */
  known?: string[];
}

/** The parts of JSON schema that our own schemas use. */
export interface Node {
  type?: string;
  anyOf?: Node[];
  const?: unknown;
  enum?: unknown[];
  properties?: Record<string, Node>;
  patternProperties?: Record<string, Node>;
  additionalProperties?: boolean | Node;
  required?: string[];
  items?: Node;
  minItems?: number;
  maxItems?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  description?: string;
  /** Ours: what is expected, in words, where the schema's own reading would not help. */
  expects?: string;
  /** Ours: sizes such as "2GiB" are read as bytes. */
  bytes?: boolean;
  /** Ours: never shown. */
  secret?: boolean;
}

type Path = Array<string | number>;

/** The first fault, outermost and in the schema's order; undefined where the value is right. */
export function findFault(schema: TSchema, value: unknown): Fault | undefined {
  return inspect(schema as Node, value, []);
}

/** What JSON calls the value's type, with an article. */
export function nameType(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a number';
  if (typeof value === 'object') return 'an object';
  return typeof value === 'boolean' ? 'a boolean' : typeof value === 'string' ? 'a string' : 'nothing';
}

/** What the schema accepts, in words: "an integer from 1 to 128". */
export function describe(node: Node): string {
  if (node.expects) return node.expects;
  if (node.anyOf) {
    const parts = [...new Set(node.anyOf.filter((part) => part.type !== 'null').map(describe))];
    const options = node.anyOf.every((part) => part.const !== undefined || part.type === 'null');
    if (options && parts.length > 1) {
      return `one of ${node.anyOf
        .filter((part) => part.const !== undefined)
        .map((part) => quote(part.const))
        .join(', ')}`;
    }
    return parts.join(' or ');
  }
  if (node.const !== undefined) return quote(node.const);
  if (node.enum)
    return node.enum.length === 1 ? quote(node.enum[0]) : `one of ${node.enum.map(quote).join(', ')}`;
  if (node.type === 'integer' || node.type === 'number') {
    return `${node.type === 'integer' ? 'an integer' : 'a number'}${describeRange(node)}`;
  }
  if (node.type === 'boolean') return 'true or false';
  if (node.type === 'array') return node.items ? `an array of ${plural(describe(node.items))}` : 'an array';
  if (node.type === 'object') return 'an object';
  if (node.type === 'null') return 'null';
  return node.type === 'string' ? 'a string' : 'a value';
}

function quote(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value);
}

function describeRange(node: Node): string {
  const above = node.exclusiveMinimum;
  if (above !== undefined)
    return node.maximum === undefined ? ` above ${above}` : ` above ${above} and up to ${node.maximum}`;
  if (node.minimum !== undefined && node.maximum !== undefined)
    return ` from ${node.minimum} to ${node.maximum}`;
  if (node.minimum !== undefined) return `, ${node.minimum} or more`;
  return node.maximum === undefined ? '' : `, ${node.maximum} or less`;
}

function plural(phrase: string): string {
  return phrase.replace(/^(an?) (\w+)/, (_all, _article, noun: string) => `${noun}s`);
}

function inspect(node: Node, value: unknown, path: Path): Fault | undefined {
  if (node.anyOf) return inspectUnion(node, node.anyOf, value, path);
  if (node.const !== undefined)
    return value === node.const ? undefined : { kind: 'value', path, schema: node, value };
  if (node.enum) return node.enum.includes(value) ? undefined : { kind: 'value', path, schema: node, value };
  switch (node.type) {
    case 'object':
      return inspectObject(node, value, path);
    case 'array':
      return inspectArray(node, value, path);
    case 'string':
      return inspectString(node, value, path);
    case 'integer':
    case 'number':
      return inspectNumber(node, value, path);
    case 'boolean':
      return typeof value === 'boolean' ? undefined : { kind: 'type', path, schema: node, value };
    case 'null':
      return value === null ? undefined : { kind: 'type', path, schema: node, value };
    default:
      return undefined;
  }
}

/** The one variant that the value seems to mean is looked into; where none stands out, the union itself is at fault. */
function inspectUnion(node: Node, variants: Node[], value: unknown, path: Path): Fault | undefined {
  if (variants.some((variant) => Schema.Check(variant as TSchema, value))) return undefined;
  if (node.expects) return { kind: 'value', path, schema: node, value };
  const present = variants.filter((variant) => variant.type !== 'null');
  const meant = present.length === 1 ? present : present.filter((variant) => resembles(variant, value));
  if (meant.length === 1) return inspect(meant[0]!, value, path);
  const kind = variants.some((variant) => sameType(variant, value)) ? 'value' : 'type';
  return { kind, path, schema: node, value };
}

function resembles(variant: Node, value: unknown): boolean {
  if (!sameType(variant, value)) return false;
  if (Array.isArray(value) && variant.items && value.length > 0) return sameType(variant.items, value[0]);
  if (variant.type !== 'object') return true;
  const tags = Object.entries(variant.properties ?? {}).filter(
    ([, property]) => property.const !== undefined,
  );
  return tags.every(([key, property]) => (value as Record<string, unknown>)[key] === property.const);
}

function sameType(node: Node, value: unknown): boolean {
  switch (node.type) {
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'integer':
    case 'number':
      return typeof value === 'number';
    case 'null':
      return value === null;
    default:
      return typeof value === node.type;
  }
}

function inspectObject(node: Node, value: unknown, path: Path): Fault | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { kind: 'type', path, schema: node, value };
  }
  const entries = value as Record<string, unknown>;
  const properties = node.properties ?? {};
  const patterns = Object.entries(node.patternProperties ?? {}).map(([text, child]) => ({
    test: new RegExp(text),
    child,
  }));
  for (const key of node.required ?? []) {
    if (entries[key] === undefined) {
      return { kind: 'missing', path: [...path, key], schema: properties[key] ?? {}, value: undefined };
    }
  }
  for (const [key, child] of Object.entries(properties)) {
    if (entries[key] === undefined) continue;
    const fault = inspect(child, entries[key], [...path, key]);
    if (fault) return fault;
  }
  for (const key of Object.keys(entries)) {
    if (Object.hasOwn(properties, key)) continue;
    const child =
      patterns.find(({ test }) => test.test(key))?.child ??
      (typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined);
    if (child) {
      const fault = inspect(child, entries[key], [...path, key]);
      if (fault) return fault;
    } else if (node.additionalProperties === false) {
      const known = Object.keys(properties);
      return { kind: 'unknown', path: [...path, key], schema: node, value: entries[key], known };
    }
  }
  return undefined;
}

function inspectArray(node: Node, value: unknown, path: Path): Fault | undefined {
  if (!Array.isArray(value)) return { kind: 'type', path, schema: node, value };
  if (value.length < (node.minItems ?? 0)) return { kind: 'too-few', path, schema: node, value };
  if (value.length > (node.maxItems ?? Number.POSITIVE_INFINITY))
    return { kind: 'too-many', path, schema: node, value };
  if (!node.items) return undefined;
  for (let index = 0; index < value.length; index++) {
    const fault = inspect(node.items, value[index], [...path, index]);
    if (fault) return fault;
  }
  return undefined;
}

function inspectString(node: Node, value: unknown, path: Path): Fault | undefined {
  if (typeof value !== 'string') return { kind: 'type', path, schema: node, value };
  if (value.length < (node.minLength ?? 0)) return { kind: 'too-short', path, schema: node, value };
  if (value.length > (node.maxLength ?? Number.POSITIVE_INFINITY))
    return { kind: 'too-long', path, schema: node, value };
  if (node.pattern && !new RegExp(node.pattern).test(value))
    return { kind: 'value', path, schema: node, value };
  return undefined;
}

function inspectNumber(node: Node, value: unknown, path: Path): Fault | undefined {
  if (typeof value !== 'number' || Number.isNaN(value)) return { kind: 'type', path, schema: node, value };
  // Infinity (1e999 in JSON) is out of range before it is not an integer: that is what the client should read.
  if (value < (node.minimum ?? Number.NEGATIVE_INFINITY)) return { kind: 'below', path, schema: node, value };
  if (value <= (node.exclusiveMinimum ?? Number.NEGATIVE_INFINITY))
    return { kind: 'below', path, schema: node, value };
  if (value > (node.maximum ?? Number.MAX_VALUE)) return { kind: 'above', path, schema: node, value };
  if (value >= (node.exclusiveMaximum ?? Number.POSITIVE_INFINITY))
    return { kind: 'above', path, schema: node, value };
  if (value === Number.NEGATIVE_INFINITY) return { kind: 'below', path, schema: node, value };
  if (node.type === 'integer' && !Number.isInteger(value)) return { kind: 'type', path, schema: node, value };
  return undefined;
}
