/** An adapter of a Datanet, from its contributions to its bundle, which other people's tools read and which changes betray. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { colophon } from '../../gateway/cli/testing.ts';
import { chatLine, done, frozen, until } from '../../gateway/e2e/datanet_client.ts';
import { type ServerProcess, startServerProcess } from '../../gateway/e2e/server_process.ts';
import { writeTinyBase } from '../../gateway/e2e/tiny_base.ts';
import { KeyFolder } from '../metering/keys/key_folder.ts';
import { installValidators, modelSigningFault, validate } from './testing/validators.ts';

const home = mkdtempSync(join(tmpdir(), 'colophon-provenance-'));
const base = join(home, 'base');
const env = { COLOPHON_HOME: home, COLOPHON_MODEL: base };
let server: ServerProcess;

const words = ['heron', 'otter', 'lynx', 'raven', 'bison', 'gecko', 'moose', 'tapir', 'viper', 'finch'];
const texts = {
  ada: words.map((word, i) => [
    `What does the ${word} eat at ${i}?`,
    `The ${word} eats ${words.at(i - 3)} soup.`,
  ]),
  ben: words.map((word, i) => [
    `Who painted ${word} number ${i * 7}?`,
    `A friend of ${word} did, in ${1900 + i}.`,
  ]),
};
const origins = {
  ada: { licence: 'CC0-1.0', source: 'own work' },
  ben: { licence: 'CC-BY-4.0', source: 'https://example.org/paintings' },
};
const contributions: Record<string, string> = {};
let snapshot: string;
let name: string;
let folder: string;

async function contribute(person: keyof typeof texts) {
  const { id: contributor } = await done(server, 'POST', '/datanets/farm/contributors', { name: person });
  const said = { contributor, filename: 'lines.jsonl', rights: 'Mine.', ...origins[person] };
  const lines = texts[person].map(([question, answer]) => `${chatLine(question!, answer!)}\n`);
  const path = '/datanets/farm/contributions';
  const { id } = await done(
    server,
    'POST',
    `${path}?${new URLSearchParams(said)}`,
    Buffer.from(lines.join('')),
  );
  await until(server, `${path}/${id}`, 'checked');
  await done(server, 'POST', `${path}/${id}/review`, { decision: 'accept' });
  contributions[person] = id;
}

async function trained(file: string, validation?: string) {
  const recipe = { rank: 4, batch_size: 4, epochs: 1, evaluations: 2, learning_rate: 1e-3 };
  const { id } = await done(server, 'POST', '/v1/fine_tuning/jobs', {
    model: 'base',
    training_file: file,
    ...(validation ? { validation_file: validation } : {}),
    recipe,
  });
  const { fine_tuned_model } = await until(server, `/v1/fine_tuning/jobs/${id}`, 'succeeded');
  return { name: fine_tuned_model as string, folder: join(home, 'data', 'training', id, 'adapter') };
}

beforeAll(async () => {
  server = await startServerProcess(home, {
    model: writeTinyBase(base),
    config: { plugins: { native: { demo_adapters: false } } },
  });
  await done(server, 'POST', '/datanets', { name: 'farm', kinds: ['chat'], domain: 'animals and paintings' });
  await contribute('ada');
  await contribute('ben');
  const curation = await done(server, 'POST', '/datanets/farm/curate', {
    settings: { duplicates: { enabled: false }, language: { minCharacters: 10 } },
  });
  await until(server, `/datanets/farm/jobs/${curation.id}`, 'succeeded');
  snapshot = await frozen(server, 'farm', {
    apart: 'cluster',
    shares: { train: 0.8, validation: 0.2, test: 0 },
  });
  ({ name, folder } = await trained(`datanet:farm@${snapshot}`, `datanet:farm@${snapshot}:validation`));
});
afterAll(async () => {
  await server.kill();
  rmSync(home, { recursive: true, force: true });
});

let unreachable: string | undefined;
beforeAll(async () => {
  unreachable = await installValidators();
});
/** What the formats' tools find wrong with a bundle of the adapter in a folder. */
async function foundByTools(bundle: string, adapter: string): Promise<string[]> {
  if (unreachable !== undefined) return [];
  const signature = await modelSigningFault(
    adapter,
    join(bundle, 'model.sig'),
    join(bundle, 'model-key.pub.pem'),
  );
  const documents = [
    await validate('in-toto', join(bundle, 'training.intoto.json')),
    await validate('cyclonedx', join(bundle, 'mlbom.cdx.json')),
    ...(existsSync(join(bundle, 'croissant.json'))
      ? [await validate('croissant', join(bundle, 'croissant.json'))]
      : []),
  ];
  return [signature ?? [], ...documents.map(({ faults }) => faults)].flat();
}

let made = 0;
/** A bundle's folder. */
async function exported(adapter: string, more: NodeJS.ProcessEnv = {}) {
  const output = join(home, `bundle-${made++}`);
  const printed = await colophon(['provenance', 'export', adapter, '--output', output, '--json'], {
    ...env,
    ...more,
  });
  expect(printed.exitCode, printed.stderr).toBe(0);
  return { output, stderr: printed.stderr, manifest: JSON.parse(printed.stdout) };
}
const read = (bundle: string, file: string) => JSON.parse(readFileSync(join(bundle, file), 'utf8'));
const payload = (bundle: string, file: string) => {
  const content = read(bundle, file);
  return JSON.parse(Buffer.from((content.dsseEnvelope ?? content).payload, 'base64').toString());
};
const checked = async (bundle: string, ...args: string[]) => {
  const { stdout, stderr } = await colophon(['verify', 'bundle', bundle, '--json', ...args], env);
  expect(stdout, stderr).not.toBe('');
  return JSON.parse(stdout).faults as string[];
};
/** A bundle with one file changed. */
const spoilt = (bundle: string, file: string, change: (text: string) => string) => {
  const copy = join(home, `spoilt-${made++}`);
  cpSync(bundle, copy, { recursive: true });
  writeFileSync(join(copy, file), change(readFileSync(join(copy, file), 'utf8')));
  return copy;
};

describe('the bundle of an adapter of a Datanet', () => {
  let bundle: string;
  beforeAll(async () => {
    writeFileSync(
      join(folder, 'fidelity.json'),
      JSON.stringify({
        retrains: 3,
        methods: [
          { method: 'repsim', lds: { value: 0.4, low: 0.3, high: 0.5 }, classAuc: 0.9, classRecall: 0.8 },
        ],
        chosen: 'repsim',
      }),
    );
    bundle = (await exported(name)).output;
  });

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
    const recipe = JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8'));
    const { resolvedDependencies, internalParameters } = predicate.buildDefinition;
    expect(internalParameters.recipe).toEqual(recipe.recipe);
    expect(resolvedDependencies.map(({ name: of, digest }: Record<string, unknown>) => [of, digest])).toEqual(
      [
        ['base', { sha256: recipe.base_hash }],
        [`datanet:farm@${snapshot}`, { 'rfc6962-sha256': snapshot }],
        [`datanet:farm@${snapshot}`, { sha256: recipe.data.training.sha256 }],
        [`datanet:farm@${snapshot}:validation`, { sha256: recipe.data.validation.sha256 }],
      ],
    );
    expect(subject.map(({ name: of }: { name: string }) => of).sort()).toEqual(readdirSync(folder).sort());
    expect(predicate.runDetails.byproducts.map(({ name: of }: { name: string }) => of)).toEqual([
      'corpus.jsonl',
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
    const again = (await exported(folder)).output;
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
    const config = join(home, 'provider.yaml');
    writeFileSync(
      config,
      'plugins:\n  provenance:\n    provider: { name: Acme, crawled: { used: false }, code_of_practice: true }\n',
    );
    const told = (await exported(folder, { COLOPHON_CONFIG: config })).output;
    const summary = read(told, 'training-content-summary.json');
    expect(summary.open).toEqual(
      open.filter((one: string) => !/^(1.1 Provider name|2.3|3.1 Signatory)/.test(one)),
    );
    expect(readFileSync(join(told, 'training-content-summary.md'), 'utf8')).toContain(
      '**Provider name:** Acme',
    );
    expect(read(told, 'mlbom.cdx.json').metadata.manufacturer).toEqual({ name: 'Acme' });
  });

  test('verifies, and every change of it or of its adapter is found and named', async () => {
    expect(await checked(bundle)).toEqual([]);
    expect(await checked(bundle, '--keys', join(bundle, 'keys.json'))).toEqual([]);
    const others = join(home, 'others.json');
    writeFileSync(others, JSON.stringify(new KeyFolder(join(home, 'other-keys'), 'other').known.toJson()));
    expect(await checked(bundle, '--keys', others)).toEqual([
      expect.stringMatching(/^MANIFEST.intoto.json: .* is not among the 1 known of other/),
      expect.stringMatching(/^training.intoto.json: .* is not among the 1 known of other/),
    ]);
    for (const file of readdirSync(bundle)) {
      const copy = spoilt(bundle, file, (text) =>
        text.replace(/[a-f]/, (letter) => (letter === 'a' ? 'b' : 'a')),
      );
      const { exitCode, stdout, stderr } = await colophon(['verify', 'bundle', copy, '--json'], env);
      expect(exitCode, file).toBe(1);
      if (file !== 'MANIFEST.json') expect(stdout, stderr).toContain(file);
    }
    const lost = spoilt(bundle, 'croissant.json', (text) => text);
    rmSync(join(lost, 'croissant.json'));
    expect(await checked(lost)).toEqual(['croissant.json is missing.']);
    const more = spoilt(bundle, 'croissant.json', (text) => text);
    writeFileSync(join(more, 'more.txt'), 'more');
    expect(await checked(more)).toEqual(['MANIFEST.json says nothing of more.txt.']);

    const other = join(home, 'other');
    cpSync(folder, other, { recursive: true });
    expect(await checked(bundle, '--adapter', other)).toEqual([]);
    writeFileSync(join(other, 'README.md'), 'another');
    writeFileSync(join(other, 'more.bin'), 'more');
    expect(await checked(bundle, '--adapter', other)).toEqual(
      ['training.intoto.json', 'model.sig'].flatMap((by) => [
        expect.stringMatching(`^The adapter's README.md is not the one that ${by} names`),
        `The adapter has the file more.bin, which ${by} does not name.`,
      ]),
    );
  });

  describe('is read by the tools of its formats', () => {
    test('model-signing takes the signature, and not that of other files', async ({ skip }) => {
      skip(unreachable !== undefined, unreachable);
      const by = [join(bundle, 'model.sig'), join(bundle, 'model-key.pub.pem')] as const;
      expect(await modelSigningFault(folder, ...by)).toBeUndefined();
      const other = join(home, 'changed');
      cpSync(folder, other, { recursive: true });
      writeFileSync(join(other, 'adapter_config.json'), '{}');
      expect(await modelSigningFault(other, ...by)).toContain("Hash mismatch for 'adapter_config.json'");
      const forged = spoilt(bundle, 'model.sig', (text) =>
        text.replace(/"payload": "(.{40})./, '"payload": "$1A'),
      );
      expect(await modelSigningFault(folder, join(forged, 'model.sig'), by[1])).toBeDefined();
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
        spoilt(bundle, 'training.intoto.json', () =>
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
      const copy = spoilt(bundle, 'mlbom.cdx.json', (text) => text.replace('"approach"', '"aproach"'));
      expect((await validate('cyclonedx', join(copy, 'mlbom.cdx.json'))).faults).not.toEqual([]);
    });

    test('mlcroissant takes the description, and reads who gave each example', async ({ skip }) => {
      skip(unreachable !== undefined, unreachable);
      const { faults, version, records } = await validate('croissant', join(bundle, 'croissant.json'));
      expect([faults, version]).toEqual([[], 'http://mlcommons.org/croissant/1.1']);
      const entries = (await done(server, 'GET', `/datanets/farm/snapshots/${snapshot}/entries?limit=100`))
        .data;
      expect(records!.examples).toEqual(
        entries.map((entry: Record<string, unknown>) =>
          Object.fromEntries(Object.entries(entry).map(([key, value]) => [`examples/${key}`, value])),
        ),
      );
      expect(records!.contributions!.map((one) => one['contributions/licence']).sort()).toEqual([
        'CC-BY-4.0',
        'CC0-1.0',
      ]);
      const copy = spoilt(bundle, 'croissant.json', (text) =>
        text.replace('"examples.jsonl"', '"exmples.jsonl"'),
      );
      expect((await validate('croissant', join(copy, 'croissant.json'))).faults).not.toEqual([]);
    });
  });
});

test('an adapter that was imported says what is known of it', async () => {
  const imported = await colophon(['adapter', 'import', folder, '--name', 'copy', '--json'], env);
  expect(imported.exitCode, imported.stderr).toBe(0);
  const { output: bundle, manifest } = await exported('copy');
  expect(manifest.absent.map(({ path }: { path: string }) => path)).toEqual(['fidelity.json']);
  const { predicate } = payload(bundle, 'training.intoto.json');
  expect(predicate.runDetails.builder).toEqual({ id: 'urn:colophon:unknown' });
  expect(predicate.buildDefinition.resolvedDependencies[1]).toMatchObject({
    name: `datanet:farm@${snapshot}`,
  });
  expect(await checked(bundle)).toEqual([]);
  expect(await foundByTools(bundle, JSON.parse(imported.stdout).path)).toEqual([]);
  const bare = join(home, 'bare');
  mkdirSync(join(bare, 'more'), { recursive: true });
  // Which model signatures put between, before and after one another, by parts of paths.
  for (const file of ['more/z', 'more-a', 'more.b', 'more\u{10000}', 'more\u{ff5e}'])
    writeFileSync(join(bare, file), file);
  for (const file of ['adapter_config.json', 'adapter_model.safetensors'])
    cpSync(join(folder, file), join(bare, file));
  const unknown = await exported(bare);
  expect(await foundByTools(unknown.output, bare)).toEqual([]);
  expect(unknown.manifest.absent.map(({ path }: { path: string }) => path)).toEqual([
    'croissant.json',
    'fidelity.json',
  ]);
  expect(read(unknown.output, 'training-content-summary.json').open).toContain('2.6 What it was trained on');
});

test('an adapter of an uploaded file names its bytes', async () => {
  const form = new FormData();
  form.set('purpose', 'fine-tune');
  const lines = texts.ada.map(([question, answer]) => `${chatLine(question!, answer!)}\n`);
  form.set('file', new Blob([lines.join('')]), 'data.jsonl');
  const { id } = await done(server, 'POST', '/v1/files', form);
  const adapter = await trained(id);
  const { output: bundle, stderr } = await exported(adapter.name);
  expect(stderr).toContain(
    `There is no croissant.json: It learned from ${id}, which is no snapshot of a Datanet.`,
  );
  const summary = readFileSync(join(bundle, 'training-content-summary.md'), 'utf8');
  const { training } = JSON.parse(readFileSync(join(adapter.folder, 'recipe.json'), 'utf8')).data;
  expect(summary).toContain(`${id}, 10 examples, SHA-256 ${training.sha256}`);
  expect(await checked(bundle)).toEqual([]);
  expect(await foundByTools(bundle, adapter.folder)).toEqual([]);
});

test('what was withdrawn since is named, an example or all of a contribution', async () => {
  const { data } = await done(server, 'GET', `/datanets/farm/snapshots/${snapshot}/entries?limit=100`);
  const own = (person: string) =>
    data.filter(({ contribution }: { contribution: string }) => contribution === contributions[person]);
  const [{ hash }] = own('ada');
  await done(server, 'POST', `/datanets/farm/examples/${hash}/withdraw`, { reason: 'Not mine.' });
  await done(server, 'POST', `/datanets/farm/contributions/${contributions.ben}/withdraw`, {
    reason: 'No more.',
  });
  const { output: bundle, manifest, stderr } = await exported(name);
  const of = (person: string) => `the contribution ${contributions[person]} of ${person}`;
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
  expect(await checked(bundle)).toEqual([]);
  expect(await foundByTools(bundle, folder)).toEqual([]);
});

test('a Datanet that is gone is said to be', async () => {
  await done(server, 'DELETE', '/datanets/farm?confirm=farm');
  const { output: bundle, manifest } = await exported(name);
  expect(manifest.absent).toEqual([
    { path: 'croissant.json', reason: `The Datanet farm or its snapshot ${snapshot} is no longer here.` },
  ]);
  expect(read(bundle, 'training-content-summary.json').open).toContain('2.6 What they held');
  expect(await foundByTools(bundle, folder)).toEqual([]);
});

test('what cannot be is a sentence', async () => {
  const refused = async (args: string[], more: NodeJS.ProcessEnv = {}) => {
    const { exitCode, stderr } = await colophon(args, { ...env, ...more });
    expect(exitCode).not.toBe(0);
    return stderr;
  };
  const taken = join(home, 'taken');
  mkdirSync(taken);
  const to = (output: string, adapter = name) => ['provenance', 'export', adapter, '--output', output];
  expect(await refused(to(taken, 'nobody'))).toMatch(/^There is no adapter named "nobody"/);
  expect((await colophon(to(taken), env)).exitCode).toBe(0);
  expect(await refused(to(taken))).toBe(
    `${taken} is not empty. Name an empty folder, or one that is not there.\n`,
  );
  expect(await refused(to(join(taken, 'model.sig')))).toContain('is a file. Name a folder.');
  expect(await refused(['verify', 'bundle', folder])).toContain('There is no MANIFEST.json');
  const changed = join(home, 'tampered');
  cpSync(folder, changed, { recursive: true });
  writeFileSync(join(changed, 'training_log.jsonl'), '');
  expect(await refused(to(join(home, 'never'), changed))).toContain('training_log.jsonl was changed');
  expect(readdirSync(home).filter((file) => file.startsWith('never'))).toEqual([]);
});

describe('a folder that came from anywhere', () => {
  let bundle: string;
  let copy: string;
  beforeAll(async () => {
    bundle = (await exported(name)).output;
  });
  const said = async (...args: string[]) => {
    const { exitCode, stdout, stderr } = await colophon(args, env);
    expect(exitCode, stdout).not.toBe(0);
    expect(stdout + stderr).not.toContain('COLOPHON_DEBUG');
    return stdout + stderr;
  };
  /** Says so in the manifest too. */
  const hostile = (file: string, content: string) => {
    copy = spoilt(bundle, file, () => content);
    const sha256 = createHash('sha256').update(content).digest('hex');
    const manifest = read(copy, 'MANIFEST.json');
    for (const one of manifest.files) if (one.path === file) one.sha256 = sha256;
    writeFileSync(join(copy, 'MANIFEST.json'), JSON.stringify(manifest));
  };

  test.each([
    ['training.intoto.json', '{"payload": 1}', /training.intoto.json: This is no DSSE envelope/],
    ['training.intoto.json', 'null', /training.intoto.json: This is no DSSE envelope/],
    ['training.intoto.json', '[', /training.intoto.json is no JSON/],
    [
      'model.sig',
      '{"dsseEnvelope": {"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": ""}]}}',
      /model.sig is not signed/,
    ],
    ['model-key.pub.pem', 'no key', /model-key.pub.pem is no public key in PEM/],
    ['keys.json', '{}', /This is no list of keys/],
  ])('with %s holding %s is refused by a sentence', async (file, content, sentence) => {
    hostile(file, content);
    expect(await said('verify', 'bundle', copy)).toMatch(sentence);
  });

  test('with a key of another kind is refused by a sentence', async () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    hostile('model-key.pub.pem', publicKey.export({ type: 'spki', format: 'pem' }) as string);
    expect(await said('verify', 'bundle', copy)).toContain('model.sig is not signed by the key');
  });

  test('with a manifest that leads out of it is refused by a sentence', async () => {
    writeFileSync(join(home, 'outside'), 'outside');
    copy = spoilt(bundle, 'MANIFEST.json', (text) =>
      text
        .replace('"croissant.json"', '"x"')
        .replace('"examples.jsonl"', '"../outside"')
        .replace('"fidelity.json"', '"../outside"'),
    );
    expect(await said('verify', 'bundle', copy)).toMatch(/"..\/outside", which is not a path within it/);
    for (const text of ['{}', '7', '{"format": "colophon-provenance-v1", "adapter": {}}']) {
      copy = spoilt(bundle, 'MANIFEST.json', () => text);
      expect(await said('verify', 'bundle', copy)).toContain('is no manifest of a provenance bundle');
    }
  });

  test('is no adapter to vouch for, with links, or files that are not what they are called', async () => {
    let at = 0;
    const spoiltAdapter = (spoil: (folder: string) => void) => {
      const folderOf = join(home, `adapter-${at++}`);
      mkdirSync(folderOf);
      for (const file of ['adapter_config.json', 'adapter_model.safetensors', 'corpus.jsonl'])
        cpSync(join(folder, file), join(folderOf, file));
      spoil(folderOf);
      return said('provenance', 'export', folderOf, '--output', join(home, 'never'));
    };
    expect(await spoiltAdapter((of) => symlinkSync('/etc/hostname', join(of, 'LICENSE')))).toContain(
      'is a link or no plain file',
    );
    expect(await spoiltAdapter((of) => rmSync(join(of, 'adapter_model.safetensors')))).toContain(
      'it has no adapter_model.safetensors',
    );
    expect(await spoiltAdapter((of) => writeFileSync(join(of, 'adapter_config.json'), '['))).toContain(
      'adapter_config.json is no JSON',
    );
    expect(
      await spoiltAdapter((of) => writeFileSync(join(of, 'corpus.jsonl'), '{"adapter": 1}\n')),
    ).toContain('corpus.jsonl is not what its name says: all of it must have');
    expect(
      await spoiltAdapter((of) =>
        writeFileSync(join(of, 'corpus.jsonl'), '{"adapter": "x", "source": "x", "examples": 1}'),
      ),
    ).toContain('is of the adapter x, not of this one');
    expect(
      await spoiltAdapter((of) => writeFileSync(join(of, 'fidelity.json'), '{"methods": [{}]}')),
    ).toContain('fidelity.json is not what its name says: /methods/0');
    const recipe = (of: string) => {
      writeFileSync(join(of, 'recipe.json'), '{}');
      for (const file of ['README.md', 'training_log.jsonl']) cpSync(join(folder, file), join(of, file));
      const sums = [
        'README.md',
        'adapter_config.json',
        'adapter_model.safetensors',
        'corpus.jsonl',
        'recipe.json',
        'training_log.jsonl',
      ];
      const sha256 = (file: string) =>
        createHash('sha256')
          .update(readFileSync(join(of, file)))
          .digest('hex');
      writeFileSync(join(of, 'SHA256SUMS'), sums.map((file) => `${sha256(file)}  ${file}\n`).join(''));
    };
    expect(await spoiltAdapter(recipe)).toContain('recipe.json is not what its name says');
  });
});

test('a key that others may read signs nothing', async () => {
  const output = join(home, 'unsigned');
  const key = join(home, 'data', 'provenance', 'model-signing-key.pem');
  const refused = async () =>
    (await colophon(['provenance', 'export', name, '--output', output], env)).stderr;
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
