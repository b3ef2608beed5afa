/** What a step gave answers, one run of tokens after the other: answer number (low and high 32 bits), choice, cached tokens, count, ids. */

const headWords = 5;

/** Those of the step that is next recorded. */
export class TokenRuns {
  #words = new Int32Array(512);
  #length = 0;

  add(number: number, choice: number, cached: number, ids: readonly number[]): void {
    const begin = this.#length;
    const end = begin + headWords + ids.length;
    if (end > this.#words.length) {
      const longer = new Int32Array(2 * end);
      longer.set(this.#words);
      this.#words = longer;
    }
    this.#words[begin] = number | 0;
    this.#words[begin + 1] = Math.floor(number / 2 ** 32);
    this.#words[begin + 2] = choice;
    this.#words[begin + 3] = cached;
    this.#words[begin + 4] = ids.length;
    for (let at = 0; at < ids.length; at++) this.#words[begin + headWords + at] = ids[at]!;
    this.#length = end;
  }

  get words(): Int32Array {
    return this.#words.subarray(0, this.#length);
  }
}

export interface TokenRun {
  number: number;
  choice: number;
  cached: number;
  ids: Int32Array;
}

export function* runsOf(words: Int32Array): Generator<TokenRun> {
  for (let at = 0; at < words.length; ) {
    const from = at + headWords;
    const to = from + words[at + 4]!;
    yield {
      number: (words[at]! >>> 0) + words[at + 1]! * 2 ** 32,
      choice: words[at + 2]!,
      cached: words[at + 3]!,
      ids: words.subarray(from, to),
    };
    at = to;
  }
}
