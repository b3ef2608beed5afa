import type { TokenBytes } from './token_bytes.ts';
import { unfinishedBytes } from './utf8.ts';

/** Text from token ids that arrive one by one; the pieces concatenated are the text of all ids at once. */
export interface IncrementalDetokenizer {
  /** The text that is certain now: never half a character. */
  push(id: number): string;
  /** The end: a character that was never completed becomes U+FFFD. */
  flush(): string;
}

const empty: Buffer = Buffer.alloc(0);

export class Detokenizer implements IncrementalDetokenizer {
  readonly #tokens: TokenBytes;
  readonly #skip: ReadonlySet<number>;
  /** One space at the very beginning is a mark of the spelling, not text. */
  #stripSpace: boolean;
  /** The beginning of a character, at most three bytes. */
  #pending: Buffer = empty;

  constructor(tokens: TokenBytes, skip: ReadonlySet<number>, stripSpace: boolean) {
    this.#tokens = tokens;
    this.#skip = skip;
    this.#stripSpace = stripSpace;
  }

  push(id: number): string {
    if (this.#skip.has(id)) return '';
    // Nearly every token is whole characters after whole characters.
    if (this.#pending.length === 0 && !this.#stripSpace) {
      const text = this.#tokens.text(id);
      if (text !== null) return text;
    }
    let bytes = this.#tokens.of(id);
    if (bytes.length === 0) return '';
    if (this.#stripSpace) {
      this.#stripSpace = false;
      if (bytes[0] === 0x20) bytes = bytes.subarray(1);
    }
    if (this.#pending.length > 0) bytes = Buffer.concat([this.#pending, bytes]);
    const whole = bytes.length - unfinishedBytes(bytes);
    this.#pending = bytes.subarray(whole);
    return bytes.toString('utf8', 0, whole);
  }

  flush(): string {
    const rest = this.#pending.toString('utf8');
    this.#pending = empty;
    return rest;
  }
}
