import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { golden, smollm2 } from './fixtures/smollm2.ts';
import { Tokenizer } from './tokenizer.ts';
import { unfinishedBytes } from './utf8.ts';

const tokenizer = new Tokenizer(smollm2());

function oneByOne(ids: number[], options = {}): { text: string; pieces: string[] } {
  const detokenizer = tokenizer.detokenizer(options);
  const pieces = [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()];
  return { text: pieces.join(''), pieces };
}

/** Tokens that are one byte of 0x80 and more, where characters break, among ordinary ones. */
const byteTokens = Array.from({ length: 500 }, (_, id) => id).filter((id) => {
  const bytes = tokenizer.tokenBytes(id);
  return bytes.length === 1 && bytes[0]! >= 0x80;
});

describe('Detokenizer', () => {
  it('writes the reference texts piece by piece', () => {
    const { decode } = golden<{ decode: Array<{ ids: number[]; decoded: string }> }>('tokenizer.json');
    for (const { ids, decoded } of decode) expect(oneByOne(ids).text).toBe(decoded);
  });

  it('never emits half a character', () => {
    const ids = tokenizer.encode('a\u{1F600}\u4f60\u{1F680}');
    const { pieces } = oneByOne(ids);
    expect(ids.length).toBeGreaterThan(5);
    expect(pieces.join('')).not.toContain('\uFFFD');
    for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}/u);
    expect(pieces).toContain('');
  });

  it('equals decoding at once for any ids, special ones skipped or not', () => {
    expect(byteTokens.length).toBeGreaterThan(100);
    const id = fc.oneof(
      fc.constantFrom(...byteTokens),
      fc.integer({ min: 0, max: 20 }),
      fc.integer({ min: 0, max: 49_200 }),
    );
    fc.assert(
      fc.property(
        fc.array(id, { maxLength: 60 }),
        fc.boolean(),
        fc.boolean(),
        (ids, skipSpecial, continues) => {
          expect(oneByOne(ids, { skipSpecial, continues }).text).toBe(
            tokenizer.decode(ids, { skipSpecial, continues }),
          );
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('equals TextDecoder for any bytes, cut anywhere', () => {
    const lead = fc.constantFrom(
      0xc2,
      0xe0,
      0xe2,
      0xed,
      0xef,
      0xf0,
      0xf1,
      0xf4,
      0xf5,
      0xc0,
      0x80,
      0x9f,
      0xa0,
      0xbf,
      0xbb,
      0x41,
    );
    fc.assert(
      fc.property(fc.array(lead, { maxLength: 40 }), (values) => {
        let text = '';
        let pending: number[] = [];
        for (const value of values) {
          pending.push(value);
          const whole = pending.length - unfinishedBytes(Uint8Array.from(pending));
          text += Buffer.from(pending.slice(0, whole)).toString('utf8');
          pending = pending.slice(whole);
          expect(pending.length).toBeLessThan(4);
        }
        text += Buffer.from(pending).toString('utf8');
        expect(text).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(values)));
      }),
      { numRuns: 5000 },
    );
  });
});
