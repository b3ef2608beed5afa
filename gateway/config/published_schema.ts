/** The JSON schema that editors use for colophon.yaml, made from the schema that the server checks with. */
import type { TSchema } from 'typebox';
import type { Node } from '../schema/fault.ts';
import { configSchema } from './schema.ts';

type Published = Record<string, unknown>;

/** `plugins`: schemas of the first-party plugins, by name. */
export function publishedSchema(plugins: Record<string, TSchema>): Published {
  const schema = publish(configSchema as Node);
  const properties = schema.properties as Record<string, Published>;
  const section = publish(
    Object.values((configSchema as Node).properties!.plugins!.patternProperties!)[0]!,
  ) as Published & { properties: object };
  properties.plugins = {
    type: 'object',
    description: properties.plugins!.description,
    properties: Object.fromEntries(
      Object.entries(plugins).map(([name, plugin]) => {
        const own = publish(plugin as Node);
        return [name, { ...own, properties: { ...section.properties, ...(own.properties as object) } }];
      }),
    ),
    additionalProperties: section,
  };
  return { $schema: 'https://json-schema.org/draft/2020-12/schema', ...schema };
}

/** What people may write: sizes as text too, and nothing is required that has a default. */
function publish(node: Node & { default?: unknown; title?: string }): Published {
  const { bytes, expects: _expects, secret, required, ...rest } = node;
  const result: Published = { ...rest };
  if (bytes) {
    const { type, minimum, maximum, ...other } = rest;
    return {
      ...other,
      anyOf: [
        { type, minimum, maximum },
        { type: 'string', pattern: '^\\s*\\d+(\\.\\d+)?\\s*([kKmMgGtT]?[iI]?[bB])?\\s*$' },
      ],
    };
  }
  if (secret) result.writeOnly = true;
  for (const key of ['properties', 'patternProperties'] as const) {
    const children = rest[key];
    if (children) {
      result[key] = Object.fromEntries(
        Object.entries(children).map(([name, child]) => [name, publish(child)]),
      );
    }
  }
  if (rest.items) result.items = publish(rest.items);
  if (rest.anyOf) result.anyOf = rest.anyOf.map(publish);
  const needed = (required ?? []).filter((key) => {
    const child = rest.properties?.[key] as { default?: unknown; type?: string } | undefined;
    return child?.default === undefined && child?.type !== 'object';
  });
  if (needed.length > 0) result.required = needed;
  return result;
}

/** As biome lays JSON out, so that the published file passes it: short lists of plain values on one line. */
export function formatJson(value: unknown, indent = ''): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const plain = value.every((item) => typeof item !== 'object' || item === null);
    if (plain) return `[${value.map((item) => JSON.stringify(item)).join(', ')}]`;
    return `[\n${value.map((item) => inner + formatJson(item, inner)).join(',\n')}\n${indent}]`;
  }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  if (entries.length === 0) return '{}';
  return `{\n${entries
    .map(([key, item]) => `${inner}${JSON.stringify(key)}: ${formatJson(item, inner)}`)
    .join(',\n')}\n${indent}}`;
}
