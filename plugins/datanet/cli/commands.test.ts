/** `colophon datanet …` against a server, and offline. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { colophon } from '../../../gateway/cli/testing.ts';
import { startDatanetServer } from '../testing/server.ts';

let server: Awaited<ReturnType<typeof startDatanetServer>>;
let home: string;
const file = (name: string) => join(home, name);

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'colophon-datanet-cli-'));
  server = await startDatanetServer();
  const { privateKey } = generateKeyPairSync('ed25519');
  await writeFile(file('ada.pem'), privateKey.export({ format: 'pem', type: 'pkcs8' }));
  await writeFile(file('colophon.yaml'), 'server:\n  port: 1\n'); // Nobody listens there.
});
afterAll(async () => {
  await server.close();
  await rm(home, { recursive: true });
});

const run = (args: string[], key?: string) =>
  colophon(['datanet', ...args], {
    COLOPHON_HOME: home,
    COLOPHON_CONFIG: file('colophon.yaml'),
    ...(key === undefined ? {} : { COLOPHON_API_KEY: key }),
  });
/** On the server; what it printed must be JSON. */
async function json(args: string[]) {
  const printed = await run([...args, '--url', server.url, '--json', '-q']);
  expect(printed, args.join(' ')).toMatchObject({ exitCode: 0, stderr: '' });
  return JSON.parse(printed.stdout);
}
async function refused(args: string[], sentence: string, exitCode = 1, key?: string) {
  const printed = await run([...args, '--url', server.url], key);
  expect(printed.stderr).toContain(sentence);
  expect(printed).toMatchObject({ exitCode, stdout: '' });
}

const chat = (text: string) =>
  `${JSON.stringify({
    messages: [
      { role: 'user', content: text },
      { role: 'assistant', content: `${text}!` },
    ],
  })}\n`;
const said = (contributor: string, more: string[] = []) => [
  ...['--contributor', contributor, '--licence', 'CC0-1.0', '--source', 'own work', '--rights', 'Mine.'],
  ...more,
];

/** Ada signs and Bo does not; both are accepted, and what they gave is frozen. */
async function filled(name: string): Promise<{ id: string; provenance: string; counts: object }> {
  await json(['create', name, '--kinds', 'chat,completion', '--allow', 'CC0-1.0,MIT', '--domain', 'tests']);
  await writeFile(file('ada.jsonl'), Array.from({ length: 30 }, (_, i) => chat(`Ada ${i} ä😀`)).join(''));
  const pairs = Array.from(
    { length: 9 },
    (_, i) => `{"prompt":"Bo ${i}","completion":"b","group":"g${i % 3}"}\n`,
  );
  await writeFile(file('bo.jsonl'), `${pairs.join('')}{"prompt":1}\n`);
  const ada = await json(['contribute', name, file('ada.jsonl'), ...said('Ada', ['--key', file('ada.pem')])]);
  const bo = await json(['contribute', name, file('bo.jsonl'), ...said('Bo')]);
  expect(ada).toMatchObject({ state: 'checked', rows: 30, refused: 0 });
  expect(bo).toMatchObject({ state: 'checked', rows: 10, refused: 1, first_refused_rows: [{ line: 10 }] });
  for (const { id } of [ada, bo])
    expect(await json(['review', name, id, '--accept'])).toMatchObject({ state: 'accepted' });
  const made = await json(['snapshot', name, '--seed', '3', '--shares', '0.6,0.2,0.2', '--apart', 'cluster']);
  expect(made.counts).toMatchObject({ examples: 39, contributors: 2 });
  return made;
}

test('a Datanet is made, filled, frozen, compared, and proved with nothing but a file', async () => {
  const first = await filled('farm');
  expect((await json(['list'])).map(({ name }: { name: string }) => name)).toContain('farm');
  const shown = await json(['show', 'farm']);
  expect(shown).toMatchObject({ role: 'owner', contributions: [{ signature: /./ }, {}], snapshots: [{}] });
  const text = await run(['show', 'farm', '--url', server.url]);
  expect(text.stdout).toContain('CONTRIBUTION');
  expect(text.stderr).toContain('Next: colophon datanet snapshot farm');

  await writeFile(file('more.jsonl'), chat('More'));
  const more = await json(['contribute', 'farm', file('more.jsonl'), ...said('Bo')]);
  await json(['review', 'farm', more.id, '--reject', '--reason', 'Too short.']);
  await json(['review', 'farm', more.id, '--accept']);
  const second = await json(['snapshot', 'farm']);
  expect(await json(['diff', 'farm', first.id, 'latest'])).toMatchObject({ added: 1, removed: 0 });
  expect(await json(['withdraw', 'farm', more.id, '--yes'])).toMatchObject({ state: 'withdrawn' });

  const content = { messages: JSON.parse(chat('Ada 1 ä😀')).messages };
  const { canonicalContent } = await import('../snapshots/canonical.ts');
  await writeFile(file('example.json'), JSON.stringify(content));
  await json(['prove', `farm@${first.id}`, canonicalContent(content).hash, '--output', file('proof.json')]);
  const roots = ['--snapshot', first.id, '--provenance', first.provenance];
  const offline = await run([
    'prove',
    '--verify',
    file('proof.json'),
    '--example',
    file('example.json'),
    ...roots,
  ]);
  expect(offline).toMatchObject({ exitCode: 0, stderr: '' });
  expect(offline.stdout).toMatch(/contributor +Ada/);
  expect(offline.stdout).toMatch(/signature +by [0-9a-f]{64}/);
  const proof = JSON.parse(await readFile(file('proof.json'), 'utf8'));
  const verify = async (change: object, args: string[] = []) => {
    await writeFile(file('changed.json'), JSON.stringify({ ...proof, ...change }));
    const printed = await run(['prove', '--verify', file('changed.json'), ...args]);
    expect(printed).toMatchObject({ exitCode: 1, stdout: '' });
    return printed.stderr;
  };
  expect(await verify({ contributor: { ...proof.contributor, name: 'Eve' } })).toContain(
    'root of provenance',
  );
  expect(await verify({ leafIndex: proof.leafIndex + 1 })).toContain('The path does not lead');
  expect(await verify({}, ['--snapshot', second.id])).toContain('and not of');
  await writeFile(file('other.json'), '{"text":"x"}');
  expect(await verify({}, ['--example', file('other.json')])).toContain('The example has the hash');
  expect((await run(['prove', '--verify', file('none.json')])).exitCode).toBe(2);

  expect(await json(['rm', 'farm', '--yes'])).toMatchObject({ deleted: true });
  await refused(['show', 'farm'], "There is no Datanet 'farm'.");
});

test('a schema is checked when it is set, and then by it each row', async () => {
  await writeFile(file('schema.json'), '{"properties":{"completion":{"enum":["yes","no"]}}}');
  await writeFile(file('wrong.json'), '{"properties":{"completion":{"type":"strin"}}}');
  const create = ['create', 'votes', '--kinds', 'completion', '--schema'];
  await refused([...create, file('wrong.json')], "at '/properties/completion/type' it must be equal to one");
  await refused([...create, file('none.json')], 'cannot be read as JSON', 2);
  expect((await json([...create, file('schema.json')])).schema.properties.completion.enum).toHaveLength(2);
  await writeFile(
    file('votes.jsonl'),
    '{"prompt":"a","completion":"yes"}\n{"prompt":"b","completion":"perhaps"}\n',
  );
  const given = await json(['contribute', 'votes', file('votes.jsonl'), ...said('Eve')]);
  expect(given).toMatchObject({ rows: 2, refused: 1 });
  expect(given.first_refused_rows).toMatchObject([
    { line: 2, field: 'completion', reason: expect.stringContaining('(["yes","no"])') },
  ]);
});

test('one example is taken back by its hash', async () => {
  await json(['create', 'garden']);
  await writeFile(file('plants.jsonl'), `${chat('Rose')}${chat('Nettle')}`);
  await writeFile(file('weeds.jsonl'), `${chat('Nettle')}${chat('Thistle')}`);
  const [plants, weeds] = [
    await json(['contribute', 'garden', file('plants.jsonl'), ...said('Rosa')]),
    await json(['contribute', 'garden', file('weeds.jsonl'), ...said('Bo')]),
  ];
  for (const { id } of [plants, weeds]) await json(['review', 'garden', id, '--accept']);
  const { canonicalContent } = await import('../snapshots/canonical.ts');
  const { hash } = canonicalContent(JSON.parse(chat('Nettle')));
  const one = ['withdraw', 'garden', weeds.id, '--example', hash];
  await refused(one, 'Without a terminal add --yes.', 2);
  await refused(['withdraw', 'garden', '--example', 'xy', '--yes'], 'is no hash of an example', 2);
  await refused(['withdraw', 'garden', '--yes'], 'Name a contribution, or --example HASH.', 2);
  await refused(
    ['withdraw', 'garden', '--example', 'ab'.repeat(32), '--yes'],
    `There is no example '${'ab'.repeat(32)}'.`,
  );
  expect(await json([...one, '--yes', '--reason', 'It stings.'])).toMatchObject({
    withdrawn: 1,
    remaining: 1,
  });
  expect((await json(['snapshot', 'garden'])).counts.examples).toBe(3);
  const all = ['withdraw', 'garden', '--example', hash, '--yes', '--url', server.url];
  expect((await run(all)).stdout).toBe(`${hash}  withdrawn from 1 rows\n`);
  expect((await json(['snapshot', 'garden'])).counts.examples).toBe(2);
});

test('what is refused is told in a sentence', async () => {
  await json(['create', 'strict', '--allow', 'MIT']);
  await refused(['create', 'strict'], "There is a Datanet 'strict' already.");
  await refused(['create', 'No Name'], 'name');
  await refused(['show', 'absent'], "There is no Datanet 'absent'.");
  await refused(['show', 'strict'], "There is no Datanet 'strict'.", 1, 'stranger');
  await writeFile(file('one.jsonl'), chat('one'));
  await writeFile(file('none.jsonl'), '');
  const give = (name: string, ...more: string[]) => [
    'contribute',
    'strict',
    file(name),
    ...said('Cy'),
    ...more,
  ];
  await refused(give('one.jsonl'), 'This Datanet takes nothing under CC0-1.0. It takes MIT.');
  await refused(give('one.jsonl', '--licence', 'Mine'), "'Mine' is no SPDX licence id.");
  await refused(give('none.jsonl', '--licence', 'MIT'), "The file 'none.jsonl' is empty.");
  await refused(give('absent.jsonl', '--licence', 'MIT'), 'There is no file', 2);
  await refused(give('one.jsonl', '--licence', 'MIT', '--columns', 'x=y'), 'cannot be mapped');
  await refused(
    give('one.jsonl', '--licence', 'MIT', '--key', file('one.jsonl')),
    'no Ed25519 private key',
    2,
  );
  await refused(['contribute', 'strict', file('one.jsonl')], '--contributor', 2);
  const given = await json(give('one.jsonl', '--licence', 'MIT'));
  await refused(give('one.jsonl', '--licence', 'MIT'), 'The same file is in Datanet');
  const { privateKey } = generateKeyPairSync('ed25519');
  await writeFile(file('cy.pem'), privateKey.export({ format: 'pem', type: 'pkcs8' }));
  await refused(give('one.jsonl', '--licence', 'MIT', '--key', file('cy.pem')), 'has another key than --key');
  await refused(['review', 'strict', given.id], 'Say either --accept or --reject.', 2);
  await refused(['review', 'strict', given.id, '--reject'], 'A rejection needs a reason', 2);
  await refused(['review', 'strict', 'x', '--accept'], "There is no contribution 'x'.");
  await refused(['withdraw', 'strict', given.id], 'Without a terminal add --yes.', 2);
  await refused(['rm', 'strict'], 'Without a terminal add --yes.', 2);
  await refused(['snapshot', 'strict'], 'no accepted examples');
  await refused(['snapshot', 'strict', '--shares', '1,2'], 'three numbers', 2);
  await refused(['snapshot', 'strict', '--seed', '-1'], 'whole number', 2);
  await refused(['diff', 'strict', 'x', 'latest'], 'names no snapshot', 2);
  await refused(['diff', 'strict', 'latest', 'latest'], "There is no snapshot 'latest'.");
  await refused(['prove'], 'Name a snapshot and an example', 2);
  await refused(['prove', 'strict@latest', 'xy'], 'is no hash of an example', 2);
  await refused(['curate', 'strict', '--settings', file('none.jsonl')], 'cannot be read as JSON', 2);
  await refused(['export', 'strict', file('out')], "There is no snapshot 'latest'.");
  await refused(['export', 'strict', home], 'is there already', 2);
  await refused(['export', 'strict', file('out'), '--format', 'xml'], 'no format of an export', 2);
  expect(await readdir(home)).not.toContain('out');
  const away = await run(['list']);
  expect(away).toMatchObject({ exitCode: 5, stdout: '' });
});

describe('a folder', () => {
  test.each([
    'parquet',
    'jsonl',
  ])('of %s has what it promises, and becomes the same snapshot again', async (format) => {
    const name = `net-${format}`;
    const made = await filled(name);
    const out = file(`out-${format}`);
    const exported = await json(['export', `${name}@${made.id}`, out, '--format', format]);
    expect(exported.snapshot).toBe(made.id);
    const croissant = JSON.parse(await readFile(join(out, 'croissant.json'), 'utf8'));
    expect(croissant['prov:wasAttributedTo'].map(({ name: one }: { name: string }) => one).sort()).toEqual([
      'Ada',
      'Bo',
    ]);
    for (const { contentUrl, sha256 } of croissant.distribution) {
      const bytes = await readFile(join(out, contentUrl));
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
    }
    const again = await json(['import', `again-${format}`, out]);
    expect(again).toMatchObject({ snapshot: made.id, contributions: 2 });
    const shown = await json(['show', `again-${format}`]);
    expect(shown.snapshots[0].counts).toEqual(made.counts);

    // Anything changed in it is found, and nothing comes in.
    const changed = async (change: (folder: string) => Promise<void>, sentence: string) => {
      const copy = file('copy');
      await cp(out, copy, { recursive: true });
      await change(copy);
      await refused(['import', 'broken', copy], sentence);
      await rm(copy, { recursive: true });
      await refused(['show', 'broken'], "There is no Datanet 'broken'.");
    };
    const rewrite = async (folder: string, edit: (document: typeof croissant) => void) => {
      const document = structuredClone(croissant);
      edit(document);
      await writeFile(join(folder, 'croissant.json'), JSON.stringify(document));
    };
    await changed(
      (folder) => writeFile(join(folder, `data/train.${format}`), 'x'),
      'croissant.json promises',
    );
    for (const [path, sentence] of [
      ['../ada.pem', 'not a path within it'],
      ['/etc/hostname', 'not a path within it'],
      ['data', 'which is no file'],
      ['absent', 'which is not there'],
    ] as const) {
      const edit = (document: typeof croissant) => {
        document.distribution[0].contentUrl = path;
      };
      await changed((folder) => rewrite(folder, edit), sentence);
    }
    await changed(async (folder) => {
      await rm(join(folder, 'provenance.jsonl'));
      await symlink(join(out, 'provenance.jsonl'), join(folder, 'provenance.jsonl'));
    }, 'which is a link');
    await changed((folder) => writeFile(join(folder, 'croissant.json'), '{'), 'is no JSON');
    await changed(
      async (folder) => {
        const snapshot = JSON.parse(await readFile(join(folder, 'snapshot.json'), 'utf8'));
        const text = JSON.stringify({ ...snapshot, id: 'ab'.repeat(32) });
        await writeFile(join(folder, 'snapshot.json'), text);
        await rewrite(folder, (document) => {
          const found = document.distribution.find(
            (one: { contentUrl: string }) => one.contentUrl === 'snapshot.json',
          );
          found.sha256 = createHash('sha256').update(text).digest('hex');
        });
      },
      `and not of ${'ab'.repeat(32)}`,
    );
  });

  test('of Hugging Face comes in as contributions', async () => {
    await json(['create', 'hub', '--kinds', 'completion']);
    const folder = file('hub');
    await mkdir(join(folder, 'data'), { recursive: true });
    await refused(['import', 'hub', folder], 'is no folder to import', 2);
    const readme = (matter: string) => writeFile(join(folder, 'README.md'), `---\n${matter}\n---\n# Words\n`);
    const rights = ['--contributor', 'Hub', '--rights', 'It is published so.'];
    await readme('pretty_name: Words');
    await refused(['import', 'hub', folder], 'by what right', 2);
    await refused(['import', 'hub', folder, ...rights], 'has no files of rows');
    await writeFile(join(folder, 'data', 'train-0.csv'), 'frage,antwort\na,b\nc,d\n');
    await writeFile(join(folder, 'data', 'notes.jsonl'), '{"x":1}\n');
    await refused(['import', 'hub', folder, ...rights], 'names no one licence', 2);
    await readme('license: [');
    await refused(['import', 'hub', folder, ...rights], 'cannot be read as YAML');
    const split = 'configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/';
    await readme(`license: cc-by-4.0\n${split}test-*`);
    await refused(['import', 'hub', folder, ...rights], 'there are none in the folder');
    await readme(`license: cc-by-4.0\npretty_name: Words\n${split}train-*`);
    const given = await json([
      'import',
      'hub',
      folder,
      ...rights,
      '--columns',
      'prompt=frage,completion=antwort',
    ]);
    expect(given).toMatchObject([
      {
        filename: 'data-train-0.csv',
        licence: 'CC-BY-4.0',
        source: 'Words',
        rows: 2,
        refused: 0,
        state: 'checked',
      },
    ]);
  });
});
