/** What a thread of grammars runs: it compiles them, and keeps the matchers of the answers that follow them. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Grammar, GrammarVocabulary } from './grammar.ts';
import { type CompiledGrammar, GrammarEngine, GrammarFault, type Matcher } from './xgrammar.ts';

/** In one message what is wanted since the last: matchers that end, begin and go on, then grammars that are given up. */
export interface MatchOrder {
  kind: 'match';
  close: number[];
  /** Pairs of a new matcher's number and its grammar's. */
  open: Array<[matcher: number, grammar: number]>;
  /** Pairs of a matcher's number and the token that it accepts. */
  accept: Array<[matcher: number, token: number]>;
  /** Their matchers go on. */
  drop: number[];
}

export type Order = MatchOrder | { kind: 'compile'; grammar: number; source: Grammar };

export type Report =
  | { kind: 'compiled'; grammar: number; milliseconds: number; bytes: number }
  | { kind: 'refused'; grammar: number; sentence: string; fatal: boolean }
  /** The masks of `matchers`, one after another. `failed`: matchers whose token their grammar does not allow. */
  | { kind: 'masks'; matchers: number[]; masks: Uint32Array; failed: number[] };

const { endIds, bytes, offsets, specialIds } = workerData as GrammarVocabulary;
const port = parentPort!;
const engine = GrammarEngine.create({ endIds, bytes, offsets, specialIds });
const grammars = new Map<number, CompiledGrammar>();
const matchers = new Map<number, Matcher>();

async function compile(grammar: number, source: Grammar): Promise<Report> {
  const xgrammar = await engine;
  const started = performance.now();
  try {
    grammars.set(grammar, await xgrammar.compile(source));
    return { kind: 'compiled', grammar, milliseconds: performance.now() - started, bytes: xgrammar.bytes };
  } catch (error) {
    if (!(error instanceof GrammarFault)) throw error;
    return { kind: 'refused', grammar, sentence: error.message, fatal: error.fatal };
  }
}

async function match({ close, open, accept, drop }: MatchOrder): Promise<Report | undefined> {
  for (const number of close) {
    matchers.get(number)?.dispose();
    matchers.delete(number);
  }
  const done: number[] = [];
  const failed: number[] = [];
  const masks: Int32Array[] = [];
  const take = (number: number, mask: Int32Array | undefined) => {
    if (!mask) return void failed.push(number);
    done.push(number);
    masks.push(mask);
  };
  for (const [number, grammar] of open) {
    const matcher = await grammars.get(grammar)?.matcher();
    if (matcher) matchers.set(number, matcher);
    take(number, await matcher?.mask());
  }
  for (const [number, token] of accept) take(number, await matchers.get(number)?.accept(token));
  for (const number of drop) {
    grammars.get(number)?.dispose();
    grammars.delete(number);
  }
  if (done.length + failed.length === 0) return undefined;
  const words = masks[0]?.length ?? 0;
  const all = new Uint32Array(words * masks.length);
  masks.forEach((mask, index) => {
    all.set(mask, index * words);
  });
  return { kind: 'masks', matchers: done, masks: all, failed };
}

async function obey(order: Order): Promise<void> {
  const report = order.kind === 'compile' ? await compile(order.grammar, order.source) : await match(order);
  if (report) port.postMessage(report, report.kind === 'masks' ? [report.masks.buffer as ArrayBuffer] : []);
}

// One after another: an order may stand on the one before it. A failure ends the thread, which its owner sees.
let last: Promise<void> = Promise.resolve();
port.on('message', (order: Order) => {
  last = last.then(() => obey(order));
});
