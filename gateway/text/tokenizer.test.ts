import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TextDefinition } from '../contract/index.ts';
import { sentencePiece, withWordRule } from './fixtures/definitions.ts';
import { golden, smollm2 } from './fixtures/smollm2.ts';
import { TextModel } from './text_model.ts';
import { Tokenizer } from './tokenizer.ts';

interface GoldenTokenizer {
  encode: Array<{
    text: string;
    ids: number[];
    ids_special_as_text?: number[];
    decoded: string;
    decoded_skip_special: string;
  }>;
  decode: Array<{ ids: number[]; decoded: string }>;
}

interface WordRules {
  texts: string[];
  cases: Record<string, Array<{ ids: number[]; around: number[]; decoded: string }>>;
}

const definition = smollm2();
const tokenizer = new Tokenizer(definition);
const reference = golden<GoldenTokenizer>('tokenizer.json');
const rules = JSON.parse(
  readFileSync(new URL('fixtures/word-rules.json', import.meta.url), 'utf8'),
) as WordRules;

/** The bytes that have a token. */
const allBytes = new Set(
  Array.from({ length: definition.vocabularySize }, (_, id) => tokenizer.tokenBytes(id))
    .filter((bytes) => bytes.length === 1)
    .map((bytes) => bytes[0]!),
);

/** The definition with parts of its tokenizer.json replaced. */
function altered(parts: Record<string, unknown>): TextDefinition {
  return { ...definition, tokenizer: { ...definition.tokenizer, ...parts } };
}

describe('the reference tokenizer', () => {
  it.each(reference.encode)('reads $text', (example) => {
    expect(tokenizer.encode(example.text, 'parse')).toEqual(example.ids);
    expect(tokenizer.encode(example.text, 'plain')).toEqual(example.ids_special_as_text ?? example.ids);
    expect(tokenizer.decode(example.ids)).toBe(example.decoded);
    expect(tokenizer.decode(example.ids, { skipSpecial: true })).toBe(example.decoded_skip_special);
  });

  it.each(reference.decode)('writes $ids', (example) => {
    expect(tokenizer.decode(example.ids)).toBe(example.decoded);
  });

  it('shows a token alone: its text, and its bytes where they are no text', () => {
    const [first, ...rest] = tokenizer.encode('\u{1F600}');
    expect([first!, ...rest].flatMap((id) => tokenizer.tokenBytes(id))).toEqual([0xf0, 0x9f, 0x98, 0x80]);
    expect(tokenizer.tokenText(first!)).toContain('\uFFFD');
    expect(tokenizer.tokenText(tokenizer.encode(' fox')[0]!)).toBe(' fox');
    expect(tokenizer.tokenText(2)).toBe('<|im_end|>');
    expect(tokenizer.tokenBytes(1_000_000)).toEqual([]);
    expect(tokenizer.decode([1_000_000, -1])).toBe('');
  });
});

describe.each(Object.keys(rules.cases))("the word rule %s equals Hugging Face's tokenizers", (name) => {
  const model = new TextModel(name === 'sentencepiece' ? sentencePiece() : withWordRule(name));

  it('in ids, with and without what is added around them, and in text', () => {
    for (const [at, { ids, around, decoded }] of rules.cases[name]!.entries()) {
      const text = rules.texts[at]!;
      expect(model.encode(text, { addBos: false }), JSON.stringify(text)).toEqual(ids);
      expect(model.encode(text)).toEqual(around);
      expect(model.decode(ids)).toBe(decoded);
    }
  });
});

describe('a SentencePiece text', () => {
  const model = new TextModel(sentencePiece());

  it('keeps the space of a first word that continues a prompt', () => {
    const ids = model.encode('the time', { addBos: false });
    expect(model.decode(ids)).toBe('the time');
    expect(model.decode(ids, { continues: true })).toBe(' the time');
    const detokenizer = model.detokenizer();
    expect(ids.map((id) => detokenizer.push(id)).join('')).toBe(' the time');
  });
});

describe('added tokens', () => {
  const added = (token: object) => {
    const tokens = definition.tokenizer.added_tokens as object[];
    return new Tokenizer(altered({ added_tokens: [...tokens, { id: 49151, content: '[X]', ...token }] }));
  };

  it('that are not special are found in both readings', () => {
    const model = added({ special: false });
    for (const special of ['plain', 'parse'] as const)
      expect(model.encode('a[X]b', special)).toContain(49151);
    expect(model.decode([49151], { skipSpecial: true })).toBe('[X]');
  });

  it('take the spaces beside them, and stand alone, where they say so', () => {
    const bare = (text: string) => tokenizer.encode(text);
    expect(added({ lstrip: true, rstrip: true }).encode('a  [X]  b')).toEqual([
      ...bare('a'),
      49151,
      ...bare('b'),
    ]);
    expect(added({ single_word: true }).encode('a[X] [X]')).toEqual([...bare('a[X] '), 49151]);
  });
});

describe('a text of any kind', () => {
  it('is what its ids say, unless it has bytes without a token', () => {
    const vanishing = new Set(
      Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !allBytes.has(byte)),
    );
    expect(vanishing.size).toBe(21);
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        const kept = Buffer.from(text, 'utf8').filter((byte) => !vanishing.has(byte));
        const ids = tokenizer.encode(text, 'plain');
        expect(ids.flatMap((id) => tokenizer.tokenBytes(id))).toEqual([...kept]);
      }),
      { numRuns: 2000 },
    );
  });

  it('may be one word of 300,000 characters', () => {
    expect(tokenizer.encode('a'.repeat(300_000)).length).toBe(75_000);
    expect(tokenizer.encode(`${' '.repeat(300_000)}x`).length).toBe(4690);
    expect(tokenizer.decode(tokenizer.encode('\ud800'.repeat(100_000)))).toBe('\uFFFD'.repeat(100_000));
  });

  it('is refused at once where it cannot fit', () => {
    const refused = expect.objectContaining({ status: 400, code: 'context_length_exceeded' });
    expect(() => tokenizer.encode('a'.repeat(10_000_000), 'parse', 2048)).toThrow(refused);
    expect(() => tokenizer.encode('<|im_end|>'.repeat(5), 'parse', 4)).toThrow(refused);
    expect(() => tokenizer.encode('one two three', 'parse', 2)).toThrow(refused);
    expect(tokenizer.encode('one two three', 'parse', 3)).toHaveLength(3);
    expect(() => tokenizer.encode('one two three', 'parse', 2)).toThrow(refused);
  });
});

describe('the memory of prompts', () => {
  it('gives each caller its own ids', () => {
    const first = tokenizer.encode('remember me');
    first.push(1);
    expect(tokenizer.encode('remember me')).toEqual(first.slice(0, -1));
  });
});

describe('what is not supported is refused by name', () => {
  const refusal = (parts: Record<string, unknown>) => () => new Tokenizer(altered(parts));
  it.each([
    ['the model', { model: { type: 'Unigram', vocab: [] } }, 'Unigram'],
    ['the decoder', { decoder: { type: 'WordPiece' } }, 'WordPiece'],
    [
      'the post-processor',
      { post_processor: { type: 'BertProcessing', cls: ['[C]', 1], sep: ['[S]', 2] } },
      '[C]',
    ],
    ['a merge', { model: { type: 'BPE', vocab: { a: 0 }, merges: ['a b'] } }, 'merge 0 (a b)'],
  ])('%s', (_, parts, named) => {
    expect(refusal(parts)).toThrow(named);
  });
});
