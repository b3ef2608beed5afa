/** What a bundle says of an adapter: of one that a Datanet taught, and of others. */
import { generateKeyPairSync } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { colophon } from '../../gateway/cli/testing.ts';
import { done } from '../../gateway/e2e/datanet_client.ts';
import { type Farm, linesOf, payload, read, startFarm, texts } from './testing/farm.ts';

let farm: Farm;
let bundle: string;
beforeAll(async () => {
  farm = await startFarm();
  bundle = (await farm.exported(farm.name)).output;
});
afterAll(() => farm.end());
test('names all that it was made of, and has no text of any example', () => {
  expect(readdirSync(bundle).sort()).toEqual([
    'MANIFEST.intoto.json',
    'MANIFEST.json',
    'contributions.jsonl',
    'croissant.json',
    'examples.jsonl',
    'fidelity.json',
    'keys.json',
    'mlbom.cdx.json',
    'model-key.pub.pem',
    'model.sig',
    'training-content-summary.json',
    'training-content-summary.md',
    'training.intoto.json',
  ]);
  const { subject, predicate } = payload(bundle, 'training.intoto.json');
  const recipe = JSON.parse(readFileSync(join(farm.folder, 'recipe.json'), 'utf8'));
  const { resolvedDependencies, internalParameters } = predicate.buildDefinition;
  expect(internalParameters.recipe).toEqual(recipe.recipe);
  expect(resolvedDependencies.map(({ name: of, digest }: Record<string, unknown>) => [of, digest])).toEqual([
    ['base', { sha256: recipe.base_hash }],
    [`datanet:farm@${farm.snapshot}`, { 'rfc6962-sha256': farm.snapshot }],
    [`datanet:farm@${farm.snapshot}`, { sha256: recipe.data.training.sha256 }],
    [`datanet:farm@${farm.snapshot}:validation`, { sha256: recipe.data.validation.sha256 }],
  ]);
  expect(subject.map(({ name: of }: { name: string }) => of).sort()).toEqual(readdirSync(farm.folder).sort());
  expect(predicate.runDetails.byproducts.map(({ name: of }: { name: string }) => of)).toEqual([
    'corpus.jsonl',
    'influence.checkpoints',
    'influence.index',
    'recipe.json',
    'trace.index',
    'training_log.jsonl',
  ]);
  const all = readdirSync(bundle).map((file) => readFileSync(join(bundle, file), 'utf8'));
  all.push(
    JSON.stringify(payload(bundle, 'training.intoto.json')),
    JSON.stringify(payload(bundle, 'model.sig')),
  );
  for (const [question, answer] of [...texts.ada, ...texts.ben])
    for (const text of all) {
      expect(text).not.toContain(question);
      expect(text).not.toContain(answer);
    }
});

test('is the same again, but for what chance has a part in', async () => {
  const again = (await farm.exported(farm.folder)).output;
  for (const file of readdirSync(bundle)) {
    if (['model.sig', 'MANIFEST.json', 'MANIFEST.intoto.json'].includes(file)) continue;
    expect(readFileSync(join(again, file), 'utf8'), file).toBe(readFileSync(join(bundle, file), 'utf8'));
  }
  expect(payload(again, 'model.sig')).toEqual(payload(bundle, 'model.sig'));
  const others = (of: string) =>
    read(of, 'MANIFEST.json').files.filter(({ path }: { path: string }) => path !== 'model.sig');
  expect(others(again)).toEqual(others(bundle));
});

test('sums up the training content, and names what only the provider can say', async () => {
  const { open, sections } = read(bundle, 'training-content-summary.json');
  expect(open).toContain('1.1 Provider name');
  const text = readFileSync(join(bundle, 'training-content-summary.md'), 'utf8');
  for (const said of ['CC-BY-4.0', 'https://example.org/paintings', 'ada', '2.2.2', 'C(2025) 8311'])
    expect(text).toContain(said);
  expect(sections[1].sections[0].fields[0].answer).toBe(
    'Yes: contributions that name an address on the web as their source.',
  );
  const config = join(farm.home, 'provider.yaml');
  writeFileSync(
    config,
    'plugins:\n  provenance:\n    provider: { name: Acme, crawled: { used: false }, code_of_practice: true }\n',
  );
  const told = (await farm.exported(farm.folder, { COLOPHON_CONFIG: config })).output;
  const summary = read(told, 'training-content-summary.json');
  expect(summary.open).toEqual(
    open.filter((one: string) => !/^(1.1 Provider name|2.3|3.1 Signatory)/.test(one)),
  );
  expect(readFileSync(join(told, 'training-content-summary.md'), 'utf8')).toContain(
    '**Provider name:** Acme',
  );
  expect(read(told, 'mlbom.cdx.json').metadata.manufacturer).toEqual({ name: 'Acme' });
});

test('an adapter that was imported says what is known of it', async () => {
  const imported = await colophon(['adapter', 'import', farm.folder, '--name', 'copy', '--json'], farm.env);
  expect(imported.exitCode, imported.stderr).toBe(0);
  const { output: bundle, manifest } = await farm.exported('copy');
  expect(manifest.absent).toEqual([]);
  const { predicate } = payload(bundle, 'training.intoto.json');
  expect(predicate.runDetails.builder).toEqual({ id: 'urn:colophon:unknown' });
  expect(predicate.buildDefinition.resolvedDependencies[1]).toMatchObject({
    name: `datanet:farm@${farm.snapshot}`,
  });
  expect(await farm.checked(bundle)).toEqual([]);
  const bare = join(farm.home, 'bare');
  mkdirSync(bare);
  for (const file of ['adapter_config.json', 'adapter_model.safetensors'])
    cpSync(join(farm.folder, file), join(bare, file));
  const unknown = await farm.exported(bare);
  expect(unknown.manifest.absent.map(({ path }: { path: string }) => path)).toEqual([
    'croissant.json',
    'fidelity.json',
  ]);
  expect(read(unknown.output, 'training-content-summary.json').open).toContain('2.6 What it was trained on');
});

test('an adapter of an uploaded file names its bytes', async () => {
  const form = new FormData();
  form.set('purpose', 'fine-tune');
  form.set('file', new Blob([linesOf('ada')]), 'data.jsonl');
  const { id } = await done(farm.server, 'POST', '/v1/files', form);
  const adapter = await farm.trained(id);
  const { output: bundle, stderr } = await farm.exported(adapter.name);
  expect(stderr).toContain(
    `There is no croissant.json: It learned from ${id}, which is no snapshot of a Datanet.`,
  );
  const summary = readFileSync(join(bundle, 'training-content-summary.md'), 'utf8');
  const { training } = JSON.parse(readFileSync(join(adapter.folder, 'recipe.json'), 'utf8')).data;
  expect(summary).toContain(`${id}, 10 examples, SHA-256 ${training.sha256}`);
  expect(await farm.checked(bundle)).toEqual([]);
});

test('what was withdrawn since is named, an example or all of a contribution', async () => {
  const { data } = await done(
    farm.server,
    'GET',
    `/datanets/farm/snapshots/${farm.snapshot}/entries?limit=100`,
  );
  const own = (person: 'ada' | 'ben') =>
    data.filter(({ contribution }: { contribution: string }) => contribution === farm.contributions[person]);
  const [{ hash }] = own('ada');
  await done(farm.server, 'POST', `/datanets/farm/examples/${hash}/withdraw`, { reason: 'Not mine.' });
  await done(farm.server, 'POST', `/datanets/farm/contributions/${farm.contributions.ben}/withdraw`, {
    reason: 'No more.',
  });
  const { output: bundle, manifest, stderr } = await farm.exported(farm.name);
  const of = (person: 'ada' | 'ben') => `the contribution ${farm.contributions[person]} of ${person}`;
  const since = 'Since the adapter learned from its snapshot';
  expect(manifest.withdrawn.slice().sort()).toEqual([
    `${since}, 1 of the ${own('ada').length} examples that it has of ${of('ada')} were withdrawn.`,
    `${since}, ${of('ben')} was withdrawn, of which it has ${own('ben').length} examples.`,
  ]);
  for (const sentence of manifest.withdrawn) {
    expect(stderr).toContain(sentence);
    for (const file of ['mlbom.cdx.json', 'croissant.json', 'training-content-summary.json'])
      expect(JSON.stringify(read(bundle, file)), file).toContain(sentence);
    expect(JSON.stringify(payload(bundle, 'training.intoto.json'))).toContain(sentence);
  }
  expect(await farm.checked(bundle)).toEqual([]);
});

test('a Datanet that is gone is said to be', async () => {
  await done(farm.server, 'DELETE', '/datanets/farm?confirm=farm');
  const { output: bundle, manifest } = await farm.exported(farm.name);
  expect(manifest.absent).toEqual([
    {
      path: 'croissant.json',
      reason: `The Datanet farm or its snapshot ${farm.snapshot} is no longer here.`,
    },
  ]);
  expect(read(bundle, 'training-content-summary.json').open).toContain('2.6 What they held');
});

test('what cannot be is a sentence', async () => {
  const refused = async (args: string[], more: NodeJS.ProcessEnv = {}) => {
    const { exitCode, stderr } = await colophon(args, { ...farm.env, ...more });
    expect(exitCode).not.toBe(0);
    return stderr;
  };
  const taken = join(farm.home, 'taken');
  mkdirSync(taken);
  const to = (output: string, adapter = farm.name) => ['provenance', 'export', adapter, '--output', output];
  expect(await refused(to(taken, 'nobody'))).toMatch(/^There is no adapter named "nobody"/);
  expect((await colophon(to(taken), farm.env)).exitCode).toBe(0);
  expect(await refused(to(taken))).toBe(
    `${taken} is not empty. Name an empty folder, or one that is not there.\n`,
  );
  expect(await refused(to(join(taken, 'model.sig')))).toContain('is a file. Name a folder.');
  expect(await refused(['verify', 'bundle', farm.folder])).toContain('There is no MANIFEST.json');
  const changed = join(farm.home, 'tampered');
  cpSync(farm.folder, changed, { recursive: true });
  writeFileSync(join(changed, 'training_log.jsonl'), '');
  expect(await refused(to(join(farm.home, 'never'), changed))).toContain('training_log.jsonl was changed');
  expect(readdirSync(farm.home).filter((file) => file.startsWith('never'))).toEqual([]);
});

test('a key that others may read signs nothing', async () => {
  const output = join(farm.home, 'unsigned');
  const key = join(farm.home, 'data', 'provenance', 'model-signing-key.pem');
  const refused = async () =>
    (await colophon(['provenance', 'export', farm.name, '--output', output], farm.env)).stderr;
  expect(statSync(key).mode & 0o777).toBe(0o600);
  chmodSync(key, 0o640);
  expect(await refused()).toContain(`The signing key ${key} has mode 0640: others may use it.`);
  chmodSync(key, 0o600);
  const good = readFileSync(key);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  expect(await refused()).toContain('not on P-256');
  writeFileSync(key, generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
  expect(await refused()).toContain('not an elliptic curve');
  writeFileSync(key, good);
  expect(existsSync(output)).toBe(false);
});
