/** xgrammar's WebAssembly, for a thread of its own: compiling may take seconds, and what it finds wrong aborts it. */
import { readFileSync } from 'node:fs';
import { createRequire, Module } from 'node:module';
import type * as XGrammar from '@mlc-ai/web-xgrammar';
import { byteCharacters } from '../bpe.ts';
import { type Grammar, type GrammarVocabulary, type JsonGrammar, letters } from './grammar.ts';
import { enforceable } from './json_schema.ts';

/** What is wrong with a grammar, as a sentence for its author. */
export class GrammarFault extends Error {
  /** The module is in no known state any more. */
  readonly fatal: boolean;

  constructor(sentence: string, fatal = false) {
    super(sentence);
    this.fatal = fatal;
  }
}

export interface Matcher {
  /** Undefined where the grammar does not allow the token. */
  accept(token: number): Promise<Int32Array | undefined>;
  mask(): Promise<Int32Array>;
  dispose(): void;
}

export interface CompiledGrammar {
  matcher(): Promise<Matcher>;
  dispose(): void;
}

export class GrammarEngine {
  readonly #library: typeof XGrammar;
  readonly #compiler: XGrammar.GrammarCompiler;
  readonly #info: XGrammar.TokenizerInfo;
  readonly #said: string[];
  readonly #bytes: () => number;

  private constructor(library: Library, info: XGrammar.TokenizerInfo, compiler: XGrammar.GrammarCompiler) {
    this.#library = library.exports;
    this.#said = library.said;
    this.#bytes = library.bytes;
    this.#info = info;
    this.#compiler = compiler;
  }

  static async create(vocabulary: GrammarVocabulary): Promise<GrammarEngine> {
    const library = load();
    const { TokenizerInfo, GrammarCompiler } = library.exports;
    const tokens = spell(vocabulary);
    // Every tokenizer in byte-level spelling: xgrammar takes strings, and tokens may be halves of characters.
    const info = await TokenizerInfo.createTokenizerInfo(
      tokens,
      'byte_level',
      false,
      tokens.length,
      vocabulary.endIds,
    );
    // Its own cache has no bound; ours keeps what it compiled.
    return new GrammarEngine(library, info, await GrammarCompiler.createGrammarCompiler(info, false));
  }

  /** What the module holds, in bytes; it never shrinks, but uses again what was disposed of. */
  get bytes(): number {
    return this.#bytes();
  }

  /** Throws GrammarFault. */
  async compile(grammar: Grammar): Promise<CompiledGrammar> {
    this.#said.length = 0;
    let compiled: XGrammar.CompiledGrammar;
    try {
      compiled = await this.#compile(grammar);
    } catch (error) {
      if (error instanceof GrammarFault) throw error;
      throw new GrammarFault(reason(this.#said) ?? 'it cannot be compiled.', true);
    }
    const warning = reason(this.#said);
    if (warning) {
      compiled.dispose();
      throw new GrammarFault(warning);
    }
    // It would make, and lose, another with each matcher.
    compiled.tokenizerInfo = () => this.#info;
    return {
      matcher: async () => matcherOf(await this.#library.GrammarMatcher.createGrammarMatcher(compiled)),
      dispose: () => compiled.dispose(),
    };
  }

  async #compile(grammar: Grammar): Promise<XGrammar.CompiledGrammar> {
    const compiler = this.#compiler;
    switch (grammar.kind) {
      case 'json':
        // On one line, as json.dumps writes it: free whitespace is what small models get lost in.
        return compiler.compileJSONSchema(schemaText(grammar.schema), false, -1);
      case 'regex':
        return compiler.compileStructuralTag({ type: 'regex', pattern: grammar.pattern });
      case 'choice':
        return compiler.compileStructuralTag({
          type: 'or',
          elements: grammar.choices.map((value) => ({ type: 'const_string', value })),
        });
      case 'ebnf':
        return this.#compileEbnf(grammar.text, 'root');
      case 'json-within':
        return this.#compileEbnf(await this.#ebnfOf(grammar, 'a_'), 'a_whole');
      case 'json-after': {
        const { trigger, schema, open, close, again } = grammar;
        const value = await this.#ebnfOf({ kind: 'json-within', schema, open, close }, 'a_');
        const whole = `TagDispatch((${quoted(trigger)}, a_whole), stop_eos=true, loop_after_dispatch=${again})`;
        return this.#compileEbnf(`${value}triggered ::= ${whole}\n`, 'triggered');
      }
      case 'either': {
        const prefixes = grammar.of.map((_, index) => `${letters(index)}_`);
        const texts = await Promise.all(grammar.of.map((one, index) => this.#ebnfOf(one, prefixes[index]!)));
        const roots = prefixes.map((prefix) => `${prefix}whole`).join(' | ');
        return this.#compileEbnf(`${texts.join('')}either ::= ${roots}\n`, 'either');
      }
    }
  }

  /** Rules whose names begin with `prefix`; the one of the whole is `PREFIXwhole`. */
  async #ebnfOf(grammar: JsonGrammar, prefix: string): Promise<string> {
    const schema = schemaText(grammar.schema);
    const rules = renamed(await this.#library.Testings._jsonSchemaToEBNF(schema, false, -1), prefix);
    const value = `${prefix}root`;
    if (grammar.kind === 'json') return `${rules}\n${prefix}whole ::= ${value}\n`;
    const { open, between, close } = grammar;
    const more = between === undefined ? '' : `(${quoted(between)} ${value})*`;
    return `${rules}\n${prefix}whole ::= ${quoted(open)} ${value} ${more} ${quoted(close)}\n`;
  }

  async #compileEbnf(text: string, root: string): Promise<XGrammar.CompiledGrammar> {
    const parsed = await this.#library.Grammar.fromEBNF(text, root);
    try {
      return await this.#compiler.compileGrammar(parsed);
    } finally {
      parsed.dispose();
    }
  }
}

function matcherOf(matcher: XGrammar.GrammarMatcher): Matcher {
  return {
    mask: () => matcher.getNextTokenBitmask(),
    accept: async (token) => (matcher.acceptToken(token) ? matcher.getNextTokenBitmask() : undefined),
    dispose: () => matcher.dispose(),
  };
}

/** Every rule of an EBNF under another name, so that two can be one; literals and classes of characters stay. */
function renamed(text: string, prefix: string): string {
  return text.replace(/"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|[A-Za-z_][\w.-]*/g, (token) =>
    token.startsWith('"') || token.startsWith('[') ? token : prefix + token,
  );
}

/** A literal of EBNF. */
function quoted(text: string): string {
  return JSON.stringify(text);
}

function schemaText(schema: unknown): string {
  try {
    return JSON.stringify(enforceable(schema));
  } catch (error) {
    throw new GrammarFault((error as Error).message);
  }
}

/** The first thing that it said, without the place in its source where it said so. */
function reason(said: string[]): string | undefined {
  for (const line of said) {
    const found = /^\[(?:FATAL|WARNING)\] \S+:\d+: (?:Check failed: \(.*?\) is false: )?(.+)$/su.exec(line);
    if (found) return found[1]!;
  }
  return undefined;
}

/** Each token in GPT-2's characters for bytes; nothing where no grammar can ask for it. */
function spell({ bytes, offsets, specialIds }: GrammarVocabulary): string[] {
  const special = new Set(specialIds);
  return Array.from({ length: offsets.length - 1 }, (_, id) => {
    if (special.has(id)) return '';
    let text = '';
    for (let at = offsets[id]!; at < offsets[id + 1]!; at++) text += byteCharacters[bytes[at]!]!;
    return text;
  });
}

interface WasmMemory {
  buffer: ArrayBuffer;
}

/** What is used here of a global that the types of Node leave to those of browsers. */
const { WebAssembly: wasm } = globalThis as unknown as {
  WebAssembly: {
    RuntimeError: ErrorConstructor;
    Memory: new (...given: never[]) => WasmMemory;
    instantiate(
      binary: ArrayBuffer,
      imports: object,
    ): Promise<{ instance: { exports: Record<string, unknown> } }>;
  };
};

/** What Node's own loader of CommonJS does with a file's text. */
interface CommonJsModule {
  exports: typeof XGrammar & { load(console: object, webAssembly: object): void };
  _compile(source: string, file: string): void;
}

interface Library {
  exports: typeof XGrammar;
  /** Lines that it wrote to the console. */
  said: string[];
  /** Size of its memory. */
  bytes(): number;
}

/**
 * Evaluates the package's file as the CommonJS that it is, though its package.json calls it ESM. In place of the console it
 * gets a list, since it says there what is wrong with a grammar.
 */
function load(): Library {
  const file = createRequire(import.meta.url).resolve('@mlc-ai/web-xgrammar');
  const said: string[] = [];
  const say = (line: unknown) => said.push(String(line));
  let memory: WasmMemory | undefined;
  const observed = {
    RuntimeError: wasm.RuntimeError,
    instantiate: async (binary: ArrayBuffer, imports: object) => {
      const source = await wasm.instantiate(binary, imports);
      memory = Object.values(source.instance.exports).find((value) => value instanceof wasm.Memory);
      return source;
    },
  };
  const module = new Module(file) as unknown as CommonJsModule;
  const source = readFileSync(file, 'utf8');
  module._compile(`exports.load = (console, WebAssembly) => {${source}\n};`, file);
  module.exports.load({ log: say, warn: say, error: say }, observed);
  return { exports: module.exports, said, bytes: () => memory?.buffer.byteLength ?? 0 };
}
