import { generateKeyPairSync, sign } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalContent, canonicalJson, signedStatement, verifySignature } from './canonical.ts';

describe('RFC 8785', () => {
  test('its example of section 3.2.2 and 3.2.3', () => {
    const input = JSON.parse(
      '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],' +
        '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
    );
    expect(Buffer.from(canonicalJson(input)).toString('hex')).toBe(
      Buffer.from(
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
          '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
      ).toString('hex'),
    );
  });

  test('keys are in the order of their UTF-16 code units (its example)', () => {
    const input = JSON.parse(
      '{"\\u20ac":"Euro Sign","\\r":"Carriage Return","\\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",' +
        '"\\ud83d\\ude00":"Emoji: Grinning Face","\\u0080":"Control","\\u00f6":"Latin Small Letter O With Diaeresis"}',
    );
    expect(Object.values(JSON.parse(canonicalJson(input)) as object).length).toBe(7);
    const order = [...canonicalJson(input).matchAll(/:"([^"]*)"/g)].map(([, value]) => value);
    expect(order).toEqual([
      'Carriage Return',
      'One',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ]);
  });

  test('numbers of its appendix B', () => {
    const numbers: Array<[string, string]> = [
      ['0000000000000000', '0'],
      ['8000000000000000', '0'],
      ['0000000000000001', '5e-324'],
      ['8000000000000001', '-5e-324'],
      ['7fefffffffffffff', '1.7976931348623157e+308'],
      ['4340000000000000', '9007199254740992'],
      ['4430000000000000', '295147905179352830000'],
      ['44b52d02c7e14af5', '9.999999999999997e+22'],
      ['44b52d02c7e14af6', '1e+23'],
      ['3eb0c6f7a0b5ed8d', '0.000001'],
      ['41b3de4355555555', '333333333.3333333'],
      ['becbf647612f3696', '-0.0000033333333333333333'],
    ];
    for (const [bits, text] of numbers) {
      expect(canonicalJson(Buffer.from(bits, 'hex').readDoubleBE())).toBe(text);
    }
  });

  test('the order in which keys came does not matter, and what is read back is equal', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), (value) => {
        const turned = (one: unknown): unknown =>
          Array.isArray(one)
            ? one.map(turned)
            : one !== null && typeof one === 'object'
              ? Object.fromEntries(
                  Object.entries(one)
                    .reverse()
                    .map(([key, inner]) => [key, turned(inner)]),
                )
              : one;
        const text = canonicalJson(value);
        expect(canonicalJson(turned(value))).toBe(text);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
      }),
    );
  });

  test.each([
    [{ text: '\ud800' }, 'half of a surrogate pair'],
    [{ text: Number.NaN }, 'NaN'],
    [{ text: () => 1 }, 'function'],
    [{ text: 1n }, 'bigint'],
  ])('what JSON cannot say is refused: %o', (value, sentence) => {
    expect(() => canonicalJson(value)).toThrow(sentence);
  });

  test('nesting that would end the stack is refused', () => {
    let deep: unknown = 1;
    for (let at = 0; at < 100_000; at++) deep = [deep];
    expect(() => canonicalJson(deep)).toThrow('deeper than 512');
  });
});

test('an example is hashed by its canonical bytes', () => {
  const one = canonicalContent({ prompt: 'é', completion: 'b' });
  const other = canonicalContent({ completion: 'b', prompt: 'é' });
  expect(one.bytes.toString()).toBe('{"completion":"b","prompt":"é"}');
  expect(other.hash).toBe(one.hash);
  expect(canonicalContent({ prompt: 'e', completion: 'b' }).hash).not.toBe(one.hash);
});

describe('signatures', () => {
  const statement = {
    datanet: 'medical-coding',
    sha256: 'ab'.repeat(32),
    licence: 'CC0-1.0',
    source: 'own work',
    rights: 'I wrote it.',
    contributor: 'c1',
  };

  test('RFC 8032, test 1 and 2', () => {
    const keys = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';
    const empty =
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b';
    expect(verifySignature(keys, Buffer.of(), empty)).toBe(true);
    expect(verifySignature(keys, Buffer.of(1), empty)).toBe(false);
    const other = '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c';
    const signature =
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00';
    expect(verifySignature(other, Buffer.of(0x72), signature)).toBe(true);
  });

  test('a signed statement holds for what it says and nothing else', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');
    const signature = sign(null, signedStatement(statement), privateKey).toString('hex');
    expect(verifySignature(raw, signedStatement(statement), signature)).toBe(true);
    for (const field of Object.keys(statement)) {
      const changed = signedStatement({ ...statement, [field]: 'other' });
      expect(verifySignature(raw, changed, signature)).toBe(false);
    }
    expect(verifySignature('zz', signedStatement(statement), signature)).toBe(false);
    expect(verifySignature(raw, signedStatement(statement), 'ab')).toBe(false);
  });
});
