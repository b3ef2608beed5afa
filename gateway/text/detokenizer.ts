import type { TokenBytes } from './token_bytes.ts';

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

/** How many bytes at the end begin a character that more bytes could complete. */
export function unfinishedBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const lead = bytes[bytes.length - back]!;
    if (lead < 0x80) return 0;
    if (lead < 0xc0) continue; // a continuation: its lead is further back
    const needed =
      lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
    if (back >= needed) return 0;
    return back === 1 || canFollow(lead, bytes[bytes.length - back + 1]!) ? back : 0;
  }
  return 0;
}

/** Whether a second byte keeps a character possible: neither overlong, nor a surrogate, nor past U+10FFFF. */
function canFollow(lead: number, second: number): boolean {
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second < 0xa0;
  if (lead === 0xf0) return second >= 0x90;
  if (lead === 0xf4) return second < 0x90;
  return true;
}
