/** What is changed in a bundle or its adapter is found; what comes from anywhere is refused by a sentence. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { colophon } from '../../gateway/cli/testing.ts';
import { signEnvelope, statementPayload } from '../metering/keys/dsse.ts';
import { KeyFolder } from '../metering/keys/key_folder.ts';
import { type Farm, payload, read, startFarm } from './testing/farm.ts';

let farm: Farm;
let bundle: string;
beforeAll(async () => {
  farm = await startFarm();
  bundle = (await farm.exported(farm.name)).output;
});
afterAll(() => farm.end());
test('verifies, and every change of it or of its adapter is found and named', async () => {
  expect(await farm.checked(bundle)).toEqual([]);
  expect(await farm.checked(bundle, '--keys', join(bundle, 'keys.json'))).toEqual([]);
  const others = join(farm.home, 'others.json');
  writeFileSync(others, JSON.stringify(new KeyFolder(join(farm.home, 'other-keys'), 'other').known.toJson()));
  expect(await farm.checked(bundle, '--keys', others)).toEqual([
    expect.stringMatching(/^MANIFEST.intoto.json: .* is not among the 1 known of other/),
    expect.stringMatching(/^training.intoto.json: .* is not among the 1 known of other/),
  ]);
  for (const file of readdirSync(bundle)) {
    const copy = farm.spoilt(bundle, file, (text) =>
      text.replace(/[a-f]/, (letter) => (letter === 'a' ? 'b' : 'a')),
    );
    const { exitCode, stdout, stderr } = await colophon(['verify', 'bundle', copy, '--json'], farm.env);
    expect(exitCode, file).toBe(1);
    if (file !== 'MANIFEST.json') expect(stdout, stderr).toContain(file);
  }
  const lost = farm.spoilt(bundle, 'croissant.json', (text) => text);
  rmSync(join(lost, 'croissant.json'));
  expect(await farm.checked(lost)).toEqual(['croissant.json is missing.']);
  const more = farm.spoilt(bundle, 'croissant.json', (text) => text);
  writeFileSync(join(more, 'more.txt'), 'more');
  expect(await farm.checked(more)).toEqual(['MANIFEST.json says nothing of more.txt.']);

  const other = join(farm.home, 'other');
  cpSync(farm.folder, other, { recursive: true });
  expect(await farm.checked(bundle, '--adapter', other)).toEqual([]);
  writeFileSync(join(other, 'README.md'), 'another');
  writeFileSync(join(other, 'more.bin'), 'more');
  expect(await farm.checked(bundle, '--adapter', other)).toEqual(
    ['training.intoto.json', 'model.sig'].flatMap((by) => [
      expect.stringMatching(`^The adapter's README.md is not the one that ${by} names`),
      `The adapter has the file more.bin, which ${by} does not name.`,
    ]),
  );
});

test('a list that is not the snapshot’s is found, whoever signed it', async () => {
  const copy = farm.spoilt(bundle, 'examples.jsonl', (text) => text.slice(text.indexOf('\n') + 1));
  const sha256 = (file: string) =>
    createHash('sha256')
      .update(readFileSync(join(copy, file)))
      .digest('hex');
  const manifest = read(copy, 'MANIFEST.json');
  for (const file of manifest.files)
    if (file.path === 'examples.jsonl') file.sha256 = sha256('examples.jsonl');
  writeFileSync(join(copy, 'MANIFEST.json'), JSON.stringify(manifest));
  const statement = payload(copy, 'MANIFEST.intoto.json');
  statement.subject[0].digest.sha256 = sha256('MANIFEST.json');
  const { signing } = new KeyFolder(
    join(farm.home, 'data', 'metering', 'keys'),
    read(copy, 'keys.json').name,
  );
  const signed = signEnvelope(statementPayload, Buffer.from(JSON.stringify(statement)), signing);
  writeFileSync(join(copy, 'MANIFEST.intoto.json'), JSON.stringify(signed));
  expect(await farm.checked(copy, '--keys', join(bundle, 'keys.json'))).toEqual([
    expect.stringMatching(
      `^The examples in examples.jsonl are those of the snapshot .*, not of ${farm.snapshot}`,
    ),
  ]);
});

describe('a folder that came from anywhere', () => {
  let copy: string;
  const said = async (...args: string[]) => {
    const { exitCode, stdout, stderr } = await colophon(args, farm.env);
    expect(exitCode, stdout).not.toBe(0);
    expect(stdout + stderr).not.toContain('COLOPHON_DEBUG');
    return stdout + stderr;
  };
  /** Says so in the manifest too. */
  const hostile = (file: string, content: string) => {
    copy = farm.spoilt(bundle, file, () => content);
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
    writeFileSync(join(farm.home, 'outside'), 'outside');
    copy = farm.spoilt(bundle, 'MANIFEST.json', (text) =>
      text
        .replace('"croissant.json"', '"x"')
        .replace('"examples.jsonl"', '"../outside"')
        .replace('"fidelity.json"', '"../outside"'),
    );
    expect(await said('verify', 'bundle', copy)).toMatch(/"..\/outside", which is not a path within it/);
    for (const text of ['{}', '7', '{"format": "colophon-provenance-v1", "adapter": {}}']) {
      copy = farm.spoilt(bundle, 'MANIFEST.json', () => text);
      expect(await said('verify', 'bundle', copy)).toContain('is no manifest of a provenance bundle');
    }
  });

  test('is no adapter to vouch for, with links, or files that are not what they are called', async () => {
    let at = 0;
    const spoiltAdapter = (spoil: (folder: string) => void) => {
      const folderOf = join(farm.home, `adapter-${at++}`);
      mkdirSync(folderOf);
      for (const file of ['adapter_config.json', 'adapter_model.safetensors', 'corpus.jsonl'])
        cpSync(join(farm.folder, file), join(folderOf, file));
      spoil(folderOf);
      return said('provenance', 'export', folderOf, '--output', join(farm.home, 'never'));
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
    ).toContain('fidelity.json is no report of fidelity: all of it must have');
    const ofAnother = readFileSync(join(farm.folder, 'fidelity.json'), 'utf8').replace(
      /"adapter": "\w+"/,
      `"adapter": "${'f'.repeat(64)}"`,
    );
    expect(await spoiltAdapter((of) => writeFileSync(join(of, 'fidelity.json'), ofAnother))).toContain(
      `is of the adapter ${'f'.repeat(64)}, not of`,
    );
    const recipe = (of: string) => {
      writeFileSync(join(of, 'recipe.json'), '{}');
      for (const file of ['README.md', 'training_log.jsonl']) cpSync(join(farm.folder, file), join(of, file));
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
