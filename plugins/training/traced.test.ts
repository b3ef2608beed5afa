/** Who taught an adapter: what is kept of a file's origins, and what an adapter gets of them. */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { adapterHash, type ExampleOrigin, type ModelText } from '../../gateway/contract/index.ts';
import { native, type TrainingExample } from '../../native/binding/index.ts';
import { readData, type Source } from './inputs.ts';
import { writeTraced } from './traced.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'colophon-traced-'));
  writeFileSync(join(folder, 'adapter_config.json'), '{"r": 2}\n');
  writeFileSync(join(folder, 'adapter_model.safetensors'), 'weights');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const sha = (text: string) => createHash('sha256').update(text).digest();
const hash = adapterHash(sha('{"r": 2}\n'), sha('weights'));
const vocabulary = 100;

/** Its tokens, of which those in brackets are not learned. */
const example = (tokens: Array<number | [number]>): TrainingExample => ({
  tokens: Int32Array.from(tokens, (token) => (typeof token === 'number' ? token : token[0])),
  weights: Float32Array.from(tokens, (token) => (typeof token === 'number' ? 1 : 0)),
});
const traced = (items: TrainingExample[]) =>
  writeTraced(folder, { items, vocabulary, adapter: folder, source: 'datanet:farm@0' });
const open = () => native().openTraceIndex(join(folder, 'trace.index'), hash);
const longest = (...tokens: number[]) => [...open().matches(Int32Array.from(tokens)).length];
const text = (name: string) => readFileSync(join(folder, name), 'utf8');

test('what was learned is found where it was, and what was only read is not', async () => {
  await traced([example([[7], [8], 9, 10, [7], 11]), example([[8], 9, 12])]);
  const index = open();
  await index.check();
  expect(index.info()).toMatchObject({ tokens: 9, examples: 2 });
  expect(longest(9, 10, 11)).toEqual([1, 2, 1]);
  expect(longest(7, 8, 7)).toEqual([0, 0, 0]);
  const { row, count } = index.matches(Int32Array.of(9, 12));
  const places = index.places(row[1]!, count[1]!);
  expect([[...places.example], [...places.offset]]).toEqual([[1], [1]]);
  // No model says the one that stands for them.
  expect([...index.counts(Int32Array.of(vocabulary))]).toEqual([4]);
  expect(existsSync(join(folder, 'corpus.jsonl'))).toBe(false);
});

test('of a pair the answer that was preferred teaches', async () => {
  const pair = { preferred: example([[1], 2, 3]), other: example([[1], 4, 5]) };
  await writeTraced(folder, { items: [pair], vocabulary, adapter: folder, source: 'file-1' });
  expect(open().info()).toMatchObject({ tokens: 3, examples: 1 });
  expect(longest(2, 3, 4)).toEqual([1, 2, 0]);
});

const origin = (number: number): ExampleOrigin => ({
  example: String(number).padStart(64, '0'),
  contribution: `contribution-${number % 5}`,
  contributor: `contributor-${number % 3}`,
  cluster: String(number),
  given: number % 7,
});
async function* origins(count: number, missing = count) {
  for (let number = 0; number < count; number++) {
    if (number === missing) throw new Error('It was withdrawn.');
    yield origin(number);
  }
}

const line = JSON.stringify({
  messages: [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
  ],
});
/** A model whose tokens are what the characters of a conversation are. */
const model: ModelText = {
  endTokenIds: [10],
  vocabularySize: 128,
  decode: (ids) => String.fromCharCode(...ids),
  encode: (said) => Array.from(said, (character) => character.charCodeAt(0)),
  encodeChat: (messages, options) => {
    const said = messages.map(({ role, content }) => `${role}:${content}\n`).join('');
    const whole = options?.addGenerationPrompt === false ? said : `${said}assistant:`;
    return { text: whole, ids: model.encode(whole) };
  },
};
const read = (lines: string[], given: AsyncIterable<ExampleOrigin>) => {
  const source: Source = {
    id: 'datanet:farm@0',
    async *content() {
      yield Buffer.from(lines.map((one) => `${one}\n`).join(''));
    },
    origins: () => given,
  };
  const options = {
    text: model,
    recipe: { method: 'supervised', max_tokens: 64 },
    what: 'training',
    least: 1,
  };
  return readData(source, options as never, folder);
};

test('a line of the corpus for each example of the index, whatever lines were empty', async () => {
  const { items, record } = await read([line, '', line, '  ', line, line], origins(6));
  expect(record).toMatchObject({ examples: 4, contributors: 3 });
  await traced(items as TrainingExample[]);
  const [head, ...lines] = text('corpus.jsonl')
    .trimEnd()
    .split('\n')
    .map((one) => JSON.parse(one));
  expect(head).toEqual({
    format: 1,
    adapter: hash,
    source: 'datanet:farm@0',
    examples: 4,
    unlearned: vocabulary,
  });
  expect(lines).toEqual([0, 2, 4, 5].map(origin));
  expect(open().info().examples).toBe(4);
});

test('many are kept in order', async () => {
  const count = 20_000;
  const { items, record } = await read(Array(count).fill(line), origins(count));
  expect(record.contributors).toBe(3);
  await traced(items as TrainingExample[]);
  const lines = text('corpus.jsonl').trimEnd().split('\n');
  expect(lines).toHaveLength(count + 1);
  expect(JSON.parse(lines[count]!)).toEqual(origin(count - 1));
});

test('origins that end early or fail leave no half of them', async () => {
  await expect(read([line, line, line], origins(2))).rejects.toThrow(
    'The training file does not say who gave its line 3.',
  );
  await expect(read([line, line], origins(2, 1))).rejects.toThrow('It was withdrawn.');
  expect(readdirSync(folder).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
});

test('what a process that was killed left half written changes no byte', async () => {
  const { items } = await read([line, line], origins(2));
  await traced(items as TrainingExample[]);
  const names = ['trace.index', 'corpus.jsonl'];
  const before = names.map((name) => readFileSync(join(folder, name)));
  for (const name of names) {
    rmSync(join(folder, name));
    writeFileSync(join(folder, `${name}.part`), 'x'.repeat(10_000));
  }
  await traced(items as TrainingExample[]);
  expect(names.map((name) => readFileSync(join(folder, name)))).toEqual(before);
  expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
});
