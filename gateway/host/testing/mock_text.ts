/** A text definition in which every byte is a token: what tests say in text they can count in tokens. */
import type { TextDefinition } from '../../contract/index.ts';

const specials = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
const firstByte = specials.length;

export const mockEndToken = 2;
export const mockVocabulary = firstByte + 256;

/** The ids of a text, a byte each; special-token strings are not looked for. */
export function mockTokens(text: string): number[] {
  return [...Buffer.from(text, 'utf8')].map((byte) => byte + firstByte);
}

/** GPT-2's printable stand-ins for the 256 bytes. */
function byteCharacters(): string[] {
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

const chatTemplate = [
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}",
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
].join('');

export const mockText: TextDefinition = {
  tokenizer: {
    version: '1.0',
    added_tokens: specials.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      unk_token: null,
      vocab: Object.fromEntries([
        ...specials.map((content, id): [string, number] => [content, id]),
        ...byteCharacters().map((character, byte): [string, number] => [character, firstByte + byte]),
      ]),
      merges: [],
    },
  },
  tokenizerConfig: { eos_token: '<|im_end|>' },
  chatTemplate,
  endTokenIds: [mockEndToken],
  vocabularySize: mockVocabulary,
};
