import { byteCharacters } from './bpe.ts';
import { unfinishedBytes } from './utf8.ts';

/** How token strings stand for bytes: GPT-2's characters for bytes, or SentencePiece's ▁ and <0xNN>. */
export type TokenSpelling = 'byte-level' | 'sentencepiece';

/** The byte of each character's code; -1 where it stands for none. */
const byteOfCode = (() => {
  const codes = byteCharacters.map((character) => character.charCodeAt(0));
  const bytes = new Int16Array(Math.max(...codes) + 1).fill(-1);
  for (const [byte, code] of codes.entries()) bytes[code] = byte;
  return bytes;
})();

/** The bytes of every token, by id, in one buffer. */
export class TokenBytes {
  readonly #bytes: Buffer;
  readonly #offsets: Uint32Array;
  /** Texts that were asked for; null where a character is unfinished at the end. */
  readonly #texts: Array<string | null | undefined> = [];
  /** Length of the longest, in bytes. */
  readonly longest: number;

  /** `tokens[id]`: the token's string, undefined where the id has none. `literal`: ids whose string is their text. */
  constructor(
    tokens: ReadonlyArray<string | undefined>,
    literal: ReadonlySet<number>,
    spelling: TokenSpelling,
  ) {
    let longest = 0;
    this.#offsets = new Uint32Array(tokens.length + 1);
    // No spelling takes more bytes than UTF-8: three for each unit of UTF-16.
    const room = tokens.reduce((sum, token) => sum + 3 * (token?.length ?? 0), 0);
    const bytes = Buffer.allocUnsafeSlow(room);
    let end = 0;
    for (let id = 0; id < tokens.length; id++) {
      const token = tokens[id] ?? '';
      const start = end;
      end += literal.has(id)
        ? bytes.write(token, start)
        : spelling === 'byte-level'
          ? writeByteLevel(token, bytes, start)
          : writeSentencePiece(token, bytes, start);
      longest = Math.max(longest, end - start);
      this.#offsets[id + 1] = end;
    }
    this.#bytes = Buffer.from(bytes.subarray(0, end));
    this.longest = longest;
  }

  /** All of them, not to be changed: token `id` is bytes [offsets[id], offsets[id + 1]). */
  all(): { bytes: Uint8Array; offsets: Uint32Array } {
    return { bytes: this.#bytes, offsets: this.#offsets };
  }

  /** A view; empty for an id without a token. */
  of(id: number): Buffer {
    const start = this.#offsets[id];
    const end = this.#offsets[id + 1];
    return start === undefined || end === undefined
      ? this.#bytes.subarray(0, 0)
      : this.#bytes.subarray(start, end);
  }

  /** The text of a token; null where its last character is unfinished. */
  text(id: number): string | null {
    const known = this.#texts[id];
    if (known !== undefined) return known;
    const bytes = this.of(id);
    const text = unfinishedBytes(bytes) > 0 ? null : bytes.toString('utf8');
    if (id < this.#offsets.length) this.#texts[id] = text;
    return text;
  }
}

function writeByteLevel(token: string, into: Buffer, start: number): number {
  for (let at = 0; at < token.length; at++) {
    const byte = byteOfCode[token.charCodeAt(at)] ?? -1;
    if (byte < 0) return into.write(token, start); // no spelling of bytes: the string itself
    into[start + at] = byte;
  }
  return token.length;
}

function writeSentencePiece(token: string, into: Buffer, start: number): number {
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
  if (!byte) return into.write(token.replaceAll('▁', ' '), start);
  into[start] = Number.parseInt(byte[1]!, 16);
  return 1;
}
