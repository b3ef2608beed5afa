import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import type { Content, StoredExample } from '../model.ts';
import { contamination, paraphrase } from './contamination.ts';
import { DuplicateSearch } from './duplicates.ts';
import { Fingerprinter } from './fingerprints.ts';
import { heldOutGrams } from './heldout_grams.ts';
import { language } from './language.ts';
import { readLanguageTables } from './language_tables.ts';
import { length, tokens } from './length.ts';
import { licence } from './licence.ts';
import { pii } from './pii.ts';
import { schema } from './schema.ts';
import { type CurationChange, settingsOf } from './settings.ts';
import type { Item, StageInput } from './stage.ts';
import { surprise } from './surprise.ts';
import { unicode } from './unicode.ts';

const inputOf = (change: CurationChange = {}): StageInput => ({
  settings: settingsOf(change),
  schema: null,
  heldOut: null,
  languages: null,
});
const input = inputOf();

const items = (texts: string[]): Item[] =>
  texts.map((text, seq) => ({ seq, content: { text } satisfies Content }));

test('unicode repairs what was read in the wrong encoding, and sets aside half a pair', async () => {
  const { findings } = await unicode.each(items(['plain', 'caf\u00c3\u00a9', 'a\u200bb', 'x\ud800']), input);
  expect(findings.map(({ seq, action, content }) => [seq, action, content])).toEqual([
    [1, 'mask', { text: 'café' }],
    [2, 'mask', { text: 'ab' }],
    [3, 'quarantine', undefined],
  ]);
});

test('pii masks each kind where it stands, and leaves what only looks like it', async () => {
  const texts = [
    'Write to jane@example.org or +1 213 373 4253.',
    'Card 4111 1111 1111 1111, not 4111 1111 1111 1112.',
    'DE89 3704 0044 0532 0130 00 from 8.8.8.8, not 10.0.0.1; ICD 250.00',
    `ghp_${'wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx'}`,
  ];
  const { findings } = await pii.each(items(texts), input);
  expect(findings.map(({ content }) => (content as { text: string }).text)).toEqual([
    'Write to [EMAIL] or [PHONE].',
    'Card [CARD], not 4111 1111 1111 1112.',
    '[IBAN] from [IP], not 10.0.0.1; ICD 250.00',
    '[SECRET]',
  ]);
});

test('contamination finds 13 words in a row, and shorter held-out texts as a whole', async () => {
  const words = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => `w${from + i}`).join(' ');
  const heldOut = await heldOutGrams([words(0, 40), 'one two three four five six']);
  const texts = [words(20, 13), words(20, 12), `a ${words(50, 9)} One, two three four five SIX!`];
  const { findings } = await contamination.each(items(texts), { ...input, heldOut });
  expect(findings.map(({ seq }) => seq)).toEqual([0, 2]);
});

/** Pairs of a row and the one that stands for it. */
function linked(texts: readonly string[], without: number[] = []) {
  const settings = { threshold: 0.7, permutations: 128 };
  const search = new DuplicateSearch(settings);
  const rows = texts.map((text, seq) => ({ seq, text, digest: createHash('sha256').update(text).digest() }));
  search.add(new Fingerprinter(settings).of(rows), new Uint8Array(texts.length).fill(1));
  const found = [...search.end(new Set(without))].flatMap(({ findings }) => findings);
  return found.map(({ seq, canonical }) => [seq, canonical]);
}

test('duplicates link every row of a cluster to its first, whatever the order', () => {
  const long = Array.from({ length: 80 }, (_, i) => `word${i}`);
  const near = long.with(40, 'other').join(' ');
  const other = long.toReversed().join(' ');
  for (const [texts, expected] of [
    [
      [long.join(' '), other, near, long.join(' ')],
      [
        [2, 0],
        [3, 0],
      ],
    ],
    [
      [near, long.join(' '), long.join(' '), other],
      [
        [1, 0],
        [2, 0],
      ],
    ],
  ] as const) {
    expect(linked(texts)).toEqual(expected);
  }
});

test('a row that was set aside stands for none, and is linked to none', () => {
  const texts = Array.from({ length: 4 }, () => Array.from({ length: 30 }, (_, i) => `word${i}`).join(' '));
  expect(linked(texts, [0, 2])).toEqual([[3, 1]]);
});

test('rows without words are duplicates only where they are the same', () => {
  expect(linked(['!!!', '???', '!!!', ''])).toEqual([[2, 0]]);
});

test('schema sets aside what does not meet it, and says where, not what', async () => {
  const object = {
    type: 'object',
    properties: { text: { type: 'string', maxLength: 5 } },
    required: ['text'],
  };
  const { findings } = await schema.each(items(['short', 'secret words']), { ...input, schema: object });
  expect(findings).toMatchObject([
    { seq: 1, action: 'quarantine', reason: expect.stringMatching(/^text must/) },
  ]);
  expect(findings[0]!.reason).not.toContain('secret');
  expect(await schema.each(items(['anything']), input)).toEqual({ findings: [] });
});

test('language keeps those that are allowed, and those of which it is not sure', async () => {
  const texts = [
    'The patient was admitted to the hospital with a fever and a cough this morning.',
    'Der Patient wurde heute Morgen mit Fieber und Husten in das Krankenhaus eingeliefert.',
    'ok',
  ];
  const { findings, counts } = await language.each(items(texts), {
    ...inputOf({ language: { allowed: ['en'] } }),
    languages: await readLanguageTables(),
  });
  expect(counts).toEqual({ en: 1, de: 1, unknown: 1 });
  expect(findings).toEqual([
    { seq: 1, action: 'quarantine', reason: 'The row is in German ("de"); allowed are en.' },
  ]);
});

test('length counts all texts, and limits are inclusive', async () => {
  const change = { minWords: 2, maxCharacters: 9 };
  const { findings, measures } = await length.each(
    items(['one', 'one two', 'one two three']),
    inputOf({ length: change }),
  );
  expect(measures).toEqual({ characters: [3, 7, 13], words: [1, 2, 3] });
  expect(findings.map(({ seq, reason }) => [seq, reason])).toEqual([
    [0, 'The row has 1 word; the least is 2.'],
    [2, 'The row has 13 characters; the most is 9.'],
  ]);
});

test('tokens are counted by the model', async () => {
  const stage = tokens(async (contents) =>
    contents.map((content) => (content as { text: string }).text.length),
  );
  const { findings, measures } = await stage.each(
    items(['abc', 'abcd']),
    inputOf({ length: { maxTokens: 3 } }),
  );
  expect(measures).toEqual({ tokens: [3, 4] });
  expect(findings).toEqual([
    { seq: 1, action: 'quarantine', reason: 'The row has 4 tokens; the most is 3.' },
  ]);
});

test('licence asks about each contribution once, and sets all its rows aside', async () => {
  const asked: string[] = [];
  const findings = licence(async (contribution) => {
    asked.push(contribution);
    return contribution === 'bad' ? 'Not that one.' : null;
  });
  const example = (seq: number, contribution: string) => ({ seq, contribution }) as StoredExample;
  const found = await findings([example(1, 'bad'), example(2, 'good'), example(3, 'bad')]);
  expect(found.map(({ seq, reason }) => [seq, reason])).toEqual([
    [1, 'Not that one.'],
    [3, 'Not that one.'],
  ]);
  await findings([example(4, 'good')]);
  expect(asked).toEqual(['bad', 'good']);
});

/** Texts in a plane: a text's first number is the angle of its embedding, degrees. */
const angles = async (texts: string[]) =>
  texts.map((text) => {
    const angle = (Number(/-?\d+/.exec(text)![0]) / 180) * Math.PI;
    return Float32Array.of(Math.cos(angle), Math.sin(angle));
  });

test('paraphrase sets aside what is as near to a held-out text as the settings say', async () => {
  const stage = paraphrase(['0 held out'], angles);
  const { findings, measures } = await stage.each(
    items(['10', '40', '90']),
    inputOf({ contamination: { cosine: 0.9 } }),
  );
  expect(findings.map(({ seq }) => seq)).toEqual([0]);
  expect(measures!.cosine!.map((cosine) => Math.round(cosine * 100))).toEqual([98, 77, 0]);
});

test('paraphrase asks for more where held-out texts are nearer to one another than that', async () => {
  // 36 held-out texts, 10 degrees apart all around: their mean is nothing, and neighbours have a cosine of 0.985.
  const held = Array.from({ length: 36 }, (_, at) => `${at * 10} held out`);
  const stage = paraphrase(held, angles);
  const { findings } = await stage.each(items(['5', '14']), inputOf({ contamination: { cosine: 0.9 } }));
  expect(findings.map(({ seq }) => seq)).toEqual([0, 1]);
  const strict = await paraphrase(['0 held out'], angles).each(
    items(['12']),
    inputOf({ contamination: { cosine: 0.99 } }),
  );
  expect(strict.findings).toEqual([]);
});

test('surprise tells garbage and boilerplate from the rest, and passes over what has no loss', async () => {
  const losses = [...Array.from({ length: 40 }, (_, at) => 3 + (at % 5) / 10), 12, 0.01, Number.NaN];
  const { surprise: settings } = settingsOf({ surprise: { action: 'quarantine' } });
  const stage = surprise(
    async (contents) => contents.map((one) => losses[Number((one as { text: string }).text)]!),
    settings,
  );
  await stage.see(items(losses.map((_, at) => String(at))));
  const said = [...stage.end()];
  expect(said.flatMap(({ findings }) => findings)).toMatchObject([
    { seq: 40, action: 'quarantine', reason: expect.stringContaining('harder to foresee') },
    { seq: 41, action: 'quarantine', reason: expect.stringContaining('easier to foresee') },
  ]);
  expect(said.flatMap(({ measures }) => measures!.loss!)).toHaveLength(42);
});
