/** What the server's thread and that of the store tell each other. */
import type { ErrorType, MeteredFinish } from '../../../gateway/contract/index.ts';
import type { ReceiptChoice } from '../receipts/receipt.ts';
import type { Pending } from './journal.ts';
import { bytesOf, wordsOf } from './token_lists.ts';

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
  /** Of the tokens that were recorded those that are the choice's own, of these the ones that left, and how it ended. */
  choices: Array<{ made: number; handed: number; finish: MeteredFinish }>;
}

/** What becomes durable together: what a record of the journal says. */
export interface Group {
  /** Unix milliseconds. */
  at: number;
  begun: BegunAnswer[];
  /** Of a step, as TokenRuns has them. */
  tokens: Int32Array;
  ended: EndedAnswer[];
}

/** When it was (64-bit float), the count of bytes of JSON (32 bits), words of prompts and of tokens, what is said as JSON; little-endian. */
const fixedBytes = 12;

interface SaidOfGroup {
  /** Of prompts, their lengths. */
  begun: Array<Omit<BegunAnswer, 'prompts'> & { prompts: number[] }>;
  ended: EndedAnswer[];
}

/** With `room` bytes before it. One buffer and few calls: where other threads use the caches, each call costs far more than its work. */
export function encodeGroup({ at, begun, tokens, ended }: Group, room = 0): Buffer {
  const json =
    begun.length + ended.length === 0
      ? ''
      : JSON.stringify({ begun: begun.map(withLengths), ended } satisfies SaidOfGroup);
  const prompts = begun.flatMap((answer) => answer.prompts);
  const wordBytes = prompts.reduce((sum, { byteLength }) => sum + byteLength, tokens.byteLength);
  const bytes = Buffer.allocUnsafe(room + fixedBytes + wordBytes + 3 * json.length);
  let end = room + fixedBytes;
  for (const words of [...prompts, tokens]) {
    bytes.set(bytesOf(words), end);
    end += words.byteLength;
  }
  const jsonBytes = json === '' ? 0 : bytes.write(json, end);
  bytes.writeDoubleLE(at, room);
  bytes.writeUInt32LE(jsonBytes, room + 8);
  return bytes.subarray(0, end + jsonBytes);
}

const withLengths = ({ prompts, ...answer }: BegunAnswer) => ({
  ...answer,
  prompts: prompts.map(({ length }) => length),
});

export function decodeGroup(record: Uint8Array): Group {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  const at = bytes.readDoubleLE(0);
  const jsonBytes = bytes.readUInt32LE(8);
  const words = wordsOf(bytes.subarray(fixedBytes, bytes.length - jsonBytes));
  if (jsonBytes === 0) return { at, begun: [], tokens: words, ended: [] };
  const said = JSON.parse(bytes.toString('utf8', bytes.length - jsonBytes)) as SaidOfGroup;
  let taken = 0;
  const take = (length: number) => {
    taken += length;
    return words.subarray(taken - length, taken);
  };
  const begun = said.begun.map(({ prompts, ...answer }) => ({ ...answer, prompts: prompts.map(take) }));
  return { at, begun, tokens: words.subarray(taken), ended: said.ended };
}

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
