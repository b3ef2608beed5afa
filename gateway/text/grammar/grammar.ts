/** What an answer must look like, as a request says it. */
export type Grammar =
  | JsonGrammar
  /** One of them. */
  | { kind: 'either'; of: JsonGrammar[] }
  /** Any text; after each `trigger` a JSON value between `open` and `close`. `again`: more text may follow it. */
  | { kind: 'json-after'; trigger: string; schema: unknown; open: string; close: string; again: boolean }
  /** The whole text matches. */
  | { kind: 'regex'; pattern: string }
  | { kind: 'choice'; choices: string[] }
  /** EBNF whose first rule is `root`. */
  | { kind: 'ebnf'; text: string };

export type JsonGrammar =
  /** A JSON value on one line that its schema allows. */
  | { kind: 'json'; schema: unknown }
  /** The same within a text that is fixed; where there is a `between`, more such values may follow after it. */
  | { kind: 'json-within'; schema: unknown; open: string; between?: string; close: string };

/** What a thread needs to know of a vocabulary. */
export interface GrammarVocabulary {
  /** The bytes of all tokens, in order of their ids. */
  bytes: Uint8Array;
  /** Token `id` is bytes [offsets[id], offsets[id + 1]). */
  offsets: Uint32Array;
  /** Ids that no grammar can ask for. */
  specialIds: number[];
  /** Ids that end an answer, once the grammar is complete. */
  endIds: number[];
}

/** Equal for grammars that are the same. */
export function keyOf(grammar: Grammar): string {
  return JSON.stringify(grammar);
}

/** A number in letters, for names of rules: xgrammar leaves digits out of those that it makes from a schema's. */
export function letters(number: number): string {
  return [...String(number)].map((digit) => 'abcdefghij'[Number(digit)]).join('');
}
