/** One call as JSON, read a character at a time: {"name": "f", "arguments": {…}}, its keys in any order. */

type State = 'object' | 'key' | 'in-key' | 'colon' | 'value' | 'in-string' | 'in-arguments' | 'comma';

const spaces = ' \t\r\n';
const keys = new Set(['name', 'arguments', 'parameters', 'type', 'id']);

export class CallScanner {
  readonly #known: ReadonlySet<string>;
  #state: State;
  #key = '';
  /** Of a string that is being read. */
  #raw = '';
  #escaped = false;
  /** Of the arguments: open brackets, and whether the place is inside a string. */
  #depth = 0;
  #quoted = false;
  #name: string | undefined;
  readonly #bare: boolean;
  #arguments = '';
  #begun = false;
  #taken = 0;

  /** `known`: names that can be called. `name`: it was read already; what follows are the arguments alone. */
  constructor(known: ReadonlySet<string>, name?: string) {
    this.#known = known;
    this.#name = name;
    this.#bare = name !== undefined;
    this.#state = this.#bare ? 'value' : 'object';
    if (this.#bare) this.#key = 'arguments';
  }

  /** The name, once a known one was read and its arguments began: from here on it is a call, whatever follows. */
  get called(): string | undefined {
    return this.#begun ? this.#name : undefined;
  }

  /** What came of the arguments since the last time. */
  takeArguments(): string {
    const taken = this.#arguments.slice(this.#taken);
    this.#taken = this.#arguments.length;
    return taken;
  }

  push(character: string): 'more' | 'done' | 'malformed' {
    if (this.#state === 'in-arguments') return this.#pushArguments(character);
    if (this.#state === 'in-key' || this.#state === 'in-string') return this.#pushString(character);
    if (spaces.includes(character)) return 'more';
    switch (this.#state) {
      case 'object':
        return this.#expect(character, '{', 'key');
      case 'key':
        this.#raw = '"';
        return this.#expect(character, '"', 'in-key');
      case 'colon':
        return this.#expect(character, ':', 'value');
      case 'value':
        return this.#beginValue(character);
      case 'comma':
        if (character === '}') return this.#close();
        return this.#expect(character, ',', 'key');
    }
  }

  #expect(character: string, expected: string, next: State): 'more' | 'malformed' {
    if (character !== expected) return 'malformed';
    this.#state = next;
    return 'more';
  }

  #beginValue(character: string): 'more' | 'malformed' {
    if (this.#key === 'arguments' || this.#key === 'parameters') {
      if (character !== '{' || this.#begun || this.#arguments !== '') return 'malformed';
      this.#arguments = '{';
      this.#depth = 1;
      this.#begun = this.#name !== undefined;
      this.#state = 'in-arguments';
      return 'more';
    }
    this.#raw = '"';
    return this.#expect(character, '"', 'in-string');
  }

  #pushString(character: string): 'more' | 'malformed' {
    this.#raw += character;
    if (this.#escaped) this.#escaped = false;
    else if (character === '\\') this.#escaped = true;
    else if (character === '"') return this.#endString();
    return 'more';
  }

  #endString(): 'more' | 'malformed' {
    let text: string;
    try {
      text = JSON.parse(this.#raw);
    } catch {
      return 'malformed';
    }
    if (this.#state === 'in-key') {
      if (!keys.has(text)) return 'malformed';
      this.#key = text;
      this.#state = 'colon';
      return 'more';
    }
    if (this.#key === 'name') {
      if (this.#name !== undefined || !this.#known.has(text)) return 'malformed';
      this.#name = text;
      this.#begun = this.#arguments !== '';
    }
    this.#state = 'comma';
    return 'more';
  }

  #pushArguments(character: string): 'more' | 'done' {
    this.#arguments += character;
    if (this.#escaped) this.#escaped = false;
    else if (this.#quoted) {
      if (character === '\\') this.#escaped = true;
      else if (character === '"') this.#quoted = false;
    } else if (character === '"') this.#quoted = true;
    else if (character === '{' || character === '[') this.#depth++;
    else if (character === '}' || character === ']') this.#depth--;
    if (this.#depth > 0) return 'more';
    this.#state = 'comma';
    // Arguments alone have no brace of the call's after them.
    return this.#bare ? 'done' : 'more';
  }

  #close(): 'done' | 'malformed' {
    if (this.#name === undefined) return 'malformed';
    if (this.#arguments === '') this.#arguments = '{}';
    this.#begun = true;
    return 'done';
  }
}
