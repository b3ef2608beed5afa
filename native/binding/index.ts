/**
 * The typed face of the native engine. `native/binding/*.cc` is the only code that knows Node-API; this is the only
 * code that loads it. The engine knows token ids and tensors, never text, HTTP or JSON.
 */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type Isa = 'reference' | 'avx2' | 'avx512';
export type Precision = 'int8' | 'float32';
export type LinearName = 'q' | 'k' | 'v' | 'o' | 'gate' | 'up' | 'down';

/** Every error the engine throws carries one of these as `code`; its message is a sentence for people. */
export type NativeErrorCode =
  | 'invalid_argument'
  | 'not_found'
  | 'bad_model'
  | 'bad_adapter'
  | 'resource_exhausted'
  | 'unsupported'
  | 'internal';

export interface EngineOptions {
  model:
    | { format: 'gguf'; path: string }
    | { format: 'safetensors'; paths: string[]; hyperparameters: Hyperparameters };
  /** Default: the fastest that the machine runs. */
  isa?: Isa;
  /** Default int8. */
  precision?: Precision;
  /** Compute threads, the engine's own loop included. Default: the number of cores. */
  threads?: number;
  /** Budget of the KV pages, bytes. */
  kvBytes: number;
  /** Budget of resident adapters, bytes. */
  adapterBytes: number;
  /** Pages and adapters may borrow what the other does not use of its budget, until it needs it. Default false. */
  lendMemory?: boolean;
  /** Adapters that are read into memory at once at most. Default 2. */
  adapterLoaders?: number;
  /** Folder in which adapters that were read are kept as they lie in memory, so that they are read fast. Default: none. */
  packedDir?: string;
  /** What packedDir may take; the longest unused go first. Default 32 GiB. */
  packedBytes?: number;
  /** Tokens one step computes at most (decode and prefill together); the size of a prefill chunk. Default 512. */
  stepTokens?: number;
  /** Sequences that run at once at most. Default 256. */
  maxSequences?: number;
  /** Longest sequence, at most the model's own context (default). */
  maxContext?: number;
  /** Reuse pages of equal prefixes. Default true. */
  prefixCache?: boolean;
  /** Verify guesses at the next tokens, taken from the sequence's own text, where that pays; changes no result. Default true. */
  speculate?: boolean;
}

/** Shape of a safetensors base, from its config.json. */
export interface Hyperparameters {
  architecture: string;
  layers: number;
  hidden: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  feedForward: number;
  vocabulary: number;
  context: number;
  ropeBase: number;
  ropeScaling?:
    | { kind: 'linear'; factor: number }
    | {
        kind: 'llama3';
        factor: number;
        lowFreqFactor: number;
        highFreqFactor: number;
        originalContext: number;
      };
  normEps: number;
  tiedHead: boolean;
  /** Default 1 / sqrt(headDim). */
  attentionScale?: number;
  /** Layers whose rows see only so many positions, their own included; `ropeBase` where theirs is another. */
  window?: { positions: number; layers: boolean[]; ropeBase?: number };
}

export interface EngineInfo {
  isa: Isa;
  precision: Precision;
  threads: number;
  /** SHA-256 of the base's file(s), hex: the root of prefix keys and part of every receipt. */
  baseHash: string;
  hyperparameters: Hyperparameters;
  maxContext: number;
  weightBytes: number;
  kvBytes: number;
  kvPages: number;
  pageTokens: number;
  adapterBytes: number;
}

export interface AdaptedModule {
  layer: number;
  linear: LinearName;
  rank: number;
  /** alpha / r, or alpha / sqrt(r). */
  scaling: number;
  dora: boolean;
}

export interface AdapterSpec {
  /** For messages. */
  name: string;
  /** adapter_model.safetensors */
  tensorsPath: string;
  /** SHA-256 that identifies the adapter's content, 64 hex digits. */
  contentHash: string;
  /** SHA-256 of the file at tensorsPath, 64 hex digits: a load of any other content is refused. */
  tensorsHash?: string;
  /** Its trace index, in which the tokens that it generates are looked for. One that cannot be used is warned of. */
  tracePath?: string;
  modules: AdaptedModule[];
}

/** loading: asked for, not there yet. disk: registered, not in memory. ram: resident. failed: its last load failed. */
export type Residency = 'disk' | 'loading' | 'ram' | 'failed';

export interface AdapterState {
  residency: Residency;
  /** Bytes resident, or needed. */
  bytes: number;
  /** Sequences waiting for it or running on it. */
  uses: number;
  loads: number;
  evictions: number;
  /** Of all its loads together. */
  loadSeconds: number;
  pinned: boolean;
}

export interface SamplingOptions {
  /** 0: greedy. */
  temperature: number;
  topP: number;
  /** 0: all. */
  topK: number;
  minP: number;
  repetitionPenalty: number;
  presencePenalty: number;
  frequencyPenalty: number;
  /** Token ids and what is added to their logits. */
  logitBias?: Array<[number, number]>;
  /** 64-bit seed; the draw at position i depends on (seed, i) alone. */
  seed: bigint;
}

export interface SequenceRequest {
  prompt: Int32Array | number[];
  /** A handle of registerAdapter; undefined: the base. */
  adapter?: number;
  maxTokens: number;
  /** Before this many tokens neither stop ids nor the end token may be drawn. */
  minTokens?: number;
  sampling: SamplingOptions;
  /** Generation ends when one of these is drawn; it is reported, with finish 'stop'. The caller puts the model's end ids here. */
  stopTokenIds: number[];
  /** Top log-probabilities reported for each generated token, 0..20; undefined: none at all, not even the token's own. */
  logprobs?: number;
  /** The same for prompt tokens (from the second on). Disables prefix reuse for this sequence. */
  promptLogprobs?: number;
  /** Isolates the prefix cache. */
  cacheSalt?: string;
  /** Tenants share the engine fairly, whatever each of them asks for. Default: the one without a name. */
  tenant?: string;
  /** 32 bits; lower values first, default 0. */
  priority?: number;
  /**
   * Constrains the sequence: bit `id % 32` of word `id >> 5` is set where the first generated token may be `id`; each later
   * token waits for its own mask, from setMask. ceil(vocabulary / 32) words.
   */
  mask?: Uint32Array;
  /** Wants StepResult's `states` of its tokens. */
  answerStates?: boolean;
}

/** A sequence whose result is the pooled hidden state of its prompt (StepResult.pooled): it draws no token. */
export interface PoolRequest
  extends Pick<SequenceRequest, 'prompt' | 'adapter' | 'cacheSalt' | 'tenant' | 'priority'> {
  /** The mean over the prompt's tokens (which disables prefix reuse for this sequence), or the last token's state. */
  pool: 'mean' | 'last';
}

export const FinishReason = {
  none: 0,
  stop: 1,
  length: 2,
  cancelled: 3,
  error: 4,
  pooled: 5,
} as const;

/**
 * What one step gave, all sequences together, as columns. Entry i is either a token or only a finish.
 * Arrays belong to the receiver.
 */
export interface StepResult {
  /** Sequence of entry i, as submit() returned it. */
  sequence: Uint32Array;
  /** The token; -1 where the entry carries only a finish (cancelled, error, pooled). */
  token: Int32Array;
  /** Its index in the sequence; below the prompt's length it is a prompt token with its log-probability. */
  position: Int32Array;
  /** FinishReason; anything but none is the sequence's last entry. */
  finish: Uint8Array;
  /** The token's own log-probability, NaN where not asked for. */
  logprob: Float32Array;
  /** Its rank in the vocabulary (1 = most likely), 0 where not asked for. */
  rank: Int32Array;
  /** Prompt tokens that came from the prefix cache; set on the first generated token's entry and on a pooled one, else 0. */
  cachedTokens: Int32Array;
  /** Seconds from submit() to the sequence's first rows; set where cachedTokens is, else 0. */
  queueSeconds: Float32Array;
  /** Entry i's top log-probabilities are [topOffset[i], topOffset[i+1]) of the next two. */
  topOffset: Uint32Array;
  topToken: Int32Array;
  topLogprob: Float32Array;
  /** By sequence, the states of entries that finished with pooled: as wide as the model's hidden rows, not normalised. */
  pooled?: Array<{ sequence: number; values: Float32Array }>;
  /**
   * What tokens were drawn from, of sequences that asked: entry i's is row `row[i]` of `values`, -1 where it has none; `width` is
   * that of the model's hidden rows, which are not normalised. Absent: there is none.
   */
  states?: { row: Int32Array; width: number; values: Float32Array };
  /** Of the tokens generated so far, entry i's last, the longest end that its adapter's trace index has. Absent: none has any. */
  match?: TraceMatches;
  /** Sentences for entries that finished with error, by sequence. */
  errors?: Array<{ sequence: number; code: NativeErrorCode; message: string }>;
  /** Sentences for whoever runs the server: what went wrong without a sequence failing. */
  warnings?: string[];
}

export interface EngineStats {
  waiting: number;
  waitingForAdapter: number;
  running: number;
  pagesTotal: number;
  /** Held by running sequences. */
  pagesUsed: number;
  /** Held only by the prefix cache; given up when needed. */
  pagesCached: number;
  steps: number;
  promptTokens: number;
  cachedTokens: number;
  generatedTokens: number;
  preemptions: number;
  /** Guessed ahead of their steps, and of these right. */
  draftedTokens: number;
  acceptedTokens: number;
  adaptersRegistered: number;
  adaptersResident: number;
  adapterBytesUsed: number;
  /** Kept for pinned adapters, resident or not. */
  adapterBytesPinned: number;
  adapterLoads: number;
  /** Of all loads together. */
  adapterLoadSeconds: number;
  adapterEvictions: number;
  /** Loads from packedDir, adapters written there, found damaged there, and not written for want of space or rights. */
  adapterPackedLoads: number;
  adapterPackedSaves: number;
  adapterPackedDamaged: number;
  adapterPackedUnsaved: number;
  stepSeconds: number;
}

export interface NativeEngine {
  info(): EngineInfo;
  stats(): EngineStats;
  /**
   * Checks the adapter's file against the base (shapes, names, types; no weights are read) and registers it.
   * Rejects with code bad_adapter or not_found. The weights are loaded when a sequence first needs them.
   */
  registerAdapter(spec: AdapterSpec): Promise<number>;
  /** Sequences on it finish first; then its memory is freed. Resolves at once: the handle takes no new sequence. */
  unregisterAdapter(handle: number): void;
  /** Asks for residency ahead of use; resolves when resident, rejects when the load fails. */
  loadAdapter(handle: number): Promise<void>;
  /**
   * Once resident it is never evicted, until it is unpinned or unregistered. Throws with code resource_exhausted where the
   * pinned adapters would take more than adapterBytes.
   */
  pinAdapter(handle: number): void;
  unpinAdapter(handle: number): void;
  adapterState(handle: number): AdapterState;
  /** Queues a sequence; throws with code invalid_argument on a bad value (empty prompt, ids outside the vocabulary, prompt + 1 > context). */
  submit(request: SequenceRequest | PoolRequest): number;
  /** Ends within one step, with an entry of finish cancelled; unknown or finished ids are ignored. */
  cancel(sequence: number): void;
  /**
   * The mask of a constrained sequence's token at `position` (StepResult's). No step waits for it; sequences that have ended
   * are ignored. Throws with code invalid_argument where it has another number of words than the vocabulary needs.
   */
  setMask(sequence: number, position: number, mask: Uint32Array): void;
  /** Called once a step on the JavaScript thread. Set it before the first submit. */
  onStep(listener: (result: StepResult) => void): void;
  /** Cancels everything, stops the loop, frees the memory. */
  close(): Promise<void>;
}

/** A linear of a layer, as an adapter changes it. */
export interface TrainedModule {
  layer: number;
  linear: LinearName;
  rank: number;
  /** alpha / rank, or alpha / sqrt(rank). */
  scaling: number;
}

export interface TrainerOptions {
  model: EngineOptions['model'];
  isa?: Isa;
  /** Default: the number of cores. */
  threads?: number;
  modules: TrainedModule[];
  /** Tokens that are computed at once; also the longest example. Default 1024. */
  maxRows?: number;
  /** What a backward pass keeps of the forward pass; the rest it computes again. Default 256 MiB. */
  activationBytes?: number;
  /** AdamW's; default 0.9, 0.999, 1e-8, 0. */
  optimizer?: { beta1: number; beta2: number; epsilon: number; weightDecay: number };
}

export interface TrainerInfo {
  isa: Isa;
  threads: number;
  baseHash: string;
  hyperparameters: Hyperparameters;
  /** With where A ([rank][in]) and B ([rank][out]: PEFT's, transposed) begin among the adapter's values. */
  modules: Array<TrainedModule & { in: number; out: number; a: number; b: number }>;
  /** How many values the adapter has. */
  values: number;
  /** Of memory: weights, activations, adapter, gradients, moments. */
  bytes: number;
}

export interface TrainingExample {
  tokens: Int32Array;
  /** How much each token is learned as what follows those before it; the first is 0. */
  weights: Float32Array;
}

export interface ExampleLoss {
  /** Sum of weight * -log p(target), nats. */
  loss: number;
  weight: number;
  targets: number;
  /** Targets that were the likeliest token. */
  greedy: number;
}

/** Two answers to one prompt; their targets are the answers' tokens. */
export interface PreferencePair {
  preferred: TrainingExample;
  other: TrainingExample;
}

export interface PreferenceStep {
  /** Mean of -log sigmoid(margin), nats, before the step. */
  loss: number;
  gradientNorm: number;
  /** Pairs whose margin is above 0. */
  ranked: number;
  /** beta * (how much likelier than by the base the preferred one is, less the other's). */
  margins: Float64Array;
}

/** A base, a LoRA on it, and AdamW, in float32. The same calls give the same bits on every machine. One call at a time. */
export interface NativeTrainer {
  info(): TrainerInfo;
  /** A uniform in +-1/sqrt(in), B zero; the same for the same seed (0 to 2^53 - 1). */
  initialise(seed: number): void;
  values(): Float32Array;
  setValues(values: Float32Array): void;
  optimizer(): { steps: number; first: Float32Array; second: Float32Array };
  restoreOptimizer(state: { steps: number; first: Float32Array; second: Float32Array }): void;
  /**
   * One step on the mean loss over all targets, by weight. `firstExample` numbers the examples for dropout. Rejects with
   * invalid_argument, and changes nothing, where the gradient is not finite.
   */
  step(
    examples: TrainingExample[],
    options: { learningRate: number; clip?: number; dropout?: number; seed?: number; firstExample?: number },
  ): Promise<{ losses: ExampleLoss[]; gradientNorm: number }>;
  /** One step of direct preference optimisation (arXiv 2305.18290) against the base without the adapter. */
  prefer(
    pairs: PreferencePair[],
    beta: number,
    options: { learningRate: number; clip?: number; dropout?: number; seed?: number; firstExample?: number },
  ): Promise<PreferenceStep>;
  /** The same figures without a step; gradientNorm is 0. */
  compare(pairs: PreferencePair[], beta: number): Promise<PreferenceStep>;
  evaluate(examples: TrainingExample[]): Promise<ExampleLoss[]>;
  /** Without the adapter. */
  evaluateBase(examples: TrainingExample[]): Promise<ExampleLoss[]>;
  /** Writes adapter_model.safetensors as PEFT has it, float32; durable when it resolves. */
  save(path: string): Promise<void>;
  /** Takes the values of an adapter's file; rejects with not_found, or bad_adapter where it has not the tensors of these modules. */
  load(path: string): Promise<void>;
  /** Blocks are as wide as bytesPerExample allows (4 to 64 values); throws with invalid_argument where it does not allow 4. */
  influenceLayout(wanted: InfluenceWanted): InfluenceLayout;
  /** Rows of an influence index, of the values as they are: stateRowBytes and gradientRowBytes for each example, in order. */
  stateRows(examples: TrainingExample[], layout: InfluenceLayout): Promise<Uint8Array>;
  gradientRows(examples: TrainingExample[], layout: InfluenceLayout): Promise<Uint8Array>;
  /** The same of an answer that is asked about: its one gradient, if wanted, is that of the values as they are. */
  influenceQuery(
    example: TrainingExample,
    layout: InfluenceLayout,
    wanted: { byToken: boolean; gradient: boolean },
  ): Promise<InfluenceQuery>;
  /** Of factor * (sum of losses). */
  gradient(
    examples: TrainingExample[],
    factor: number,
  ): Promise<{ losses: ExampleLoss[]; gradient: Float32Array }>;
}

/** Runs of tokens that occur in a trace index: how many tokens, the first row of their occurrences, and how many there are; else 0. */
export interface TraceMatches {
  length: Uint32Array;
  row: Uint32Array;
  count: Uint32Array;
}

/**
 * The tokens that an adapter was trained on, mapped from a file: where runs of tokens occur in them. Rows number the places
 * of all tokens, those of a run side by side.
 */
export interface NativeTraceIndex {
  /** Tokens, examples, and bytes of the file. */
  info(): { tokens: number; examples: number; bytes: number };
  /** Reads the whole file; rejects with bad_adapter where it is damaged. */
  check(): Promise<void>;
  /** What the engine says (StepResult's match) of each token of an answer. */
  matches(tokens: Int32Array): TraceMatches;
  /** How often each token occurs. */
  counts(tokens: Int32Array): Uint32Array;
  /** The example (its number, in the order it was added) and the token in it that each of so many rows begins at. */
  places(row: number, count: number): { example: Uint32Array; offset: Uint32Array };
  /**
   * The other examples whose set of tokens, each counted once and `without` not at all, has a cosine of `least` or more with that of
   * an example. Reads all tokens.
   */
  alike(
    example: number,
    least: number,
    without?: number,
  ): Promise<{ example: Uint32Array; cosine: Float64Array }>;
}

/** Gathers the examples of a trace index. */
export interface NativeTraceIndexBuilder {
  add(tokens: Int32Array): void;
  /** Sorts and writes, off the JavaScript thread; the file is there whole or not at all. Once. */
  write(path: string, adapterHash: string): Promise<void>;
}

/** What an influence index is to hold of each example. */
export interface InfluenceWanted {
  examples: number;
  /** Of each checkpoint: the learning rates of the steps that it stands for, summed. The last checkpoint is the adapter itself. */
  rates: number[];
  /** The most that an example may take in the file. */
  bytesPerExample: number;
  /** Of the projection of gradients, 0 to 2^53 - 1. */
  seed: number;
  /** Holds gradients as AdamW scales them too, which `less` needs. */
  preconditioned: boolean;
}

export interface InfluenceLayout extends Omit<InfluenceWanted, 'bytesPerExample'> {
  hidden: number;
  /** Values that each block of a gradient (a lora_A or lora_B) is projected to, and its values before. */
  dims: number;
  blocks: number[];
  stateRowBytes: number;
  gradientRowBytes: number;
}

/**
 * How an example's share in an answer is told; of all, more is more helpful. repsim: cosine of states. grad-dot: TracIn. cosine:
 * of gradients. less: the example's gradient as AdamW scales it. datainf, logra: by the gradients' second moments, block by block. trak: by those
 * of gradients at length 1, over all blocks. loss: minus the example's own, whatever is asked about.
 */
export type InfluenceMethod =
  | 'repsim'
  | 'grad-dot'
  | 'cosine'
  | 'less'
  | 'datainf'
  | 'logra'
  | 'trak'
  | 'loss';

/** What is known of an answer, in one row or one for each token; rows add up to the answer's. */
export interface InfluenceQuery {
  rows: number;
  /** [rows][hidden] */
  states?: Float32Array;
  /** Of each checkpoint of the index, [rows][blocks * dims]; undefined where it is not known. */
  gradients?: Array<Float32Array | undefined>;
}

/** States and projected gradients of an adapter's training examples, mapped from a file. */
export interface NativeInfluenceIndex {
  info(): InfluenceLayout & { bytes: number };
  /** Reads the whole file; rejects with bad_adapter where it is damaged. */
  check(): Promise<void>;
  /** Mean losses of the examples: of the adapter, and of the base. */
  losses(): { trained: Float32Array; base: Float32Array };
  /**
   * [rows][examples]: what each row adds to the answer's score, which is the sum of them. The same bits on every machine.
   * Rejects with invalid_argument where the query has not what the method needs.
   */
  scores(method: InfluenceMethod, query: InfluenceQuery): Promise<Float64Array>;
}

/** Writes an influence index: the state row of each example, then for each checkpoint the gradient row of each example. */
export interface NativeInfluenceWriter {
  /** The next rows, or a piece of them. */
  add(rows: Uint8Array): void;
  /** The file is there whole when it resolves; rejects with invalid_argument where rows are missing. Once. */
  finish(): Promise<void>;
}

export type GgufValue = boolean | number | bigint | string | GgufValue[];

export interface NativeModule {
  createEngine(options: EngineOptions): Promise<NativeEngine>;
  /** Rejects with bad_model, unsupported (an architecture that cannot be trained) or invalid_argument. */
  createTrainer(options: TrainerOptions): Promise<NativeTrainer>;
  /** Throws with not_found, or with bad_adapter where the file is no trace index of that adapter (its content hash, hex). */
  openTraceIndex(path: string, adapterHash: string): NativeTraceIndex;
  createTraceIndexBuilder(vocabulary: number): NativeTraceIndexBuilder;
  /** Throws with not_found, or with bad_adapter where the file is no influence index of that adapter (its content hash, hex). */
  openInfluenceIndex(path: string, adapterHash: string): NativeInfluenceIndex;
  createInfluenceWriter(path: string, adapterHash: string, layout: InfluenceLayout): NativeInfluenceWriter;
  /** DataInf on whole gradients, as a measure of the projected one; blocks are their sizes. [queries][examples]. */
  exactDataInf(blocks: number[], examples: Float32Array[], queries: Float32Array[]): Promise<Float64Array>;
  /** Metadata of a GGUF file (tokenizer, chat template, shape), keys as in the file. Integers are numbers where exact. */
  readGgufMetadata(path: string): Promise<Record<string, GgufValue>>;
  /** SHA-256 of a file, hex, off the JavaScript thread. */
  hashFile(path: string): Promise<string>;
  machine(): { bestIsa: Isa; supported: Isa[]; cores: number; version: string };
}

/** Where a build may have put the addon, from this file in native/binding or in dist/native/binding. */
export function addonPath(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let up = 0; up < 6; up++) {
    if (existsSync(join(folder, 'package.json'))) return join(folder, 'build', 'Release', 'colophon.node');
    folder = dirname(folder);
  }
  throw new Error('The package.json of Colophon is not above this file; run it from a checkout.');
}

let loaded: NativeModule | undefined;

/** Loads the addon once. Throws a sentence with the remedy where it has not been built or does not fit this machine. */
export function native(): NativeModule {
  if (loaded) return loaded;
  const path = process.env.COLOPHON_ADDON ?? addonPath();
  if (!existsSync(path)) {
    throw new Error(`The native engine is not built (${path} is missing). Build it with: npm run build`);
  }
  try {
    loaded = createRequire(import.meta.url)(path) as NativeModule;
  } catch (error) {
    throw new Error(
      `The native engine at ${path} cannot be loaded (${(error as Error).message}). Build it again with: npm run build`,
    );
  }
  return loaded;
}
