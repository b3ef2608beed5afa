import { expect, test } from 'vitest';
import type { Content, StoredExample } from '../model.ts';
import { contamination } from './contamination.ts';
import { DuplicateSearch } from './duplicates.ts';
import { heldOutGrams } from './heldout_grams.ts';
import { pii } from './pii.ts';
import type { Item, StageInput } from './stage.ts';
import { unicode } from './unicode.ts';

const mask = 'mask' as const;
const input = {
  settings: {
    unicode: { enabled: true, whitespace: true, mojibake: 'repair' },
    pii: {
      email: mask,
      phone: mask,
      card: mask,
      iban: mask,
      ip: mask,
      ssn: mask,
      secret: mask,
      phoneCountry: '',
    },
  },
  schema: null,
  heldOut: null,
} as unknown as StageInput;

const items = (texts: string[]): Item[] =>
  texts.map((text, seq) => ({ example: { seq } as StoredExample, content: { text } satisfies Content }));

test('unicode repairs what was read in the wrong encoding, and sets aside half a pair', async () => {
  const { findings } = await unicode.each!(items(['plain', 'caf\u00c3\u00a9', 'a\u200bb', 'x\ud800']), input);
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
  const { findings } = await pii.each!(items(texts), input);
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
  const { findings } = await contamination.each!(items(texts), { ...input, heldOut });
  expect(findings.map(({ seq }) => seq)).toEqual([0, 2]);
});

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
    const search = new DuplicateSearch({ threshold: 0.7, permutations: 128 });
    search.see(items([...texts]));
    const found = [...search.end()].flatMap(({ findings }) => findings);
    expect(found.map(({ seq, canonical }) => [seq, canonical])).toEqual(expected);
  }
});
