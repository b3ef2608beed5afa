import { ColophonError, type TextDefinition } from '../../../gateway/contract/index.ts';

/** A value of a GGUF file's metadata. Integers are numbers where exact. */
export type GgufMetadataValue = boolean | number | bigint | string | GgufMetadataValue[];

/** tokenizer.ggml.token_type of tokens that are not ordinary words. */
const TokenType = { control: 3, userDefined: 4 } as const;

type Component = { type: string; [key: string]: unknown };

interface WordRule {
  normalizer: Component | null;
  preTokenizer: Component;
  ignoreMerges: boolean;
  addBos: boolean;
}

const gpt2Words: Component = {
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: true,
};

/** Llama 3's rule for words; others differ from it in how many digits stand together. */
const llama3Words = (digits: string) =>
  sequence(
    isolate(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" +
        `${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
    ),
    { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
  );

const gpt2: WordRule = { normalizer: null, preTokenizer: gpt2Words, ignoreMerges: false, addBos: false };
const llama3: WordRule = {
  normalizer: null,
  preTokenizer: llama3Words('\\p{N}{1,3}'),
  ignoreMerges: true,
  addBos: true,
};

/** How tokenizer.ggml.pre cuts a text into words. */
const wordRules: Record<string, WordRule> = {
  gpt2,
  'gpt-2': gpt2,
  default: gpt2,
  // Numeric characters (all of Unicode's N) stand alone, before GPT-2's rule is applied.
  smollm: { ...gpt2, preTokenizer: sequence(isolate('\\p{N}'), gpt2Words) },
  'llama-bpe': llama3,
  llama3,
  'llama-v3': llama3,
  qwen2: {
    normalizer: { type: 'NFC' },
    preTokenizer: llama3Words('\\p{N}'),
    ignoreMerges: false,
    addBos: false,
  },
};

/** Tokens that end a turn or a text in the models that have them; files do not always name them all. */
const endTokens = [
  '<|im_end|>',
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end_of_text|>',
  '<|endoftext|>',
  '</s>',
  '<|end|>',
];

/**
 * What a GGUF file says about text, in Hugging Face's terms. Throws a ColophonError that names the key at fault where the
 * tokenizer is of a kind that is not supported or its lists contradict each other.
 */
export function textDefinitionOfGguf(metadata: Record<string, GgufMetadataValue>): TextDefinition {
  const read = reader(metadata);
  const tokens = read.strings('tokenizer.ggml.tokens');
  if (!tokens || tokens.length === 0) throw unusable('it has no tokens (tokenizer.ggml.tokens)');
  const types = read.numbers('tokenizer.ggml.token_type') ?? [];
  if (types.length > 0 && types.length !== tokens.length) {
    throw unusable(`it has ${tokens.length} tokens but ${types.length} entries in tokenizer.ggml.token_type`);
  }
  const model = read.string('tokenizer.ggml.model');
  const special = (name: string) => {
    const id = read.number(`tokenizer.ggml.${name}_token_id`);
    if (id === undefined) return undefined;
    if (tokens[id] === undefined) {
      throw unusable(`tokenizer.ggml.${name}_token_id is ${id}, but its ids are 0 to ${tokens.length - 1}`);
    }
    return { id, content: tokens[id] };
  };
  const bos = special('bos');
  const eos = special('eos');
  const ends = [eos, special('eot'), special('eom')].flatMap((token) => (token ? [token.id] : []));
  // A file may leave the types out, or give its own beginning and ends as ordinary words.
  const turnIds = new Set([...(bos ? [bos.id] : []), ...ends]);
  const addedTokens = tokens.flatMap((content, id) => {
    const control = types[id] === TokenType.control || turnIds.has(id);
    if (!control && types[id] !== TokenType.userDefined) return [];
    return [
      { id, content, special: control, normalized: false, lstrip: false, rstrip: false, single_word: false },
    ];
  });
  const namedEnds = addedTokens.filter((token) => token.special && endTokens.includes(token.content));
  const endTokenIds = [...new Set([...ends, ...namedEnds.map((token) => token.id)])];

  const rule =
    model === 'gpt2'
      ? byteLevelModel(read, tokens)
      : model === 'llama'
        ? sentencePieceModel(read, tokens)
        : undefined;
  if (!rule) {
    throw unusable(
      `tokenizer.ggml.model is ${JSON.stringify(model ?? null)}; "gpt2" and "llama" are supported`,
    );
  }
  const addBos = read.boolean('tokenizer.ggml.add_bos_token') ?? rule.addBos;
  const addEos = read.boolean('tokenizer.ggml.add_eos_token') ?? false;
  const chatTemplate = read.string('tokenizer.chat_template');
  const unknown = special('unknown');
  const padding = special('padding');
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens,
      ...rule.tokenizer,
      post_processor: around(addBos ? bos : undefined, addEos ? eos : undefined),
    },
    tokenizerConfig: {
      ...(bos ? { bos_token: bos.content } : {}),
      ...(eos ? { eos_token: eos.content } : {}),
      ...(unknown ? { unk_token: unknown.content } : {}),
      ...(padding ? { pad_token: padding.content } : {}),
      add_bos_token: addBos,
      add_eos_token: addEos,
      clean_up_tokenization_spaces: false,
      ...(chatTemplate === undefined ? {} : { chat_template: chatTemplate }),
    },
    chatTemplate,
    endTokenIds,
    vocabularySize: tokens.length,
  };
}

/** The parts of a tokenizer.json that depend on the kind of model. */
interface ModelParts {
  tokenizer: {
    normalizer: Component | null;
    pre_tokenizer: Component | null;
    decoder: Component;
    model: Component;
  };
  addBos: boolean;
}

function byteLevelModel(read: Reader, tokens: string[]): ModelParts {
  const pre = read.string('tokenizer.ggml.pre') ?? 'default';
  const rule = Object.hasOwn(wordRules, pre) ? wordRules[pre] : undefined;
  if (!rule) {
    const known = Object.keys(wordRules).join(', ');
    throw unusable(
      `tokenizer.ggml.pre is ${JSON.stringify(pre)}, a rule for words that is not known here (known: ${known})`,
    );
  }
  const merges = read.strings('tokenizer.ggml.merges');
  if (!merges) throw unusable('it has no merges (tokenizer.ggml.merges)');
  return {
    tokenizer: {
      normalizer: rule.normalizer,
      pre_tokenizer: rule.preTokenizer,
      decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      // unk_token stays null: bytes without a token vanish, as in transformers.
      model: {
        type: 'BPE',
        unk_token: null,
        ignore_merges: rule.ignoreMerges,
        vocab: vocabulary(tokens),
        merges,
      },
    },
    addBos: rule.addBos,
  };
}

/** SentencePiece's BPE, which joins the pair whose union scores highest; its union's score gives a merge its rank. */
function sentencePieceModel(read: Reader, tokens: string[]): ModelParts {
  const scores = read.numbers('tokenizer.ggml.scores');
  if (!scores || scores.length !== tokens.length) {
    throw unusable(
      `it has ${tokens.length} tokens but ${scores?.length ?? 0} entries in tokenizer.ggml.scores`,
    );
  }
  const types = read.numbers('tokenizer.ggml.token_type') ?? [];
  const vocab = vocabulary(tokens);
  const isWord = (id: number | undefined) => id !== undefined && (types[id] ?? 1) === 1;
  const merges: Array<{ left: string; right: string; score: number; leftId: number; rightId: number }> = [];
  for (const [id, token] of tokens.entries()) {
    if (!isWord(id)) continue;
    for (let at = 1; at < token.length; at++) {
      const left = token.slice(0, at);
      const right = token.slice(at);
      const leftId = vocab[left];
      const rightId = vocab[right];
      if (isWord(leftId) && isWord(rightId))
        merges.push({ left, right, score: scores[id]!, leftId: leftId!, rightId: rightId! });
    }
  }
  merges.sort((a, b) => b.score - a.score || a.leftId - b.leftId || a.rightId - b.rightId);
  const unknown = tokens[read.number('tokenizer.ggml.unknown_token_id') ?? -1];
  const prefix = read.boolean('tokenizer.ggml.add_space_prefix') ?? true;
  const spaces: Component = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  return {
    tokenizer: {
      normalizer: prefix
        ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, spaces] }
        : { type: 'Sequence', normalizers: [spaces] },
      pre_tokenizer: null,
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
        ],
      },
      model: {
        type: 'BPE',
        unk_token: unknown ?? null,
        fuse_unk: true,
        byte_fallback: true,
        ignore_merges: false,
        vocab,
        merges: merges.map(({ left, right }) => [left, right]),
      },
    },
    addBos: true,
  };
}

/** Without a prototype: a token may be named __proto__. */
function vocabulary(tokens: string[]): Record<string, number> {
  const vocab: Record<string, number> = Object.create(null) as Record<string, number>;
  for (const [id, token] of tokens.entries()) vocab[token] ??= id;
  return vocab;
}

function around(
  before: { id: number; content: string } | undefined,
  after: { id: number; content: string } | undefined,
): Component | null {
  if (!before && !after) return null;
  const piece = (token: { content: string } | undefined) =>
    token ? [{ SpecialToken: { id: token.content, type_id: 0 } }] : [];
  const single = [...piece(before), { Sequence: { id: 'A', type_id: 0 } }, ...piece(after)];
  const special_tokens = Object.fromEntries(
    [before, after].flatMap((token) =>
      token ? [[token.content, { id: token.content, ids: [token.id], tokens: [token.content] }]] : [],
    ),
  );
  return { type: 'TemplateProcessing', single, pair: single, special_tokens };
}

function sequence(...pretokenizers: Component[]): Component {
  return { type: 'Sequence', pretokenizers };
}

function isolate(regex: string): Component {
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false };
}

function unusable(why: string): ColophonError {
  return new ColophonError(`The GGUF file's tokenizer cannot be used: ${why}.`, {
    type: 'server_error',
    code: 'bad_model',
  });
}

type Reader = ReturnType<typeof reader>;

/** Typed looks at metadata; a value of the wrong type is named. */
function reader(metadata: Record<string, GgufMetadataValue>) {
  const get = <Value>(
    key: string,
    expected: string,
    is: (value: unknown) => value is Value,
  ): Value | undefined => {
    const value: unknown = Object.hasOwn(metadata, key) ? metadata[key] : undefined;
    if (value === undefined || is(value)) return value;
    throw unusable(`${key} is not ${expected}`);
  };
  const isNumber = (value: unknown) => typeof value === 'number';
  const isString = (value: unknown) => typeof value === 'string';
  return {
    string: (key: string) => get(key, 'a string', isString),
    number: (key: string) => get(key, 'a number', isNumber),
    boolean: (key: string) => get(key, 'a boolean', (value) => typeof value === 'boolean'),
    strings: (key: string) =>
      get(
        key,
        'a list of strings',
        (value): value is string[] => Array.isArray(value) && value.every(isString),
      ),
    numbers: (key: string) =>
      get(
        key,
        'a list of numbers',
        (value): value is number[] => Array.isArray(value) && value.every(isNumber),
      ),
  };
}
