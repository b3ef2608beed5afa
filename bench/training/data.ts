/** What is trained on: some chapters of the demo Datanet, of which whole clusters of codes are held out. */
import { createHash } from 'node:crypto';
import { TextModel } from '../../gateway/text/text_model.ts';
import { native, type TrainingExample } from '../../native/binding/index.ts';
import { textDefinitionOfGguf } from '../../plugins/backends/native/gguf_text.ts';
import { type CodingExample, codingExamples } from '../../plugins/datanet/demo/medical_coding.ts';
import { demoChapters } from '../../plugins/datanet/demo/origin.ts';
import { readItems } from '../../plugins/training/examples.ts';

/** Blood and breathing: 93 categories, trained in some minutes on two cores. */
const chapters = [3, 10];
const heldOutShare = 0.12;
export const maxTokens = 256;

export interface CodingData {
  train: TrainingExample[];
  /** Of which `train` are the tokens. */
  examples: CodingExample[];
  heldOut: CodingExample[];
}

/** The same every time. */
export async function codingData(gguf: string): Promise<CodingData> {
  const all = codingExamples(await demoChapters());
  const chosen = chapters.flatMap((number) => all.get(number)!);
  const isHeldOut = ({ group }: CodingExample) =>
    createHash('sha256').update(group).digest().readUInt32BE(0) / 2 ** 32 < heldOutShare;
  const examples = chosen.filter((example) => !isHeldOut(example));
  const lines = examples.map(({ content }) => `${JSON.stringify(content)}\n`);
  const text = new TextModel(textDefinitionOfGguf(await native().readGgufMetadata(gguf)));
  const source = (async function* () {
    yield Buffer.from(lines.join(''));
  })();
  const options = {
    text,
    recipe: { method: 'supervised', max_tokens: maxTokens },
    what: 'training',
  } as const;
  const train = (await readItems(source, options)).items as TrainingExample[];
  // A category of which nothing is trained cannot be known.
  const trained = new Set(examples.map(({ category }) => category));
  return {
    train,
    examples,
    heldOut: chosen.filter((example) => isHeldOut(example) && trained.has(example.category)),
  };
}
