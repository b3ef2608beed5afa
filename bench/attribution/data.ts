/** What fidelity is measured on: a few wordings of some categories of the demo Datanet, and wordings of other codes of these as queries. */
import { TextModel } from '../../gateway/text/text_model.ts';
import { native, type TrainingExample } from '../../native/binding/index.ts';
import { textDefinitionOfGguf } from '../../plugins/backends/native/gguf_text.ts';
import { type CodingExample, codingExamples } from '../../plugins/datanet/demo/medical_coding.ts';
import { demoChapters } from '../../plugins/datanet/demo/origin.ts';
import { readItems } from '../../plugins/training/examples.ts';

/** Of six contributors of the demo; a chapter is a class. */
const chapters = [3, 5, 8, 9, 11, 13];
/** Of each chapter, spread over it. */
const categoriesEach = 4;
/** Of each category, each of a code of its own; the first are trained on, the others are the queries. */
const trainedEach = 5;
const queriesEach = 2;
export const maxTokens = 192;

/** Examples or queries, each with its class. */
export interface Classed {
  examples: TrainingExample[];
  classes: number[];
}

export interface FidelityData {
  train: Classed;
  queries: Classed;
  /** For each training example another one's answer in place of its own: of another class. */
  mislabelled: TrainingExample[];
}

interface Chosen {
  example: CodingExample;
  class: number;
}

/** The same every time. `classes`: of the first chapters alone, for a quick run. */
export async function fidelityData(gguf: string, classes = chapters.length): Promise<FidelityData> {
  const all = codingExamples(await demoChapters());
  const train: Chosen[] = [];
  const queries: Chosen[] = [];
  for (const [index, chapter] of chapters.slice(0, classes).entries()) {
    for (const wordings of categoriesOf(all.get(chapter)!)) {
      const chosen = wordings.map((example) => ({ example, class: index }));
      train.push(...chosen.slice(0, trainedEach));
      queries.push(...chosen.slice(trainedEach));
    }
  }
  const text = await textOf(gguf);
  const classed = async (chosen: Chosen[]): Promise<Classed> => ({
    examples: await tokenised(
      text,
      chosen.map(({ example }) => example.content.messages),
    ),
    classes: chosen.map((each) => each.class),
  });
  // Examples come class by class: half way round is another class, for an even number of them.
  const swapped = train.map(({ example }, i) => {
    const other = train[(i + (train.length >> 1)) % train.length]!.example;
    return [
      ...(example.content.messages as unknown[]).slice(0, -1),
      (other.content.messages as unknown[]).at(-1),
    ];
  });
  return {
    train: await classed(train),
    queries: await classed(queries),
    mislabelled: await tokenised(text, swapped),
  };
}

/** All of the demo Datanet, as a training would read it. */
export async function wholeDatanet(gguf: string): Promise<TrainingExample[]> {
  const all = [...codingExamples(await demoChapters()).values()].flat();
  return tokenised(
    await textOf(gguf),
    all.map(({ content }) => content.messages),
  );
}

async function textOf(gguf: string): Promise<TextModel> {
  return new TextModel(textDefinitionOfGguf(await native().readGgufMetadata(gguf)));
}

async function tokenised(text: TextModel, conversations: unknown[]): Promise<TrainingExample[]> {
  const source = (async function* () {
    for (const messages of conversations) yield Buffer.from(`${JSON.stringify({ messages })}\n`);
  })();
  const options = {
    text,
    recipe: { method: 'supervised', max_tokens: maxTokens },
    what: 'training',
  } as const;
  return (await readItems(source, options)).items as TrainingExample[];
}

/** Wordings of some categories that have enough codes: the first of each code. */
function categoriesOf(examples: CodingExample[]): CodingExample[][] {
  const categories = new Map<string, Map<string, CodingExample>>();
  for (const example of examples) {
    const groups = categories.get(example.category) ?? new Map<string, CodingExample>();
    if (!groups.has(example.group)) groups.set(example.group, example);
    categories.set(example.category, groups);
  }
  const enough = [...categories.values()].filter(({ size }) => size >= trainedEach + queriesEach);
  return Array.from({ length: categoriesEach }, (_, i) => {
    const groups = enough[Math.floor((i * enough.length) / categoriesEach)]!;
    return [...groups.values()].slice(0, trainedEach + queriesEach);
  });
}
