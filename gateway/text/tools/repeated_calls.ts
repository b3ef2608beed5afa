/**
 * Ends an answer of forced calls where it repeats one: a small model that must call knows no other end than its last
 * token. The repeat is left out. Text that may yet become one is held back, so what is given does not depend on the pieces.
 */
export class RepeatedCalls {
  /** The calls so far, as they were written. */
  readonly #calls: string[] = [];
  /** After the last call, and not given out. */
  #held = '';
  /** Of the call that is being read; empty between calls. */
  #call = '';
  /** It is unlike all calls before it: given out as it comes. */
  #new = false;
  #depth = 0;
  #quoted = false;
  #escaped = false;
  #stopped = false;

  /** What may be given now, and whether a call was repeated; after that nothing more is given. */
  push(text: string): { emit: string; stopped: boolean } {
    let emit = '';
    for (const character of text) {
      if (this.#stopped) break;
      this.#held += character;
      const ended = this.#read(character);
      if (ended && this.#calls.includes(this.#call)) {
        this.#stopped = true;
        this.#held = '';
        break;
      }
      if (this.#call !== '' && !this.#new) this.#new = !this.#calls.some((one) => one.startsWith(this.#call));
      if (this.#new || this.#calls.length === 0) {
        emit += this.#held;
        this.#held = '';
      }
      if (ended) {
        this.#calls.push(this.#call);
        this.#call = '';
        this.#new = false;
      }
    }
    return { emit, stopped: this.#stopped };
  }

  /** What was held back when the answer ended by itself. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  /** Takes a character; tells whether it ends a call, which is an object that no other one is around. */
  #read(character: string): boolean {
    if (this.#depth === 0 && character !== '{') return false;
    this.#call += character;
    if (this.#escaped) this.#escaped = false;
    else if (this.#quoted && character === '\\') this.#escaped = true;
    else if (character === '"') this.#quoted = !this.#quoted;
    else if (!this.#quoted && character === '{') this.#depth++;
    else if (!this.#quoted && character === '}') return --this.#depth === 0;
    return false;
  }
}
