import { byteCharacters } from './bpe.ts';

/** How token strings stand for bytes: GPT-2's characters for bytes, or SentencePiece's ▁ and <0xNN>. */
export type TokenSpelling = 'byte-level' | 'sentencepiece';

const byteOfCharacter = new Map(byteCharacters.map((character, byte) => [character, byte]));

/** The bytes of every token, by id, in one buffer. */
export class TokenBytes {
  readonly #bytes: Buffer;
  readonly #offsets: Uint32Array;
  /** Length of the longest, in bytes. */
  readonly longest: number;

  /** `tokens[id]`: the token's string, undefined where the id has none. `literal`: ids whose string is their text. */
  constructor(
    tokens: ReadonlyArray<string | undefined>,
    literal: ReadonlySet<number>,
    spelling: TokenSpelling,
  ) {
    const pieces: Buffer[] = [];
    let longest = 0;
    this.#offsets = new Uint32Array(tokens.length + 1);
    for (let id = 0; id < tokens.length; id++) {
      const token = tokens[id] ?? '';
      const piece = literal.has(id)
        ? Buffer.from(token, 'utf8')
        : spelling === 'byte-level'
          ? byteLevelBytes(token)
          : sentencePieceBytes(token);
      pieces.push(piece);
      longest = Math.max(longest, piece.length);
      this.#offsets[id + 1] = this.#offsets[id]! + piece.length;
    }
    this.#bytes = Buffer.concat(pieces);
    this.longest = longest;
  }

  /** A view; empty for an id without a token. */
  of(id: number): Buffer {
    const start = this.#offsets[id];
    const end = this.#offsets[id + 1];
    return start === undefined || end === undefined
      ? this.#bytes.subarray(0, 0)
      : this.#bytes.subarray(start, end);
  }
}

function byteLevelBytes(token: string): Buffer {
  const bytes = Buffer.allocUnsafe(token.length);
  for (let at = 0; at < token.length; at++) {
    const byte = byteOfCharacter.get(token[at]!);
    if (byte === undefined) return Buffer.from(token, 'utf8'); // no spelling of bytes: the string itself
    bytes[at] = byte;
  }
  return bytes;
}

function sentencePieceBytes(token: string): Buffer {
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
  return byte ? Buffer.from(byte[1]!, 'hex') : Buffer.from(token.replaceAll('▁', ' '), 'utf8');
}
