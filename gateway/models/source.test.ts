import { describe, expect, it } from 'vitest';
import { defaultSource, describeSource, parseSource, publicName } from './source.ts';

describe('parseSource', () => {
  it('reads every form', () => {
    const pin = 'b'.repeat(64);
    expect(parseSource(`pypi:a-b==1.0#x/y.gguf?sha256=${pin}`)).toEqual({
      kind: 'pypi',
      package: 'a-b',
      version: '1.0',
      member: 'x/y.gguf',
      sha256: pin,
    });
    expect(parseSource('pypi:a#y.gguf')).toEqual({ kind: 'pypi', package: 'a', member: 'y.gguf' });
    expect(parseSource('hf:o/r')).toEqual({ kind: 'hf', repository: 'o/r', revision: 'main' });
    expect(parseSource('hf:o/r@v1/sub/f.gguf')).toEqual({
      kind: 'hf',
      repository: 'o/r',
      revision: 'v1',
      file: 'sub/f.gguf',
    });
    expect(parseSource('hf:o/r@refs/pr/3')).toEqual({ kind: 'hf', repository: 'o/r', revision: 'refs/pr/3' });
    expect(parseSource('./m.gguf')).toEqual({ kind: 'path', path: './m.gguf' });
    expect(describeSource(parseSource(defaultSource))).toBe(defaultSource.split('?')[0]);
    expect(describeSource(parseSource('hf:o/r@v1/f.gguf'))).toBe('hf:o/r@v1/f.gguf');
  });

  it.each([
    ['', 'empty'],
    ['pypi:a', 'pypi:PACKAGE'],
    ['pypi:../a#x', 'pypi:PACKAGE'],
    ['pypi:a==../b#x', 'pypi:PACKAGE'],
    ['hf:o', 'hf:OWNER'],
    ['hf:o/../r/f.gguf', 'hf:OWNER'],
    ['hf:o/r/../f.gguf', 'hf:OWNER'],
    ['hf:o/r/model.safetensors', 'not a GGUF file'],
    ['https://example.org/m.gguf', 'is a URL'],
    ['m.gguf?sha256=12', '64 hexadecimal'],
  ])('refuses %j', (text, reason) => {
    expect(() => parseSource(text)).toThrow(reason);
  });
});

describe('publicName', () => {
  it.each([
    [defaultSource, 'smollm2-135m-instruct'],
    ['hf:meta/Llama-3.2-1B-Instruct', 'llama-3.2-1b-instruct'],
    ['hf:o/r/Model-7B.Q4_K_M.gguf', 'model-7b'],
    ['/models/model-f16.gguf', 'model'],
    ['/models/Some Folder/', 'some-folder'],
  ])('of %s is %s', (source, name) => {
    expect(publicName(parseSource(source))).toBe(name);
  });
});
