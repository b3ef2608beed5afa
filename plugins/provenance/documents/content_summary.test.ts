import { expect, test } from 'vitest';
import type { AdapterFacts, UsedData } from '../facts/adapter.ts';
import type { Facts } from '../facts/facts.ts';
import type { ContributionFacts, SnapshotFacts } from '../facts/snapshot.ts';
import type { Provider } from '../provider.ts';
import { contentSummary, type SummarySection } from './content_summary.ts';
import { summaryText } from './summary_text.ts';

const snapshotId = 'a'.repeat(64);
const training: UsedData = {
  role: 'training',
  file: `datanet:farm@${snapshotId}`,
  datanet: 'farm',
  snapshot: snapshotId,
  sha256: 'b'.repeat(64),
  examples: 3,
};
const adapter: AdapterFacts = {
  name: 'songs',
  folder: '/nowhere',
  contentHash: 'c'.repeat(64),
  files: [],
  config: {},
  base: { name: 'base', sha256: null },
  recipe: null,
  log: null,
  job: null,
  data: [training],
  fidelity: null,
};
/** A contribution of examples of the training split. */
const given = (source: string, more: Partial<ContributionFacts> = {}, name = 'ada'): ContributionFacts => ({
  record: {
    datanet: 'farm',
    id: `contribution_${source.length}`,
    sha256: 'd'.repeat(64),
    licence: 'CC0-1.0',
    source,
    rights: 'Mine.',
    signature: null,
    contributor: { id: `contributor_${name.length}`, name, publicKey: null },
  },
  state: 'accepted',
  givenAt: Date.UTC(2026, 2, 9) / 1000,
  examples: { train: 3, validation: 0, test: 0 },
  withdrawn: 0,
  ...more,
});
const snapshotOf = (...contributions: ContributionFacts[]): SnapshotFacts => ({
  datanet: { name: 'farm', description: '', domain: '', kinds: ['chat'] },
  snapshot: { id: snapshotId, provenance: null, createdAt: Date.UTC(2026, 3, 2) / 1000 },
  splits: {
    train: { examples: 3, bytes: 1000 },
    validation: { examples: 0, bytes: 0 },
    test: { examples: 0, bytes: 0 },
  },
  contributions,
  curation: null,
  async *entries() {},
});
const summaryOf = (facts: Partial<Facts>) =>
  contentSummary({ adapter, snapshot: snapshotOf(given('own work')), provider: {}, ...facts });

/** The answers of a section, by the names of its fields. */
function answers(sections: readonly SummarySection[], number: string): Record<string, unknown> {
  for (const { number: own, fields, sections: inner = [] } of sections) {
    if (own === number) return Object.fromEntries(fields.map(({ name, answer }) => [name, answer]));
    if (number.startsWith(own)) return answers(inner, number);
  }
  throw new Error(`There is no section ${number}.`);
}

test('it has the sections of the template, in order', () => {
  const numbers = (sections: readonly SummarySection[]): string[] =>
    sections.flatMap(({ number, sections: inner = [] }) => [number, ...numbers(inner)]);
  expect(numbers(summaryOf({}).sections)).toEqual(
    '1 1.1 1.2 1.3 2 2.1 2.2 2.2.1 2.2.2 2.3 2.4 2.5 2.6 3 3.1 3.2 3.3'.split(' '),
  );
});

test('contributions are listed by what they say of their source, and only those that were learned from', () => {
  const { sections } = summaryOf({
    snapshot: snapshotOf(
      given('https://example.org/songs'),
      given('a book of songs'),
      given('https://example.org/tests', { examples: { train: 0, validation: 0, test: 9 } }),
    ),
  });
  expect(answers(sections, '2.1').Datasets).toEqual([
    expect.stringMatching(/^https:\/\/example.org\/songs: 3 examples under CC0-1.0/),
  ]);
  expect(answers(sections, '2.2.2').Datasets).toEqual([
    expect.stringMatching(/^a book of songs: 3 examples/),
  ]);
});

test('times are those of the records', () => {
  const later = given('own work', { givenAt: Date.UTC(2026, 4, 1) / 1000 });
  const { sections } = summaryOf({ snapshot: snapshotOf(later, given('another')) });
  expect(answers(sections, '1.3')['Latest date of data acquisition']).toBe('2026-05');
  expect(answers(sections, '1')['Last update']).toBe('2026-04-02');
  const job = { createdAt: 0, finishedAt: Date.UTC(2026, 5, 7) / 1000 };
  expect(answers(summaryOf({ adapter: { ...adapter, job } }).sections, '1')['Last update']).toBe(
    '2026-06-07',
  );
});

test('a size is claimed only where it is known', () => {
  const size = (bytes: number | null) => {
    const snapshot = snapshotOf(given('own work'));
    snapshot.splits.train.bytes = bytes;
    return answers(summaryOf({ snapshot }).sections, '1.3')['Training data size'];
  };
  expect(size(999_999_999)).toMatch(/^Less than 1 billion tokens: 3 training examples/);
  expect(size(1_000_000_000)).toBe('3 training examples, 1000000000 bytes of training texts');
  expect(size(null)).toBe('3 training examples');
});

test('what the provider says closes what is open, and nothing else does', () => {
  const source = { used: true, description: 'In 2026.' };
  const provider: Required<Provider> = {
    name: 'Acme',
    contact: 'acme@example.org',
    authorised_representative: 'None is needed.',
    market_date: '2026-06-01',
    content_types: 'songs',
    crawled: source,
    user_data: source,
    synthetic: source,
    licensed: { used: false },
    code_of_practice: false,
    opt_outs: 'Asked.',
    illegal_content: 'Read.',
    comments: 'That is all.',
  };
  const snapshot = snapshotOf(given('own work'));
  snapshot.curation = { job: 'job', stages: {}, languages: { en: 3 }, personal: {} };
  const { open, sections } = summaryOf({ snapshot, provider });
  expect(open).toEqual([]);
  expect(answers(sections, '2.3')).toEqual({
    'Crawlers used by the provider or on its behalf': 'Yes. In 2026.',
  });
  expect(answers(sections, '2.2.1')).toEqual({ 'Licensing agreements concluded': 'No.' });
  // Each answer closes one field, which is open without it; comments are no field of the template's.
  const without = (left: keyof Provider) =>
    summaryOf({
      snapshot,
      provider: Object.fromEntries(Object.entries(provider).filter(([key]) => key !== left)),
    });
  for (const key of Object.keys(provider) as Array<keyof Provider>)
    expect(without(key).open, key).toHaveLength(key === 'comments' ? 0 : 1);
});

test('of an adapter whose data nobody knows it says that', () => {
  const { open } = summaryOf({ adapter: { ...adapter, data: [] }, snapshot: null });
  expect(open).toContain('2.6 What it was trained on');
  expect(open).toContain('1.3 Training data size');
});

test('as Markdown it has what contributors wrote as text, on one line', () => {
  const text = summaryText(
    summaryOf({
      snapshot: snapshotOf(
        given('x\n# Forged\n- **Provider name:** Evil', {}, '<script>[a](b) `c` | *d* \\'),
      ),
    }),
  );
  expect(text).not.toMatch(/^# Forged|^- \*\*Provider name:\*\* Evil/m);
  expect(text).toContain('x \\# Forged - \\*\\*Provider name:\\*\\* Evil: 3 examples');
  expect(text).toContain('\\<script\\>\\[a\\](b) \\`c\\` \\| \\*d\\* \\\\ (contributor\\_');
  expect(text).toContain('- **Provider name:** *open*');
});
