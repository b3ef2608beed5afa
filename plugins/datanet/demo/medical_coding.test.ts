import { expect, test } from 'vitest';
import { codingExamples } from './medical_coding.ts';
import { readTabularList } from './tabular_list.ts';
import { diag, tabularList as list } from './testing/list.ts';

async function* pieces(text: string) {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7);
}

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
