/** Bundles as the tools of their formats read them. */
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { colophon } from '../../gateway/cli/testing.ts';
import { done } from '../../gateway/e2e/datanet_client.ts';
import { type Farm, linesOf, read, startFarm } from './testing/farm.ts';
import { installValidators, modelSigningFault, validate } from './testing/validators.ts';

let farm: Farm;
let bundle: string;
beforeAll(async () => {
  farm = await startFarm();
  bundle = (await farm.exported(farm.name)).output;
});
afterAll(() => farm.end());

let unreachable: string | undefined;
beforeAll(async () => {
  unreachable = await installValidators();
});

test('model-signing takes the signature, and not that of other files', async ({ skip }) => {
  skip(unreachable !== undefined, unreachable);
  const by = [join(bundle, 'model.sig'), join(bundle, 'model-key.pub.pem')] as const;
  expect(await modelSigningFault(farm.folder, ...by)).toBeUndefined();
  const other = join(farm.home, 'changed');
  cpSync(farm.folder, other, { recursive: true });
  writeFileSync(join(other, 'adapter_config.json'), '{}');
  expect(await modelSigningFault(other, ...by)).toContain("Hash mismatch for 'adapter_config.json'");
  const forged = farm.spoilt(bundle, 'model.sig', (text) =>
    text.replace(/"payload": "(.{40})./, '"payload": "$1A'),
  );
  expect(await modelSigningFault(farm.folder, join(forged, 'model.sig'), by[1])).toBeDefined();
});

test('in-toto-attestation takes the statement, and SLSA the predicate', async ({ skip }) => {
  skip(unreachable !== undefined, unreachable);
  expect(await validate('in-toto', join(bundle, 'training.intoto.json'))).toEqual({
    faults: [],
    type: 'https://slsa.dev/provenance/v1',
    build: 'urn:colophon:build:training:v1',
  });
  const { payload: body, ...rest } = read(bundle, 'training.intoto.json');
  const changed = (change: (statement: Record<string, unknown>) => object) =>
    farm.spoilt(bundle, 'training.intoto.json', () =>
      JSON.stringify({
        ...rest,
        payload: Buffer.from(
          JSON.stringify(change(JSON.parse(Buffer.from(body, 'base64').toString()))),
        ).toString('base64'),
      }),
    );
  for (const copy of [
    changed((statement) => ({ ...statement, subject: [] })),
    changed((statement) => ({
      ...statement,
      predicate: { ...(statement.predicate as object), more: 1 },
    })),
  ])
    expect((await validate('in-toto', join(copy, 'training.intoto.json'))).faults).not.toEqual([]);
});

test('cyclonedx-python-lib takes the bill of materials', async ({ skip }) => {
  skip(unreachable !== undefined, unreachable);
  expect(await validate('cyclonedx', join(bundle, 'mlbom.cdx.json'))).toEqual({ faults: [] });
  const copy = farm.spoilt(bundle, 'mlbom.cdx.json', (text) => text.replace('"approach"', '"aproach"'));
  expect((await validate('cyclonedx', join(copy, 'mlbom.cdx.json'))).faults).not.toEqual([]);
});

test('mlcroissant takes the description, and reads who gave each example', async ({ skip }) => {
  skip(unreachable !== undefined, unreachable);
  const { faults, version, records } = await validate('croissant', join(bundle, 'croissant.json'));
  expect([faults, version]).toEqual([[], 'http://mlcommons.org/croissant/1.1']);
  const entries = (
    await done(farm.server, 'GET', `/datanets/farm/snapshots/${farm.snapshot}/entries?limit=100`)
  ).data;
  expect(records!.examples).toEqual(
    entries.map((entry: Record<string, unknown>) =>
      Object.fromEntries(Object.entries(entry).map(([key, value]) => [`examples/${key}`, value])),
    ),
  );
  expect(records!.contributions!.map((one) => one['contributions/licence']).sort()).toEqual([
    'CC-BY-4.0',
    'CC0-1.0',
  ]);
  const copy = farm.spoilt(bundle, 'croissant.json', (text) =>
    text.replace('"examples.jsonl"', '"exmples.jsonl"'),
  );
  expect((await validate('croissant', join(copy, 'croissant.json'))).faults).not.toEqual([]);
});

/** What all of them find wrong with a bundle of the adapter in a folder. */
async function found(bundle: string, adapter: string): Promise<string[]> {
  const key = join(bundle, 'model-key.pub.pem');
  const signature = await modelSigningFault(adapter, join(bundle, 'model.sig'), key);
  const documents = [
    await validate('in-toto', join(bundle, 'training.intoto.json')),
    await validate('cyclonedx', join(bundle, 'mlbom.cdx.json')),
    ...(existsSync(join(bundle, 'croissant.json'))
      ? [await validate('croissant', join(bundle, 'croissant.json'))]
      : []),
  ];
  return [signature ?? [], ...documents.map(({ faults }) => faults)].flat();
}
const foundOf = async (adapter: string, folder: string) =>
  found((await farm.exported(adapter)).output, folder);

test('they take that of an adapter that was imported, with all that came along or with nothing', async ({
  skip,
}) => {
  skip(unreachable !== undefined, unreachable);
  const args = ['adapter', 'import', farm.folder, '--name', 'copy', '--json'];
  const imported = JSON.parse((await colophon(args, farm.env)).stdout);
  expect(await foundOf('copy', imported.path)).toEqual([]);
  const bare = join(farm.home, 'bare');
  mkdirSync(join(bare, 'more'), { recursive: true });
  // Which model signatures put before and after one another by the parts of their paths.
  for (const file of ['more/z', 'more-a', 'more.b', 'more\u{10000}', 'more\u{ff5e}'])
    writeFileSync(join(bare, file), file);
  for (const file of ['adapter_config.json', 'adapter_model.safetensors'])
    cpSync(join(farm.folder, file), join(bare, file));
  expect(await foundOf(bare, bare)).toEqual([]);
});

test('they take that of an uploaded file', async ({ skip }) => {
  skip(unreachable !== undefined, unreachable);
  const form = new FormData();
  form.set('purpose', 'fine-tune');
  form.set('file', new Blob([linesOf('ben')]), 'data.jsonl');
  const { id } = await done(farm.server, 'POST', '/v1/files', form);
  const { name, folder } = await farm.trained(id);
  expect(await foundOf(name, folder)).toEqual([]);
});

test('they take that of which something was withdrawn, and of a Datanet that is gone', async ({ skip }) => {
  skip(unreachable !== undefined, unreachable);
  await done(farm.server, 'POST', `/datanets/farm/contributions/${farm.contributions.ben}/withdraw`, {
    reason: 'No more.',
  });
  expect(await foundOf(farm.name, farm.folder)).toEqual([]);
  await done(farm.server, 'DELETE', '/datanets/farm?confirm=farm');
  expect(await foundOf(farm.name, farm.folder)).toEqual([]);
});
