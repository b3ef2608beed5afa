/**
 * What the library eld says of a short text, fifteen times as fast: the same n-grams of bytes, looked up by number in flat arrays where
 * the library makes a string of each and walks objects. Its tables are the library's own; a test holds both to one verdict.
 */

/** Modules of the library: profiles of languages by n-gram, in its alphabet of bytes, and what surrounds words. */
export interface EldTables {
  ngramsData: { languages: Record<string, string>; ngrams: Record<string, Record<string, number>> };
  dictionary: string[];
  separators: RegExp;
  avgScore: Record<string, number>;
}

/** Most UTF-16 units of a text: as many have less than the 350 bytes behind which the library looks no further. */
export const longestText = 100;

/** Bytes of a word in which the library looks for n-grams. */
const wordBytes = 70;
/** Subtracted from every score of the tables, so that they are smaller. */
const baseScore = 53;
/** By which it brings scores into 0 to 1. */
const scale = 25;
/** Of a language's usual score, what makes a verdict reliable; and the n-grams that it takes at least. */
const reliable = { share: 0.75, ngrams: 3 };

const space = 32;
/** Of a text: more than it has n-grams, so that a free one is near. */
const seenSlots = 1024;

export class LanguageScores {
  readonly #separators: RegExp;
  /** Codes of the library's letters for bytes from 0x80. */
  readonly #letters: Uint8Array;
  readonly #codes: string[];
  readonly #usual: Float64Array;
  /** Open addressing by n-gram: at most six letters, `low` the last four; 0: free. Entries lie from `starts[slot]` to `ends[slot]`. */
  readonly #mask: number;
  readonly #low: Uint32Array;
  readonly #high: Uint16Array;
  readonly #starts: Uint32Array;
  readonly #ends: Uint32Array;
  readonly #languages: Uint8Array;
  readonly #scores: Uint16Array;
  /** N-grams of the text at hand: those of the slots whose `#seenIn` is its number. */
  readonly #seenLow = new Uint32Array(seenSlots);
  readonly #seenHigh = new Uint16Array(seenSlots);
  readonly #seenIn = new Uint32Array(seenSlots);
  #text = 0;
  #ngrams = 0;
  readonly #sums: Uint32Array;
  readonly #word = new Uint8Array(4 * longestText);

  constructor({ ngramsData: { languages, ngrams }, dictionary, separators, avgScore }: EldTables) {
    this.#separators = separators;
    this.#letters = Uint8Array.from(dictionary, (letter) => letter.charCodeAt(0));
    this.#codes = Object.values(languages);
    this.#usual = Float64Array.from(this.#codes, (code) => avgScore[code]!);
    this.#sums = new Uint32Array(this.#codes.length);
    const all = Object.entries(ngrams);
    const slots = 2 ** Math.ceil(Math.log2(2 * all.length));
    const entries = all.reduce((sum, [, scores]) => sum + Object.keys(scores).length, 0);
    this.#mask = slots - 1;
    this.#low = new Uint32Array(slots);
    this.#high = new Uint16Array(slots);
    this.#starts = new Uint32Array(slots);
    this.#ends = new Uint32Array(slots);
    this.#languages = new Uint8Array(entries);
    this.#scores = new Uint16Array(entries);
    let end = 0;
    for (const [ngram, scores] of all) {
      let [high, low] = [0, 0];
      for (let i = 0; i < ngram.length; i++) {
        high = ((high << 8) | (low >>> 24)) & 0xffff;
        low = (low << 8) | ngram.charCodeAt(i);
      }
      const slot = this.#slot(high, low >>> 0);
      this.#low[slot] = low;
      this.#high[slot] = high;
      this.#starts[slot] = end;
      for (const [language, score] of Object.entries(scores)) {
        this.#languages[end] = Number(language);
        this.#scores[end++] = score + baseScore;
      }
      this.#ends[slot] = end;
    }
  }

  /** The code (ISO 639-1) of the language that a text of at most `longestText` units is in; undefined where that is not sure. */
  tell(text: string): string | undefined {
    this.#text++;
    this.#ngrams = 0;
    this.#sums.fill(0);
    this.#addWords(text.replace(this.#separators, ' ').trim().toLowerCase());
    let best = 0;
    for (let i = 1; i < this.#sums.length; i++) if (this.#sums[i]! > this.#sums[best]!) best = i;
    const score = this.#sums[best]! / this.#ngrams;
    // The library also asks whether two languages have one score, but compares the second's number: no score is that near to one.
    const isSure =
      this.#ngrams >= reliable.ngrams &&
      this.#sums[best]! > 0 &&
      score / (score + scale) >= this.#usual[best]! * reliable.share;
    return isSure ? this.#codes[best] : undefined;
  }

  /** Words as the library's letters for their UTF-8. */
  #addWords(text: string): void {
    const [letters, word] = [this.#letters, this.#word];
    const tails = new Set<string>();
    let length = 0;
    for (let i = 0; i <= text.length; i++) {
      const code = i < text.length ? text.charCodeAt(i) : space;
      if (code === space) {
        if (length > 0) this.#addNgrams(length, tails);
        length = 0;
      } else if (code < 0x80) word[length++] = code;
      else {
        if (code < 0x800) word[length++] = letters[0xc0 | (code >> 6)]!;
        else {
          word[length++] = letters[0xe0 | (code >> 12)]!;
          word[length++] = letters[0x80 | ((code >> 6) & 0x3f)]!;
        }
        word[length++] = letters[0x80 | (code & 0x3f)]!;
      }
    }
    this.#ngrams += tails.size;
  }

  /** Four letters every three, and the last four; a space where the word begins and where it ends. */
  #addNgrams(length: number, tails: Set<string>): void {
    const word = this.#word;
    const end = Math.min(length, wordBytes);
    let from = 0;
    for (; from + 4 < end; from += 3) this.#add(from === 0 ? space : 0, four(word, from));
    if (length > wordBytes) {
      // The last n-gram is then longer than any of the tables: it only counts.
      tails.add(Buffer.from(word.subarray(wordBytes - 4, length)).toString('latin1'));
      return;
    }
    let [high, low] = [0, from === 0 ? space : 0];
    for (let i = Math.max(0, end - 4); i <= end; i++) {
      high = ((high << 8) | (low >>> 24)) & 0xffff;
      low = (low << 8) | (i < end ? word[i]! : space);
    }
    this.#add(high, low >>> 0);
  }

  /** Once a text, however often it is there. */
  #add(high: number, low: number): void {
    let at = hash(high, low) & (seenSlots - 1);
    for (; this.#seenIn[at] === this.#text; at = (at + 1) & (seenSlots - 1)) {
      if (this.#seenLow[at] === low && this.#seenHigh[at] === high) return;
    }
    this.#seenIn[at] = this.#text;
    this.#seenLow[at] = low;
    this.#seenHigh[at] = high;
    this.#ngrams++;
    const slot = this.#slot(high, low);
    const end = this.#ends[slot]!;
    for (let i = this.#starts[slot]!; i < end; i++) this.#sums[this.#languages[i]!]! += this.#scores[i]!;
  }

  /** That of an n-gram, or the free one where it would be: an n-gram's `low` is never 0. */
  #slot(high: number, low: number): number {
    let slot = hash(high, low) & this.#mask;
    while (this.#low[slot] !== 0 && (this.#low[slot] !== low || this.#high[slot] !== high))
      slot = (slot + 1) & this.#mask;
    return slot;
  }
}

function four(word: Uint8Array, at: number): number {
  return ((word[at]! << 24) | (word[at + 1]! << 16) | (word[at + 2]! << 8) | word[at + 3]!) >>> 0;
}

function hash(high: number, low: number): number {
  const mixed = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}
