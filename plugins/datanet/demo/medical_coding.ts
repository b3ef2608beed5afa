/**
 * Examples of the demo Datanet: a diagnosis in words, and the category that it belongs to. Categories are few and wordings many,
 * so that who has learned the categories' sense answers wordings never seen.
 */
import type { Content } from '../model.ts';
import type { Chapter, Code } from './tabular_list.ts';

export interface CodingExample {
  content: Content & { messages: unknown };
  /** Wordings of one five-character code are never in train and held-out both: they say nearly the same. */
  group: string;
  question: string;
  category: string;
}

/** Of five characters the point is one: "I45.4". */
const clusterCharacters = 5;

/** In the list's order. Words that name several categories of the list are left out, and such that are the category's title. */
export function codingExamples(chapters: readonly Chapter[]): Map<number, CodingExample[]> {
  const categories = new Map<string, Set<string>>();
  for (const { codes } of chapters)
    for (const code of codes)
      for (const words of wordings(code)) {
        const key = words.toLowerCase();
        categories.set(key, (categories.get(key) ?? new Set()).add(code.category));
      }
  const examples = new Map<number, CodingExample[]>();
  for (const { number, codes } of chapters) {
    const titles = new Map(codes.map(({ name, description }) => [name, description]));
    const seen = new Set<string>();
    const own: CodingExample[] = [];
    for (const code of codes) {
      const title = titles.get(code.category)!;
      for (const words of wordings(code)) {
        const key = words.toLowerCase();
        if (seen.has(key) || categories.get(key)!.size > 1 || key === title.toLowerCase()) continue;
        seen.add(key);
        own.push(exampleOf(words, code, title));
      }
    }
    examples.set(number, own);
  }
  return examples;
}

/** A leaf's description, and every code's inclusion terms. */
const wordings = ({ leaf, description, terms }: Code) => (leaf ? [description, ...terms] : terms);

function exampleOf(words: string, { name, category }: Code, title: string): CodingExample {
  return {
    content: {
      messages: [
        { role: 'system', content: 'You are a medical coder.' },
        { role: 'user', content: `ICD-10-CM category: ${words}` },
        { role: 'assistant', content: `${category} ${title}` },
      ],
    },
    group: name.slice(0, clusterCharacters),
    question: words,
    category,
  };
}
