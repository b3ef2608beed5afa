/**
 * What generates tokens. A backend speaks token ids; text (templates, tokenizing, stop strings) is the gateway's.
 */

import type { TokenMatch } from './attribution.ts';
import type { EngineIdentity } from './metering.ts';

/** One model that can be asked for by name: the base, or an adapter on it. */
export interface ModelCard {
  id: string;
  /** Unix seconds. */
  created: number;
  ownedBy: string;
  /** Path or source of the weights. */
  root: string;
  /** The base's id, for an adapter; null for a base. */
  parent: string | null;
  /** Where an adapter's weights are now. */
  residency?: 'disk' | 'loading' | 'ram' | 'failed';
  /** SHA-256 of the content, hex. */
  contentHash?: string;
  /** Longest prompt + completion, tokens. */
  maxModelLength: number;
}

/** How a model's text becomes tokens: what its files say, in Hugging Face's terms. */
export interface TextDefinition {
  /** The content of a tokenizer.json, as an object. */
  tokenizer: Record<string, unknown>;
  /** The content of a tokenizer_config.json; chat_template may be a string or absent. */
  tokenizerConfig: Record<string, unknown>;
  chatTemplate: string | undefined;
  /** Ids that end a generation. */
  endTokenIds: number[];
  vocabularySize: number;
}

export interface Sampling {
  temperature: number;
  topP: number;
  topK: number;
  minP: number;
  repetitionPenalty: number;
  presencePenalty: number;
  frequencyPenalty: number;
  logitBias?: Array<[id: number, bias: number]>;
  seed: bigint;
}

export interface GenerateRequest {
  /** As the client named it; the backend resolves it. */
  model: string;
  prompt: number[];
  maxTokens: number;
  minTokens: number;
  ignoreEnd: boolean;
  /** Beyond the model's own end ids. */
  stopTokenIds: number[];
  sampling: Sampling;
  /** Top log-probabilities for generated tokens, 0..20; undefined: none. */
  logprobs?: number;
  /** The same for the prompt's tokens, from the second on. */
  promptLogprobs?: number;
  cacheSalt?: string;
  /** Who asks; a backend shares itself fairly among tenants. */
  tenant?: string;
  /** Lower values first, as vLLM has it; default 0. */
  priority?: number;
  /** Wants the token parts' `state`. */
  answerStates?: boolean;
  /** Which tokens may come; only where the backend says that it obeys constraints. */
  constraint?: TokenConstraint;
  /**
   * Makes tokens durable that nobody may have before. A backend may call it of each token, in order, and give these once it resolves: what
   * a step made for all generations is then recorded before it is told apart, and wakes them together. Where it rejects, that ends the
   * generation, and the tokens are given to nobody. Where the backend leaves it, whoever reads the tokens calls it. `cached`: prompt
   * tokens that came from the prefix cache.
   */
  record?(ids: readonly number[], cached: number): Promise<void>;
}

/**
 * Which tokens a generation may have, made by the gateway from a grammar. In a mask bit `id % 32` of word `id >> 5` is set
 * where the token `id` may come next; it has ceil(vocabularySize / 32) words, and allows at least one token. A token that it
 * does not allow counts as impossible before anything else about sampling; the log-probabilities that are reported stay the model's.
 * Where `minTokens` forbids all that a mask allows, the mask holds.
 */
export interface TokenConstraint {
  /** For the first generated token. */
  readonly first: Uint32Array;
  /**
   * For the token after `id`. The backend calls it once for each generated token, in order, but for the one that ends the
   * generation. Rejects where the constraint can no longer be followed; that ends the generation.
   */
  next(id: number): Promise<Uint32Array>;
}

export interface TokenLogprob {
  logprob: number;
  /** 1 = the most likely of the vocabulary. */
  rank: number;
  top: Array<{ id: number; logprob: number }>;
}

export type GenerateFinish = 'stop' | 'length';

/** Parts of a generation, in order: prompt (where asked for), token..., finish. Failures are thrown as ColophonError. */
export type GeneratePart =
  | {
      type: 'prompt-logprobs' /** entry i belongs to prompt token i; the first is null */;
      tokens: Array<TokenLogprob | null>;
    }
  | {
      type: 'token';
      id: number;
      logprob?: TokenLogprob;
      /** On the first token: prompt tokens that came from the prefix cache, known even if no finish follows (a stop string). */
      cachedTokens?: number;
      /** Of the tokens generated so far, this one last, the longest end that the adapter's trace index has; absent: none. */
      match?: TokenMatch;
      /** Where it was asked for and the backend has it: the hidden state that the token was drawn from, not normalised. */
      state?: Float32Array;
    }
  | {
      type: 'finish';
      reason: GenerateFinish;
      /** The id that ended it (it was emitted as a token part too), where one did. */
      stopTokenId?: number;
      usage: { promptTokens: number; cachedTokens: number; completionTokens: number };
    };

/** A base's files, as the native trainer opens them. */
export type BaseWeights =
  | { format: 'gguf'; path: string }
  | { format: 'safetensors'; paths: string[]; hyperparameters: Record<string, unknown> };

export interface EmbedRequest
  extends Pick<GenerateRequest, 'model' | 'prompt' | 'cacheSalt' | 'tenant' | 'priority'> {
  /** Of the model's last hidden states: the mean over the prompt's tokens, or that of the last one. */
  pool: 'mean' | 'last';
}

export interface Embedding {
  /** As wide as the model's hidden states; not normalised. */
  values: Float32Array;
  usage: { promptTokens: number; cachedTokens: number };
}

/** What is registered under the extension point `backend`. */
export interface Backend {
  readonly name: string;
  /** Whether `GenerateRequest.constraint` is obeyed; where not, the gateway refuses requests that need it. */
  readonly constrains?: boolean;
  /** What its numbers depend on beside the weights; absent where it cannot say. */
  readonly engine?: EngineIdentity;
  /** Every model that this backend serves now. */
  models(): ModelCard[] | Promise<ModelCard[]>;
  /** One of them by name, undefined where it has none; may find an adapter in a folder that was not listed yet. */
  model(id: string): Promise<ModelCard | undefined>;
  /** The text definition of a model (adapters share their base's). */
  text(id: string): Promise<TextDefinition>;
  /**
   * Starts at once and yields batches of parts as steps produce them. `signal` (or leaving the loop) ends the generation
   * within one step and frees its pages. Throws ColophonError.
   */
  generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<GeneratePart[]>;
  /**
   * The pooled state of a prompt of 1 to maxModelLength tokens, the same whatever else is running; absent where the backend
   * cannot. `signal` ends the work and rejects with its reason; other failures are thrown as ColophonError.
   */
  embed?(request: EmbedRequest, signal: AbortSignal): Promise<Embedding>;
  /** Where a base's weights lie on this machine, for those who train on them; absent where they do not. */
  weights?(id: string): Promise<BaseWeights | undefined>;
  /** Adapters that come and go by call; absent where the backend cannot. */
  adapters?: {
    /** `pin`: it stays in memory until it is unloaded, or loaded again with false; left out, a replaced one's pin is kept. */
    load(name: string, path: string, options: { replace: boolean; pin?: boolean }): Promise<ModelCard>;
    unload(name: string): Promise<void>;
  };
  /** Ready to serve; where not, a sentence says why. */
  health(): { ready: boolean; detail?: string };
  close(): Promise<void>;
}
