import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { LRUCache } from 'lru-cache';
import { ColophonError, type TextDefinition } from '../contract/index.ts';
import { Bpe, type BpeModel } from './bpe.ts';
import { Detokenizer, type IncrementalDetokenizer } from './detokenizer.ts';
import { TokenBytes } from './token_bytes.ts';

/**
 * How special-token strings in a text are read: `parse` makes them special tokens, as transformers does; `plain` encodes
 * them as the characters that they are.
 */
export type SpecialReading = 'plain' | 'parse';

export interface DecodeOptions {
  /** Leave special tokens out. Default false. */
  skipSpecial?: boolean;
  /** The ids go on from earlier text, so a space before the first word is text (it matters to SentencePiece alone). */
  continues?: boolean;
}

interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  normalized: boolean;
  lstrip: boolean;
  rstrip: boolean;
  single_word: boolean;
}

type Normalizer = (text: string) => string;
type WordCutter = (text: string, options: { section_index: number }) => string[];

/** A part of a tokenizer.json. */
type Component = { type: string; [key: string]: unknown };

/** What all remembered prompts may hold together: ids, and characters of text at four a piece. */
const cachedPromptIds = 1_000_000;

/**
 * A tokenizer.json at work. @huggingface/tokenizers normalises and cuts the text into words; the merges are ours, because
 * the library's take seconds for a word of a megabyte, and so is decoding, because it must also work a token at a time.
 */
export class Tokenizer {
  readonly specialIds: ReadonlySet<number>;
  /** Added before and after a bare text, as the post-processor says. */
  readonly prefixIds: readonly number[];
  readonly suffixIds: readonly number[];

  readonly #normalizer: Normalizer | null;
  readonly #words: WordCutter | null;
  readonly #prefixSpace: boolean;
  readonly #bpe: Bpe;
  readonly #added: AddedToken[];
  /** Cut out before and after normalising, for each reading. */
  readonly #splitters: Record<SpecialReading, { raw: AddedSplitter; normalized: AddedSplitter }>;
  readonly #vocabulary: ReadonlyMap<string, number>;
  readonly #idOfAdded: ReadonlyMap<string, number>;
  readonly #tokenBytes: TokenBytes;
  readonly #stripSpace: boolean;
  readonly #prompts = new LRUCache<string, number[]>({
    maxSize: cachedPromptIds,
    sizeCalculation: (ids, key) => ids.length + (key.length >> 2) + 1,
  });

  constructor(definition: TextDefinition) {
    const json = definition.tokenizer;
    const model = json.model as
      | (BpeModel & { type?: string; end_of_word_suffix?: unknown; continuing_subword_prefix?: unknown })
      | undefined;
    if (!model?.vocab || !Array.isArray(model.merges) || (model.type ?? 'BPE') !== 'BPE') {
      throw unsupported(`the tokenizer model ${JSON.stringify(model?.type ?? null)}; BPE is`);
    }
    if (model.end_of_word_suffix || model.continuing_subword_prefix) {
      throw unsupported('a BPE tokenizer with prefixes or suffixes of words');
    }
    const splitting = preTokenizer(json.pre_tokenizer as Component | null | undefined);
    this.#prefixSpace = splitting.prefixSpace;
    this.#added = ((json.added_tokens ?? []) as Array<Partial<AddedToken>>).map(completeAddedToken);
    this.specialIds = new Set(this.#added.filter((token) => token.special).map((token) => token.id));

    const library = new LibraryTokenizer(
      {
        ...json,
        model: { type: 'BPE', vocab: {}, merges: [] },
        added_tokens: [],
        normalizer: json.normalizer ?? null,
        pre_tokenizer: splitting.words,
        post_processor: json.post_processor ?? null,
        decoder: null,
      },
      definition.tokenizerConfig,
    );
    this.#normalizer = library.normalizer as Normalizer | null;
    this.#words = library.pre_tokenizer as WordCutter | null;

    const normalize = (token: AddedToken) =>
      token.normalized && this.#normalizer ? this.#normalizer(token.content) : token.content;
    const splitters = (tokens: AddedToken[]) => ({
      raw: new AddedSplitter(
        tokens.filter((token) => !token.normalized).map((token) => [token.content, token]),
      ),
      normalized: new AddedSplitter(
        tokens.filter((token) => token.normalized).map((token) => [normalize(token), token]),
      ),
    });
    this.#splitters = {
      parse: splitters(this.#added),
      plain: splitters(this.#added.filter((token) => !token.special)),
    };

    const vocabulary = new Map<string, number>();
    const tokens: Array<string | undefined> = new Array(definition.vocabularySize).fill(undefined);
    for (const token of Object.keys(model.vocab)) {
      const id = model.vocab[token]!;
      vocabulary.set(token, id);
      tokens[id] = token;
    }
    for (const token of this.#added) tokens[token.id] = token.content;
    this.#vocabulary = vocabulary;
    this.#idOfAdded = new Map(this.#added.map((token) => [token.content, token.id]));
    this.#bpe = new Bpe(model, vocabulary, splitting.byteLevel);
    const decoding = decoder(json.decoder as Component | null | undefined);
    this.#stripSpace = decoding.stripSpace;
    this.#tokenBytes = new TokenBytes(
      tokens,
      new Set(this.#added.map((token) => token.id)),
      decoding.spelling,
    );
    [this.prefixIds, this.suffixIds] = this.#around(library);
  }

  /** The ids of a text; nothing is added before or after it. Throws where they are more than `limit`. */
  encode(text: string, special: SpecialReading = 'parse', limit = Number.POSITIVE_INFINITY): number[] {
    const key = special + text;
    const known = this.#prompts.get(key);
    const ids = known ?? this.encodeSections(text, special, limit);
    if (ids.length > limit) throw tooLong(limit);
    if (!known) this.#prompts.set(key, ids);
    return ids.slice();
  }

  /** The same without the memory; `restore` rewrites what is left between the added tokens, after they were cut out. */
  encodeSections(
    text: string,
    special: SpecialReading,
    limit = Number.POSITIVE_INFINITY,
    restore: (text: string) => string = (same) => same,
  ): number[] {
    const ids: number[] = [];
    const { raw, normalized } = this.#splitters[special];
    raw.split(text, (section, index) => {
      if (typeof section !== 'string') ids.push(section.id);
      else {
        normalized.split(this.#normalizer ? this.#normalizer(section) : section, (part) => {
          if (typeof part !== 'string') ids.push(part.id);
          else this.#encodePlain(restore(part), index, ids, limit);
        });
      }
      if (ids.length > limit) throw tooLong(limit);
    });
    return ids;
  }

  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const skip = options.skipSpecial ? this.specialIds : noIds;
    const bytes = Buffer.concat(ids.map((id) => (skip.has(id) ? noBytes : this.#tokenBytes.of(id))));
    const strip = this.#stripSpace && !options.continues && bytes[0] === 0x20;
    return bytes.toString('utf8', strip ? 1 : 0);
  }

  detokenizer(options: DecodeOptions = {}): IncrementalDetokenizer {
    const skip = options.skipSpecial ? this.specialIds : noIds;
    return new Detokenizer(this.#tokenBytes, skip, this.#stripSpace && !options.continues);
  }

  /** The text of one token alone; bytes that are no whole character become U+FFFD. */
  tokenText(id: number): string {
    return this.#tokenBytes.of(id).toString('utf8');
  }

  /** The bytes of every token, in order of their ids. */
  allTokenBytes(): { bytes: Uint8Array; offsets: Uint32Array } {
    return this.#tokenBytes.all();
  }

  tokenBytes(id: number): number[] {
    return [...this.#tokenBytes.of(id)];
  }

  /** The id of a token by its string, as in the vocabulary. */
  idOf(token: string): number | undefined {
    return this.#idOfAdded.get(token) ?? this.#vocabulary.get(token);
  }

  /** The strings of the special tokens. */
  specialStrings(): string[] {
    return this.#added.filter((token) => token.special && token.content !== '').map((token) => token.content);
  }

  #encodePlain(text: string, sectionIndex: number, ids: number[], limit: number): void {
    if (text === '') return;
    // No token is longer than the longest: ten megabytes are refused without the seconds that their merges take.
    if (text.length > (limit - ids.length) * this.#tokenBytes.longest) throw tooLong(limit);
    const whole = this.#prefixSpace && !text.startsWith(' ') ? ` ${text}` : text;
    if (!this.#words) this.#bpe.encode(whole, ids);
    else for (const word of this.#words(whole, { section_index: sectionIndex })) this.#bpe.encode(word, ids);
  }

  /** Asks the post-processor what it puts around a text. */
  #around(library: LibraryTokenizer): [prefix: number[], suffix: number[]] {
    const text = '\u0000text';
    const process = library.post_processor as ((tokens: string[]) => { tokens: string[] }) | null;
    const tokens = process ? process([text]).tokens : [text];
    const ids = (strings: string[]) =>
      strings.map((token) => {
        const id = this.idOf(token);
        if (id === undefined)
          throw unsupported(`the post-processor's token ${JSON.stringify(token)}, which is in no vocabulary`);
        return id;
      });
    const at = tokens.indexOf(text);
    return [ids(tokens.slice(0, at)), ids(tokens.slice(at + 1))];
  }
}

const noIds: ReadonlySet<number> = new Set();
const noBytes = Buffer.alloc(0);

function tooLong(limit: number): ColophonError {
  return new ColophonError(
    `This model's maximum context length is ${limit} tokens, and the prompt is longer. Please shorten it.`,
    { code: 'context_length_exceeded' },
  );
}

function unsupported(what: string): ColophonError {
  return new ColophonError(`The model's tokenizer cannot be used: ${what} is not supported.`, {
    type: 'server_error',
  });
}

function completeAddedToken(token: Partial<AddedToken>): AddedToken {
  return {
    id: token.id!,
    content: token.content!,
    special: token.special ?? false,
    normalized: token.normalized ?? !(token.special ?? false),
    lstrip: token.lstrip ?? false,
    rstrip: token.rstrip ?? false,
    single_word: token.single_word ?? false,
  };
}

/** Cuts added tokens out of a text: the leftmost first, of several at one place the longest. */
class AddedSplitter {
  readonly #tokens: Map<string, AddedToken>;
  readonly #pattern: RegExp | undefined;

  constructor(tokens: Array<[string, AddedToken]>) {
    this.#tokens = new Map(tokens.filter(([content]) => content !== ''));
    const longestFirst = [...this.#tokens.keys()].sort((a, b) => b.length - a.length);
    if (longestFirst.length > 0) this.#pattern = new RegExp(longestFirst.map(escapeRegExp).join('|'), 'gu');
  }

  /** Sections in order, none of them empty; `index` counts them. */
  split(text: string, take: (section: string | AddedToken, index: number) => void): void {
    let index = 0;
    let start = 0;
    let trimStart = false;
    const gap = (end: number, trimEnd: boolean) => {
      let section = text.slice(start, end);
      if (trimStart) section = section.trimStart();
      if (trimEnd) section = section.trimEnd();
      if (section !== '') take(section, index++);
    };
    if (this.#pattern) {
      for (const match of text.matchAll(this.#pattern)) {
        const token = this.#tokens.get(match[0])!;
        const end = match.index + match[0].length;
        if (token.single_word && !standsAlone(text, match.index, end)) continue;
        gap(match.index, token.lstrip);
        take(token, index++);
        start = end;
        trimStart = token.rstrip;
      }
    }
    gap(text.length, false);
  }
}

/** Quotes a string for a regular expression with the flag u. */
export function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/gu, '\\$&');
}

function standsAlone(text: string, start: number, end: number): boolean {
  const word = /[\p{L}\p{N}\p{M}_]/u;
  const before = text.slice(0, start).slice(-2);
  return !word.test([...before].at(-1) ?? '') && !word.test([...text.slice(end, end + 2)][0] ?? '');
}

/** GPT-2's rule for words, which ByteLevel applies where it is not told otherwise. */
const gpt2Words = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * The pre-tokenizer without its step to bytes, which the merges make themselves. Two parts are rewritten as explicit
 * patterns because the library reads them otherwise than transformers: Digits (all of Unicode's N, not only 0-9) and
 * ByteLevel's words (whitespace as Oniguruma has it, with U+0085 and without U+FEFF).
 */
function preTokenizer(component: Component | null | undefined): {
  words: Component | null;
  byteLevel: boolean;
  prefixSpace: boolean;
} {
  const steps = flatten(component);
  const byteLevels = steps.filter((step) => step.type === 'ByteLevel');
  if (byteLevels.length > 1 || (byteLevels.length === 1 && steps.at(-1)?.type !== 'ByteLevel')) {
    throw unsupported('a pre-tokenizer with ByteLevel before its last step');
  }
  const prefixSpace = byteLevels[0]?.add_prefix_space === true;
  if (prefixSpace && steps.length > 1) throw unsupported('add_prefix_space after other pre-tokenizing steps');
  const pretokenizers = steps.flatMap((step): Component[] => {
    if (step.type === 'Digits') return [isolate(step.individual_digits ? '\\p{N}' : '\\p{N}+')];
    if (step.type === 'ByteLevel') return step.use_regex === false ? [] : [isolate(gpt2Words)];
    return [step];
  });
  return {
    words: pretokenizers.length === 0 ? null : { type: 'Sequence', pretokenizers },
    byteLevel: byteLevels.length === 1,
    prefixSpace,
  };
}

function isolate(regex: string): Component {
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false };
}

function flatten(component: Component | null | undefined): Component[] {
  if (!component) return [];
  if (component.type !== 'Sequence') return [component];
  return ((component.pretokenizers ?? component.decoders ?? []) as Component[]).flatMap(flatten);
}

/**
 * Decoders that are a spelling of bytes. Where transformers' ByteFallback makes every byte of a broken run U+FFFD, we
 * decode the run as UTF-8: the only reading that can be streamed.
 */
function decoder(component: Component | null | undefined): {
  spelling: 'byte-level' | 'sentencepiece';
  stripSpace: boolean;
} {
  const steps = flatten(component);
  const types = steps.map((step) => step.type);
  if (types.join() === 'ByteLevel') return { spelling: 'byte-level', stripSpace: false };
  const readable = ['Replace', 'Metaspace', 'ByteFallback', 'Fuse', 'Strip'];
  if (
    (types.includes('Replace') || types.includes('Metaspace')) &&
    types.every((type) => readable.includes(type))
  ) {
    const metaspace = steps.find((step) => step.type === 'Metaspace');
    const strip = steps.find((step) => step.type === 'Strip');
    const prepends =
      metaspace !== undefined && metaspace.prepend_scheme !== 'never' && metaspace.add_prefix_space !== false;
    return { spelling: 'sentencepiece', stripSpace: prepends || Number(strip?.start ?? 0) > 0 };
  }
  throw unsupported(`the decoder ${types.join(' + ') || 'null'}; ByteLevel and SentencePiece's are`);
}
