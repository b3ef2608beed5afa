import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TSchema } from 'typebox';
import Schema from 'typebox/schema';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import nativePlugin from '../../plugins/backends/native/index.ts';
import type { Node } from '../schema/fault.ts';
import { loadConfig } from './load.ts';
import { formatJson, publishedSchema } from './published_schema.ts';
import { configSchema } from './schema.ts';

const folder = join(import.meta.dirname, '../../config');
const schemas: Record<string, TSchema> = { native: nativePlugin.config };
const shipped = join(folder, 'colophon.yaml');

// To write it anew: npx vitest run gateway/config/published_schema.test.ts -u
test('the published JSON schema is that of the server', async () => {
  const text = `${formatJson(publishedSchema(schemas))}\n`;
  await expect(text).toMatchFileSnapshot(join(folder, 'colophon.schema.json'));
});

test('the published schema takes what the server takes', () => {
  const check = Schema.Compile(publishedSchema(schemas));
  const good = [
    '',
    parse(readFileSync(shipped, 'utf8')),
    { plugins: { native: { kv_bytes: '2GiB', enabled: true } } },
  ];
  for (const value of good) expect(check.Check(value || {}), JSON.stringify(value)).toBe(true);
  for (const value of [
    { server: { prot: 1 } },
    { server: { port: 'eighty' } },
    { plugins: { native: { kv_bytes: 'much' } } },
    { plugins: { native: { threds: 1 } } },
    { log: { level: 'loud' } },
  ]) {
    expect(check.Check(value), JSON.stringify(value)).toBe(false);
  }
});

test('the shipped configuration says every setting and changes none', () => {
  const env = { COLOPHON_HOME: '/nowhere' };
  const { origin: _, plugin: _p, file, ...values } = loadConfig({ env, file: shipped });
  const {
    origin: _d,
    plugin: _dp,
    file: _f,
    ...defaults
  } = loadConfig({ env: { ...env, COLOPHON_CONFIG: '/dev/null' } });
  expect(file).toBe(shipped);
  expect({ ...values, plugins: {} }).toEqual({ ...defaults, plugins: {} });
  expect(loadConfig({ env, file: shipped }).plugin('native', nativePlugin.config)).toEqual(
    loadConfig({ env: { ...env, COLOPHON_CONFIG: '/dev/null' } }).plugin('native', nativePlugin.config),
  );
  const text = readFileSync(shipped, 'utf8');
  const names = (node: Node): string[] =>
    Object.entries(node.properties ?? {}).flatMap(([key, child]) => [key, ...names(child)]);
  for (const name of [...names(configSchema as Node), ...names(nativePlugin.config as Node)]) {
    if (name === 'model_source') continue; // set by the gateway, not by people
    expect(text, `colophon.yaml does not mention ${name}`).toMatch(new RegExp(`\\b${name}:`));
  }
});
