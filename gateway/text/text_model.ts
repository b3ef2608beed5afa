import type { TextDefinition } from '../contract/index.ts';
import { type ChatMessage, ChatTemplate, type ChatTemplateOptions } from './chat_template.ts';
import type { IncrementalDetokenizer } from './detokenizer.ts';
import type { GrammarVocabulary } from './grammar/grammar.ts';
import { type DecodeOptions, type SpecialReading, Tokenizer } from './tokenizer.ts';

export type { ChatMessage, ChatTemplateOptions, DecodeOptions, IncrementalDetokenizer, SpecialReading };
export { StopStrings } from './stop_strings.ts';

/** Everything textual about one model: what its TextDefinition says, at work. Make one per definition and keep it. */
export class TextModel {
  readonly endTokenIds: number[];
  /** The same, to look them up. */
  readonly ends: ReadonlySet<number>;
  readonly vocabularySize: number;
  /** The source of the model's own. */
  readonly chatTemplate: string | undefined;
  readonly #tokenizer: Tokenizer;
  readonly #template: ChatTemplate;

  constructor(definition: TextDefinition) {
    this.endTokenIds = definition.endTokenIds;
    this.ends = new Set(definition.endTokenIds);
    this.vocabularySize = definition.vocabularySize;
    this.chatTemplate = definition.chatTemplate;
    this.#tokenizer = new Tokenizer(definition);
    this.#template = new ChatTemplate(definition, this.#tokenizer.specialStrings());
  }

  /**
   * The ids of a bare prompt. Special-token strings become special tokens unless `special` is `plain`. `addBos` (default
   * true) adds what the model's tokenizer adds around a text, which for many models is nothing. A text of more than
   * `limit` tokens is refused, an absurd one at once.
   */
  encode(
    text: string,
    options: { special?: SpecialReading; addBos?: boolean; limit?: number } = {},
  ): number[] {
    const ids = this.#tokenizer.encode(text, options.special ?? 'parse', options.limit);
    if (options.addBos === false) return ids;
    return [...this.#tokenizer.prefixIds, ...ids, ...this.#tokenizer.suffixIds];
  }

  /**
   * A chat as the model's template writes it. With `special: 'plain'` (the default) special-token strings in messages,
   * tools and template arguments stay plain text; only the template's own become special tokens.
   */
  encodeChat(
    messages: ChatMessage[],
    options: ChatTemplateOptions & { special?: SpecialReading; limit?: number } = {},
  ): { text: string; ids: number[] } {
    const rendered = this.#template.render(messages, options, (options.special ?? 'plain') === 'plain');
    if (!rendered.shielded)
      return { text: rendered.text, ids: this.#tokenizer.encode(rendered.text, 'parse', options.limit) };
    return {
      text: rendered.restore(rendered.text),
      ids: this.#tokenizer.encodeSections(rendered.text, 'parse', options.limit, rendered.restore),
    };
  }

  decode(ids: readonly number[], options?: DecodeOptions): string {
    return this.#tokenizer.decode(ids, options);
  }

  /** One token's text alone, for log-probabilities; broken characters become U+FFFD. */
  tokenText(id: number): string {
    return this.#tokenizer.tokenText(id);
  }

  tokenBytes(id: number): number[] {
    return this.#tokenizer.tokenBytes(id);
  }

  /** Whether a text is a special token, which `skipSpecial` leaves out. */
  isSpecial(text: string): boolean {
    return this.#tokenizer.specialStrings().includes(text);
  }

  /** What grammars need to know of the tokens. */
  grammarVocabulary(): GrammarVocabulary {
    const specialIds = [...this.#tokenizer.specialIds];
    return { ...this.#tokenizer.allTokenBytes(), specialIds, endIds: this.endTokenIds };
  }

  /** Text from generated ids as they come; by default they continue a prompt. */
  detokenizer(options: DecodeOptions = {}): IncrementalDetokenizer {
    return this.#tokenizer.detokenizer({ continues: true, ...options });
  }
}
