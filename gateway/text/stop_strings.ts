import { ColophonError } from '../contract/index.ts';

/** One stop string and how much of it the text so far ends with (Knuth, Morris, Pratt). */
interface Pattern {
  text: string;
  /** fallback[n]: length of the longest proper border of the first n code units. */
  fallback: Int32Array;
  matched: number;
}

/**
 * Finds stop strings in text that arrives in pieces. Text that may be the beginning of one is held back. The string that
 * is complete first wins; of several complete at once, the longest. So the cut does not depend on the pieces.
 */
export class StopStrings {
  readonly #patterns: Pattern[];
  readonly #includeInOutput: boolean;
  #held = '';
  #stopped: string | undefined;

  constructor(stops: string[], includeInOutput = false) {
    if (stops.includes(''))
      throw new ColophonError('A stop string is empty; leave it out.', { param: 'stop' });
    this.#patterns = stops.map((text) => ({ text, fallback: borders(text), matched: 0 }));
    this.#includeInOutput = includeInOutput;
  }

  /** What may be sent now, and the stop string that was met; after that nothing more is sent. */
  push(text: string): { emit: string; stopped: string | undefined } {
    if (this.#stopped !== undefined) return { emit: '', stopped: this.#stopped };
    if (this.#patterns.length === 0) return { emit: text, stopped: undefined };
    const all = this.#held + text;
    for (let at = this.#held.length; at < all.length; at++) {
      const complete = this.#advance(all.charCodeAt(at));
      if (complete === undefined) continue;
      this.#stopped = complete;
      this.#held = '';
      const end = at + 1;
      return { emit: all.slice(0, this.#includeInOutput ? end : end - complete.length), stopped: complete };
    }
    const held = Math.max(...this.#patterns.map((pattern) => pattern.matched));
    this.#held = all.slice(all.length - held);
    return { emit: all.slice(0, all.length - held), stopped: undefined };
  }

  /** What was held back when the text ended without a stop string. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    for (const pattern of this.#patterns) pattern.matched = 0;
    return held;
  }

  /** Takes one code unit; the longest stop string that it completes. */
  #advance(unit: number): string | undefined {
    let complete: string | undefined;
    for (const pattern of this.#patterns) {
      let matched = pattern.matched;
      while (matched > 0 && pattern.text.charCodeAt(matched) !== unit) matched = pattern.fallback[matched]!;
      if (pattern.text.charCodeAt(matched) === unit) matched++;
      pattern.matched = matched;
      if (matched === pattern.text.length && matched > (complete?.length ?? 0)) complete = pattern.text;
    }
    return complete;
  }
}

function borders(text: string): Int32Array {
  const fallback = new Int32Array(text.length + 1);
  let length = 0;
  for (let at = 1; at < text.length; at++) {
    while (length > 0 && text.charCodeAt(at) !== text.charCodeAt(length)) length = fallback[length]!;
    if (text.charCodeAt(at) === text.charCodeAt(length)) length++;
    fallback[at + 1] = length;
  }
  return fallback;
}
