import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { places } from '../places.ts';
import { type OpenService, openService } from '../service.ts';
import { Manifest } from '../snapshots/manifest.ts';
import { withoutModels } from '../testing/without_models.ts';
import { demoName, makeDemo } from './make_demo.ts';
import { codingExamples } from './medical_coding.ts';
import { readTabularList } from './tabular_list.ts';

const diag = (name: string, description: string, inner = '') =>
  `<diag><name>${name}</name><desc>${description}</desc>${inner}</diag>`;
const terms = (...notes: string[]) =>
  `<inclusionTerm>${notes.map((note) => `<note>${note}</note>`).join('')}</inclusionTerm>`;
const codes = Array.from({ length: 8 }, (_, i) =>
  diag(
    `I45.${i}`,
    `Block of kind ${i}`,
    `${terms(`Kind ${i} &amp; blocked`)}${diag(`I45.${i}1`, `Left block ${i}`)}${diag(`I45.${i}2`, `Right block ${i}`)}`,
  ),
).join('');
const list = `<?xml version="1.0" encoding="utf-8"?>
<ICD10CM.tabular><version>2026</version>
<chapter><name>9</name><desc>Diseases of the heart (I00-I99)</desc><sectionIndex><sectionRef first="I45" last="I46">Hearts</sectionRef></sectionIndex>
<section id="I45"><desc>Blocks</desc>${diag('I45', 'Other conduction disorders', `${terms('Shared words')}${codes}`)}</section></chapter>
<chapter><name>11</name><desc>Diseases of digestion (K00-K95)</desc>
<section id="K20"><desc>Gullet</desc>${diag('K20', 'Esophagitis', `${terms('Shared words', 'Esophagitis')}<excludes1><note>ulcer (K22.1)</note></excludes1>${diag('K20.0', 'Eosinophilic\n  esophagitis')}`)}${diag('K21', 'Reflux')}</section></chapter>
</ICD10CM.tabular>`;

async function* pieces(text: string) {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7);
}

let folder: string;
let service: OpenService;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'colophon-demo-'));
  service = await openService({
    ...places(folder, {}),
    ...withoutModels,
    uploadBytes: 1e8,
    limits: { rowBytes: 1e5, ratio: 100, expandedBytes: 1e9 },
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
});
afterEach(async () => {
  await service.close();
  await rm(folder, { recursive: true });
});

test('the tabular list is read as it is', async () => {
  const chapters = await readTabularList(pieces(list));
  expect(chapters.map(({ number, title, codes }) => [number, title, codes.length])).toEqual([
    [9, 'Diseases of the heart', 25],
    [11, 'Diseases of digestion', 3],
  ]);
  expect(chapters[0]!.codes[1]).toEqual({
    name: 'I45.0',
    category: 'I45',
    description: 'Block of kind 0',
    terms: ['Kind 0 & blocked'],
    leaf: false,
  });
});

test('what is no tabular list is refused with the reason', async () => {
  await expect(readTabularList(pieces('<a><b></a>'))).rejects.toThrow(/is not XML/);
  await expect(readTabularList(pieces('<a></a>'))).rejects.toThrow(/has no chapters/);
  await expect(readTabularList(pieces(diag('A00', 'Cholera')))).rejects.toThrow(/outside of a chapter/);
  await expect(readTabularList(pieces('<a>'.repeat(100)))).rejects.toThrow(/nested more than 64/);
});

test('examples are wordings of one category, leaves and inclusion terms', async () => {
  const examples = codingExamples(await readTabularList(pieces(list)));
  expect(examples.get(11)).toEqual([
    {
      question: 'Eosinophilic esophagitis',
      category: 'K20',
      group: 'K20.0',
      content: {
        messages: [
          { role: 'system', content: 'You are a medical coder.' },
          { role: 'user', content: 'ICD-10-CM category: Eosinophilic esophagitis' },
          { role: 'assistant', content: 'K20 Esophagitis' },
        ],
      },
    },
  ]);
  expect(
    examples
      .get(9)!
      .map(({ question }) => question)
      .slice(0, 3),
  ).toEqual(['Kind 0 & blocked', 'Left block 0', 'Right block 0']);
  expect(new Set(examples.get(9)!.map(({ group }) => group)).size).toBe(8);
});

test('the demo is made by the service, signed and accepted, and made again it is the same', async () => {
  const chapters = await readTabularList(pieces(list));
  const { datanet, snapshot, examples } = await makeDemo(service, { tenant: 'ours', chapters });
  expect(examples).toBe(25);
  const { data } = await service.store.contributions({ datanet: datanet.id }, { limit: 100 });
  expect(data.map(({ filename, state, rows, refused }) => [filename, state, rows, refused]).sort()).toEqual([
    ['chapter-09.jsonl', 'accepted', 24, 0],
    ['chapter-11.jsonl', 'accepted', 1, 0],
  ]);
  expect(data.every(({ signature }) => signature !== null)).toBe(true);
  expect((await makeDemo(service, { tenant: 'ours', chapters })).snapshot).toBe(snapshot);
  await expect(makeDemo(service, { tenant: 'theirs', chapters })).rejects.toThrow(demoName);
});

test('train and held-out share no cluster of codes', async () => {
  const chapters = await readTabularList(pieces(list));
  const { datanet, snapshot } = await makeDemo(service, { tenant: 'ours', chapters });
  const { store, blobs } = service;
  const manifest = await Manifest.open(blobs, (await store.snapshot(datanet.id, snapshot))!.manifest);
  const splitsOf = new Map<string, Set<string>>();
  let heldOut = 0;
  for await (const entries of manifest.entries())
    for (const { hash, split } of entries) {
      const [example] = (await store.examples(datanet.id, { hash }, { limit: 1 })).data;
      splitsOf.set(example!.group!, (splitsOf.get(example!.group!) ?? new Set()).add(split));
      if (split !== 'train') heldOut++;
    }
  expect(splitsOf.size).toBe(9);
  expect([...splitsOf.values()].map(({ size }) => size)).toEqual(Array(9).fill(1));
  expect(heldOut).toBeGreaterThan(0);
});
