import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Fidelity, readFidelity, writeFidelity } from './fidelity_file.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-fidelity-file-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const adapter = 'ab'.repeat(32);
const lds = { value: 0.5, low: 0.25, high: 0.75 };
const report: Fidelity = {
  format: 1,
  adapter,
  recipe: 'cd'.repeat(32),
  engine: '0.1.0',
  data: { examples: 120, of: 1248, queries: 48, heldOut: 'validation', share: 1 },
  retrains: 60,
  methods: [
    { method: 'datainf', lds, overBaseline: lds },
    { method: 'bm25', lds },
  ],
  chosen: 'datainf',
  mislabelled: { examples: 120, wrong: 24, auc: { loss: 0.9 } },
  counterfactual: { rounds: 4, queries: 24, removed: 5, methods: { datainf: lds } },
};

test('what was written is read, and nothing else is left', async () => {
  expect(await readFidelity(folder, adapter)).toBeUndefined();
  await writeFidelity(folder, report);
  expect(await readFidelity(folder, adapter)).toEqual(report);
  const none: Fidelity = { ...report, chosen: null, mislabelled: null, counterfactual: null };
  await writeFidelity(folder, none);
  expect(await readFidelity(folder, adapter)).toEqual(none);
  expect(readdirSync(folder)).toEqual(['fidelity.json']);
});

test.each([
  ['cut', JSON.stringify(report).slice(0, -1), /is damaged: it is no JSON/],
  ['empty', '', /is damaged: it is no JSON/],
  ['no object', '7', /is no report of fidelity: all of it must be object/],
  ['of another format', JSON.stringify({ ...report, format: 2 }), /no report of fidelity: \/format/],
  ['of a method that settles nothing', JSON.stringify({ ...report, chosen: 'tfidf' }), /: \/chosen/],
  ['of no numbers', JSON.stringify({ ...report, methods: [{ method: 'x', lds: {} }] }), /\/methods\/0\/lds/],
  ['of another adapter', JSON.stringify({ ...report, adapter: 'ef'.repeat(32) }), /is of the adapter efef/],
  ['longer than any', `${' '.repeat(2 ** 20)}${JSON.stringify(report)}`, /is damaged/],
])('one that is %s is refused by a sentence', async (_, text, sentence) => {
  writeFileSync(join(folder, 'fidelity.json'), text);
  await expect(readFidelity(folder, adapter)).rejects.toThrow(sentence);
});

test('one that cannot be read is not taken for none', async () => {
  mkdirSync(join(folder, 'fidelity.json'));
  await expect(readFidelity(folder, adapter)).rejects.toThrow();
});
