import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { type GgufMetadataValue, textDefinitionOfGguf } from './gguf_text.ts';

const file = new URL('../../../gateway/text/fixtures/smollm2-tokenizer.json.gz', import.meta.url);
const metadata = JSON.parse(gunzipSync(readFileSync(file)).toString('utf8')) as Record<
  string,
  GgufMetadataValue
>;

/** A SentencePiece model in which "▁ab" can be reached by two ways. */
const sentencePiece: Record<string, GgufMetadataValue> = {
  'tokenizer.ggml.model': 'llama',
  'tokenizer.ggml.tokens': ['<unk>', '<s>', '</s>', '▁', 'a', 'b', 'ab', '▁a', '▁ab', '[X]'],
  'tokenizer.ggml.scores': [0, 0, 0, -5, -6, -7, -2, -1, -3, 0],
  'tokenizer.ggml.token_type': [2, 3, 3, 1, 1, 1, 1, 1, 1, 4],
  'tokenizer.ggml.bos_token_id': 1,
  'tokenizer.ggml.eos_token_id': 2,
  'tokenizer.ggml.unknown_token_id': 0,
};

interface TokenizerJson {
  added_tokens: Array<{ id: number; content: string; special: boolean }>;
  normalizer: { type: string } | null;
  post_processor: { single: unknown[] } | null;
  model: {
    unk_token: string | null;
    ignore_merges: boolean;
    vocab: Record<string, number>;
    merges: unknown[];
  };
}

const tokenizerOf = (given: Record<string, GgufMetadataValue>) =>
  textDefinitionOfGguf(given).tokenizer as unknown as TokenizerJson;

function refusal(given: Record<string, GgufMetadataValue>): ColophonError {
  try {
    textDefinitionOfGguf(given);
  } catch (error) {
    if (error instanceof ColophonError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('textDefinitionOfGguf', () => {
  it('reads the default base model', () => {
    const definition = textDefinitionOfGguf(metadata);
    expect(definition.vocabularySize).toBe(49_152);
    expect(definition.endTokenIds).toEqual([2, 0]); // <|im_end|> by key, <|endoftext|> by name
    expect(definition.chatTemplate).toContain(
      '<|im_start|>system\nYou are a helpful AI assistant named SmolLM',
    );
    expect(definition.tokenizerConfig).toMatchObject({
      bos_token: '<|im_start|>',
      eos_token: '<|im_end|>',
      add_bos_token: false,
    });
    const tokenizer = tokenizerOf(metadata);
    expect(tokenizer.added_tokens.filter((token) => token.special).map((token) => token.id)).toEqual(
      Array.from({ length: 17 }, (_, id) => id),
    );
    expect(tokenizer.post_processor).toBeNull();
    expect(tokenizer.model.unk_token).toBeNull(); // bytes without a token vanish
  });

  it('knows the rules for words of other models, and what they add', () => {
    const llama = { ...metadata, 'tokenizer.ggml.pre': 'llama-bpe' };
    expect(tokenizerOf(llama).model.ignore_merges).toBe(true);
    delete (llama as Record<string, unknown>)['tokenizer.ggml.add_bos_token'];
    expect(tokenizerOf(llama).post_processor?.single).toEqual([
      { SpecialToken: { id: '<|im_start|>', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
    ]);
    expect(tokenizerOf({ ...metadata, 'tokenizer.ggml.pre': 'qwen2' }).normalizer).toEqual({ type: 'NFC' });
    const both = { ...metadata, 'tokenizer.ggml.add_bos_token': true, 'tokenizer.ggml.add_eos_token': true };
    expect(tokenizerOf(both).post_processor?.single).toHaveLength(3);
  });

  it('makes merges of the scores of SentencePiece, highest first', () => {
    const { model, added_tokens, post_processor } = tokenizerOf(sentencePiece);
    expect(model.merges).toEqual([
      ['▁', 'a'],
      ['a', 'b'],
      ['▁', 'ab'],
      ['▁a', 'b'],
    ]);
    expect(model.unk_token).toBe('<unk>');
    expect(added_tokens.map(({ content, special }) => [content, special])).toEqual([
      ['<s>', true],
      ['</s>', true],
      ['[X]', false],
    ]);
    expect(post_processor?.single).toHaveLength(2); // the beginning is added unless the file says otherwise
    expect(textDefinitionOfGguf(sentencePiece).endTokenIds).toEqual([2]);
  });

  it('takes tokens with the names of an object’s own properties', () => {
    const tokens = [
      ...(sentencePiece['tokenizer.ggml.tokens'] as string[]).slice(0, -2),
      '__proto__',
      'constructor',
    ];
    const { vocab } = tokenizerOf({ ...sentencePiece, 'tokenizer.ggml.tokens': tokens }).model;
    expect(Object.entries(vocab).slice(-2)).toEqual([
      ['__proto__', 8],
      ['constructor', 9],
    ]);
  });

  it.each<[string, Record<string, GgufMetadataValue>, string[]]>([
    [
      'a rule for words',
      { ...metadata, 'tokenizer.ggml.pre': 'tekken' },
      ['tokenizer.ggml.pre', '"tekken"', 'smollm'],
    ],
    ['a rule named like a property', { ...metadata, 'tokenizer.ggml.pre': 'toString' }, ['"toString"']],
    ['a kind of model', { ...metadata, 'tokenizer.ggml.model': 'bert' }, ['"bert"', '"gpt2"']],
    ['no tokens', { 'tokenizer.ggml.model': 'gpt2' }, ['tokenizer.ggml.tokens']],
    [
      'no merges',
      { ...metadata, 'tokenizer.ggml.merges': 5 },
      ['tokenizer.ggml.merges is not a list of strings'],
    ],
    ['tokens that are no strings', { ...metadata, 'tokenizer.ggml.tokens': [1] }, ['not a list of strings']],
    ['types that do not fit', { ...metadata, 'tokenizer.ggml.token_type': [1] }, ['49152', '1 entries']],
    [
      'scores that do not fit',
      { ...sentencePiece, 'tokenizer.ggml.scores': [1] },
      ['10 tokens', '1 entries'],
    ],
    [
      'an id outside',
      { ...metadata, 'tokenizer.ggml.eos_token_id': 49_152 },
      ['eos_token_id is 49152', '0 to 49151'],
    ],
    ['a negative id', { ...metadata, 'tokenizer.ggml.bos_token_id': -1 }, ['bos_token_id is -1']],
  ])('refuses %s in a sentence', (_, given, named) => {
    const { message, type } = refusal(given);
    expect(type).toBe('server_error');
    for (const part of named) expect(message).toContain(part);
  });
});
