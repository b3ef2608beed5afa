/** A small honest world: contributors who teach facts in their own words, and what a model that has learnt from them answers. */
import { seeded } from '../../fidelity/random.ts';

/** A text is words by number; each word but for function words has a synonym, with the number that differs in the last bit. */
export interface Given {
  contributor: string;
  words: number[];
}

export interface World {
  /** In the order in which they were given. */
  examples: Given[];
  answers: number[][];
  /** Function words are below this. */
  functionWords: number;
  /** Phrases that everyone uses. */
  stock: number[][];
}

const functionWords = 64;
const topicWords = 40;
const factWords = 5;

export interface WorldSize {
  contributors: number;
  topics: number;
  /** Topics that a contributor knows. */
  known: number;
  examplesEach: number;
  answers: number;
}

export const usualSize: WorldSize = { contributors: 8, topics: 20, known: 6, examplesEach: 36, answers: 240 };

/**
 * Contributors come in turns, with a part of their examples each time. An example opens and closes with a stock phrase, and says one fact
 * (a run of words of its topic, in the same words by all who know it, but for synonyms) among words of its topic and function words, frequent
 * ones more often (Zipf). Each author prefers one of two synonyms.
 */
export function honestWorld(seed: number, size: WorldSize = usualSize): World {
  const random = seeded(seed);
  const below = (count: number) => Math.floor(random() * count);
  const zipf = (count: number) => Math.floor(count ** random()) - 1;
  const stock = Array.from({ length: 8 }, () => Array.from({ length: 5 }, () => zipf(functionWords)));
  const wordOf = (topic: number, rank: number) => functionWords + 2 * (topic * topicWords + rank);
  const facts = Array.from({ length: size.topics }, (_, topic) =>
    Array.from({ length: 6 }, () =>
      Array.from({ length: factWords }, () => wordOf(topic, below(topicWords))),
    ),
  );
  const authors = Array.from({ length: size.contributors }, (_, contributor) => ({
    name: `contributor-${contributor}`,
    topics: Array.from({ length: size.known }, (_, i) => (contributor * 2 + i * 3 + below(3)) % size.topics),
    style: Array.from({ length: size.topics * topicWords }, () => below(2)),
  }));
  const spoken = (word: number, style: number[]) =>
    word < functionWords ? word : word + (random() < 0.85 ? style[(word - functionWords) >> 1]! : below(2));
  const filler = (topic: number, count: number) =>
    Array.from({ length: count }, () =>
      random() < 0.5 ? zipf(functionWords) : wordOf(topic, zipf(topicWords)),
    );
  const written = (topic: number, style: number[]) =>
    [
      ...stock[below(stock.length)]!,
      ...filler(topic, 6 + below(5)),
      ...facts[topic]![below(6)]!,
      ...filler(topic, 6 + below(5)),
      ...stock[below(stock.length)]!,
    ].map((word) => spoken(word, style));

  const turns = 3;
  const examples: Given[] = [];
  for (let turn = 0; turn < turns; turn++) {
    for (const { name, topics, style } of authors) {
      for (let i = 0; i < size.examplesEach / turns; i++) {
        examples.push({ contributor: name, words: written(topics[below(topics.length)]!, style) });
      }
    }
  }
  const taught = [...new Set(authors.flatMap(({ topics }) => topics))];
  const model = new WordModel(examples.map(({ words }) => words));
  const answers = Array.from({ length: size.answers }, (_, i) => {
    const topic = taught[i % taught.length]!;
    return model.answer(facts[topic]![below(6)]!.slice(0, 1), 30, random);
  });
  return { examples, answers, functionWords, stock };
}

/** A language model of three words: the next one as often as it came after the last two, else after the last one, else at all. */
class WordModel {
  readonly #following = new Map<string, number[]>();

  constructor(texts: number[][]) {
    for (const words of texts) {
      for (const [at, word] of words.entries()) {
        for (let order = 0; order <= Math.min(2, at); order++) {
          const key = words.slice(at - order, at).join(' ');
          const list = this.#following.get(key);
          if (list) list.push(word);
          else this.#following.set(key, [word]);
        }
      }
    }
  }

  answer(prompt: number[], length: number, random: () => number): number[] {
    const words = [...prompt];
    while (words.length < length) {
      const choices = [2, 1, 0].map((order) =>
        this.#following.get(words.slice(words.length - order).join(' ')),
      );
      const next = choices.find(Boolean)!;
      words.push(next[Math.floor(random() * next.length)]!);
    }
    return words;
  }
}
