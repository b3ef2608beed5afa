/** What the server's thread and that of the store tell each other. */
import { deserialize, serialize } from 'node:v8';
import type { ErrorType, MeteredFinish } from '../../../gateway/contract/index.ts';
import type { ReceiptChoice } from '../receipts/receipt.ts';
import type { Pending } from './journal.ts';

/** As its receipt says it, but for what is said of the grammar by a commitment. */
export type AskedChoice = Omit<NonNullable<ReceiptChoice['request']>, 'grammar'>;

/** What is known of an answer before it begins, beside its tokens. */
export interface AnswerAbout {
  response: string;
  tenant: string;
  key: string;
  model: string;
  base: { name: string; sha256: string | null };
  adapter: { name: string; sha256: string | null; folder: string } | null;
  engine: { backend: string; version: string | null; precision: string | null };
  /** What was asked of each choice, which of `prompts` it goes on from, and which of `grammars` keeps it. */
  choices: Array<{ prompt: number; grammar?: number; request?: AskedChoice }>;
}

export interface BegunAnswer {
  number: number;
  about: AnswerAbout;
  /** Token ids; choices of one prompt share it. */
  prompts: Int32Array[];
  /** JSON; mostly of all choices one, or none. */
  grammars: string[];
  /** Unix milliseconds. */
  began: number;
}

export interface EndedAnswer {
  number: number;
  ended: number;
  /** Tokens that left, and how it ended. */
  choices: Array<{ handed: number; finish: MeteredFinish }>;
}

/** What becomes durable together: what a record of the journal says. */
export interface Group {
  /** Unix milliseconds. */
  at: number;
  begun: BegunAnswer[];
  /** Tokens of a step, one run after the other: answer number (low and high 32 bits), choice, cached tokens, count, ids. */
  tokens: Int32Array;
  ended: EndedAnswer[];
}

/** Of a run in `Group.tokens`, before its ids. */
export const runHead = 5;

export const encodeGroup = (group: Group): Uint8Array => serialize(group);
export const decodeGroup = (record: Uint8Array): Group => deserialize(record) as Group;

/**
 * What went wrong: `full` can be tried again once there is room, `refused` was asked wrongly (`error`: what a client is told); after
 * `broken` the store must not go on.
 */
export interface StoreFault {
  kind: 'full' | 'broken' | 'refused';
  sentence: string;
  error?: { type: ErrorType; code: string | null; param: string | null };
}

export type Asked = { id: number } & ({ apply: Pending } | { call: string; given: unknown });

export type Answered = { id: number } & ({ result: unknown } | { fault: StoreFault });

/** Not an answer: something that whoever runs the server is to know, or to stop for. */
export interface Told {
  told: 'warning' | 'broken';
  sentence: string;
}
