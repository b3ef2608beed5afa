import { describe, expect, it } from 'vitest';
import { golden, smollm2 } from './fixtures/smollm2.ts';
import { Tokenizer } from './tokenizer.ts';

interface GoldenTokenizer {
  encode: Array<{
    text: string;
    ids: number[];
    ids_special_as_text?: number[];
    decoded: string;
    decoded_skip_special: string;
  }>;
  decode: Array<{ ids: number[]; text?: string; decoded?: string; decoded_skip_special?: string }>;
}

const definition = smollm2();
const tokenizer = new Tokenizer(definition);
const reference = golden<GoldenTokenizer>('tokenizer.json');

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
});
