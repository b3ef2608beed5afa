/** The tables of the library eld (its small database) as flat arrays, in memory that threads share. */

export interface LanguageTables {
  /** Of each language its code (ISO 639-1), and its usual score. */
  codes: string[];
  usual: Float64Array;
  /** What is no word. */
  separators: RegExp;
  /** Codes of the library's letters for bytes from 0x80: n-grams are of these, and of ASCII. */
  letters: Uint8Array;
  /**
   * Open addressing by n-gram, which has at most six letters: the last four in `low`, 0 where a slot is free. Its scores lie from
   * `starts[slot]` to `ends[slot]`. Slots are a power of two.
   */
  low: Uint32Array;
  high: Uint16Array;
  starts: Uint32Array;
  ends: Uint32Array;
  languages: Uint8Array;
  scores: Uint16Array;
}

/** What is read of the library. */
interface Eld {
  ngramsData: { languages: Record<string, string>; ngrams: Record<string, Record<string, number>> };
  dictionary: string[];
  separators: RegExp;
  avgScore: Record<string, number>;
}

/** Subtracted from every score in the library's tables, so that they are smaller. */
const baseScore = 53;

/** To compile the library's tables takes a second and 140 MB, so that a thread of its own does it: see threads.ts. */
export async function readLanguageTables(): Promise<LanguageTables> {
  // They are beside what the library exports.
  const entry = import.meta.resolve('eld/small');
  const files = ['ngrams/small.js', 'dictionary.js', 'regexPatterns.js', 'avgScore.js'];
  const modules = await Promise.all(files.map((file) => import(new URL(`../${file}`, entry).href)));
  return flat(Object.assign({}, ...modules));
}

function flat({ ngramsData, dictionary, separators, avgScore }: Eld): LanguageTables {
  const ngrams = Object.entries(ngramsData.ngrams);
  const slots = 2 ** Math.ceil(Math.log2(2 * ngrams.length));
  const count = ngrams.reduce((sum, [, scores]) => sum + Object.keys(scores).length, 0);
  const codes = Object.values(ngramsData.languages);
  const tables: LanguageTables = {
    codes,
    usual: Float64Array.from(codes, (code) => avgScore[code]!),
    separators,
    letters: Uint8Array.from(dictionary, (letter) => letter.charCodeAt(0)),
    low: new Uint32Array(new SharedArrayBuffer(4 * slots)),
    high: new Uint16Array(new SharedArrayBuffer(2 * slots)),
    starts: new Uint32Array(new SharedArrayBuffer(4 * slots)),
    ends: new Uint32Array(new SharedArrayBuffer(4 * slots)),
    languages: new Uint8Array(new SharedArrayBuffer(count)),
    scores: new Uint16Array(new SharedArrayBuffer(2 * count)),
  };
  let end = 0;
  for (const [ngram, scores] of ngrams) {
    let [high, low] = [0, 0];
    for (let i = 0; i < ngram.length; i++) {
      high = ((high << 8) | (low >>> 24)) & 0xffff;
      low = (low << 8) | ngram.charCodeAt(i);
    }
    const slot = slotOf(tables, high, low >>> 0);
    tables.low[slot] = low;
    tables.high[slot] = high;
    tables.starts[slot] = end;
    for (const [language, score] of Object.entries(scores)) {
      tables.languages[end] = Number(language);
      tables.scores[end++] = score + baseScore;
    }
    tables.ends[slot] = end;
  }
  return tables;
}

/** That of an n-gram, or the free one where it would be: an n-gram's `low` is never 0. */
export function slotOf(tables: Pick<LanguageTables, 'low' | 'high'>, high: number, low: number): number {
  const mask = tables.low.length - 1;
  let slot = hashOf(high, low) & mask;
  while (tables.low[slot] !== 0 && (tables.low[slot] !== low || tables.high[slot] !== high))
    slot = (slot + 1) & mask;
  return slot;
}

export function hashOf(high: number, low: number): number {
  const mixed = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}
