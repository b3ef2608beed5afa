/** Who taught a model what it says: what attributors are told of a generation, and what they make of it. */
import type { ModelCard } from './backend.ts';

/** A run of tokens that occurs in what an adapter was trained on: how long it is, and the rows of its occurrences in the trace index. */
export interface TokenMatch {
  length: number;
  row: number;
  count: number;
}

/** Who gave a line of a file of examples. */
export interface ExampleOrigin {
  /** SHA-256 of the example's canonical form, hex. */
  example: string;
  contribution: string;
  contributor: string;
  /** Examples of one cluster say nearly the same; one that is alone has one of its own. */
  cluster: string;
  /** When its contribution was given, Unix seconds. */
  given: number;
}

/** What an attributor is told of a generation before it begins. */
export interface FollowedGeneration {
  /** Id of the response that it is a choice of. */
  response: string;
  choice: number;
  tenant: string;
  /** An adapter. */
  model: ModelCard;
  /** Token ids. */
  prompt: readonly number[];
  /** Whether its reader is shown what `token` finds. */
  traces: boolean;
}

/** Of one token: the longest run of generated tokens that ends with it and that the adapter's examples have. */
export interface TokenTrace {
  /** Tokens of the run; 0: no example has the token. */
  length: number;
  occurrences: number;
  /** Some of the examples that have it, by their numbers in the adapter's corpus. */
  examples: number[];
}

/** Generated tokens [start, end) that the examples have as a run, and no longer run around it. */
export interface TracedSpan {
  start: number;
  end: number;
  occurrences: number;
  /** Natural logarithm of the product of its tokens' frequencies in the corpus: lower is rarer. */
  logFrequency: number;
  examples: number[];
}

/** What is known of a whole generation when its last token comes; its shares are settled after it. */
export interface Followed {
  status: 'settling' | 'unattributed';
  /** Why nobody is named. */
  reason?: string;
  /** Tokens inside of spans. */
  matchedTokens: number;
  /** In the order of the answer; all of them where traces are shown, none needed where not. */
  spans: TracedSpan[];
}

/** Follows one generation. Nothing of it throws: what goes wrong makes the generation unattributed. */
export interface Following {
  /** Whether `token` makes use of the state that a token was drawn from. */
  readonly wantsStates: boolean;
  /** Takes the tokens in order, and keeps no `state`; what it says of one only matters where traces are shown. */
  token(id: number, match: TokenMatch | undefined, state?: Float32Array): TokenTrace | undefined;
  /** Once, however it ended; `cut`: before its end, by whoever asked or by a failure. */
  end(finish: 'stop' | 'length' | 'cut'): Followed;
}

/** What a generation was settled to, in millionths of a token: base, pool and contributors sum to `total`. */
export interface SettledShares {
  /** How deep it was looked: 1 is what generating gives for nothing. */
  level: number;
  /** The method whose scores it rests on beside spans; null: on none. */
  influence: string | null;
  /** SHA-256 of the policy that made shares of the evidence, hex. */
  policy: string;
  total: number;
  base: number;
  pool: number;
  /** By id. */
  contributors: Array<{
    contributor: string;
    micro: number;
    contributions: Array<{ contribution: string; micro: number }>;
  }>;
  /** Why nobody is named. */
  unattributed?: string;
}

/** Why a response was settled again. */
export type AgainReason = 'asked' | 'dispute' | 'sample';

/** What a response was settled to again, deeper than first. */
export interface SettledAgain {
  why: AgainReason;
  /** Of a sample: one response in so many is drawn, each as likely, and stands for them. 1 where somebody asked. */
  times: number;
  /** What is not here stays as it was settled first. */
  choices: Array<{ choice: number; shares: SettledShares }>;
}

/** Settles some responses a second time, deeper than all are. */
export interface SettlesAgain {
  /**
   * Responses of which a choice was settled again, or could not be, in that order: at most so many of those after a place. One comes
   * as often as that happened; places only grow.
   */
  since(place: number, most: number): Promise<Array<{ place: number; response: string }>>;
  /** Undefined while a choice of it waits for it, and where none was. */
  of(response: string): Promise<SettledAgain | undefined>;
  /** Has a response settled again; resolves when it is, or cannot be. One that waits as drawn is drawn no more. */
  settle(response: string, why: Exclude<AgainReason, 'sample'>): Promise<void>;
  /** Is called whenever `since` has more. */
  watch(more: () => void): void;
}

/** What is registered under the extension point `attributor`. */
export interface Attributor {
  /** Never rejects. */
  follow(generation: FollowedGeneration): Promise<Following>;
  /** What a followed generation that ended is settled to, once it is; undefined where nothing is known of it. */
  settled(response: string, choice: number): Promise<SettledShares | undefined>;
  /** Absent: what was settled stays. */
  readonly again?: SettlesAgain;
}
