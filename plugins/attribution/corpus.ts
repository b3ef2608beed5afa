/** What an adapter was trained on, as its folder has it: the trace index, and who gave each example. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import {
  type CorpusHead,
  corpusFile,
  type ExampleOrigin,
  fidelityFile,
  traceIndexFile,
} from '../../gateway/contract/index.ts';
import { type NativeTraceIndex, native } from '../../native/binding/index.ts';
import { Influence } from './influence.ts';

const sumsFile = 'SHA256SUMS';
const longestLine = 64 * 1024;

/** Who gave the examples, once the files were read and found whole. */
export class Origins {
  readonly source: string;
  readonly baseShare: number | undefined;
  /** Stands in the trace index for tokens that were not learned. */
  readonly unlearned: number;
  readonly #path: string;
  /** Where each example's line begins, and the end of the last. */
  readonly #starts: Float64Array;
  /** Of each example's cluster the one that was given first; of equals the one of the lower hash. */
  readonly #first: Int32Array;

  private constructor(path: string, head: CorpusHead, lines: { starts: Float64Array; first: Int32Array }) {
    this.#path = path;
    this.#starts = lines.starts;
    this.#first = lines.first;
    this.source = head.source;
    this.baseShare = head.base_share;
    this.unlearned = head.unlearned;
  }

  /** Throws a sentence where the file is damaged or of another adapter; undefined where there is none: no Datanet taught it. */
  static async open(folder: string, adapter: string, examples: number): Promise<Origins | undefined> {
    const path = join(folder, corpusFile);
    if (!(await stat(path).catch(() => undefined))) return undefined;
    let head: CorpusHead | undefined;
    const starts = new Float64Array(examples + 1);
    const clusters = new Clusters(examples);
    let line = 0;
    const sha256 = await eachLine(path, (text, end) => {
      if (line === 0) head = parse(text, path);
      else if (line <= examples) clusters.add(line - 1, parse(text, path));
      if (line <= examples) starts[line] = end;
      line++;
    });
    await compare(folder, corpusFile, sha256);
    if (head?.adapter !== adapter)
      throw new Error(`${path} is of the adapter ${head?.adapter}, not of ${adapter}.`);
    if (line !== examples + 1 || head.examples !== examples)
      throw new Error(`${path} names ${line - 1} examples, the trace index has ${examples}.`);
    return new Origins(path, head, { starts, first: clusters.first() });
  }

  /** Of examples by their numbers, and of the first of each one's cluster. */
  async of(numbers: Iterable<number>): Promise<Map<number, ExampleOrigin>> {
    const wanted = new Set<number>();
    for (const number of numbers) wanted.add(number).add(this.#first[number]!);
    const found = new Map<number, ExampleOrigin>();
    const file = await open(this.#path);
    try {
      for (const number of wanted) {
        const [start, end] = [this.#starts[number]!, this.#starts[number + 1]!];
        const { buffer } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
        found.set(number, parse(buffer.toString('utf8'), this.#path));
      }
    } finally {
      await file.close();
    }
    return found;
  }
}

/** Finds which example of each cluster was given first. */
class Clusters {
  readonly #of: Int32Array;
  readonly #numbers = new Map<string, number>();
  readonly #firsts: Array<{ example: number; given: number; hash: string }> = [];

  constructor(examples: number) {
    this.#of = new Int32Array(examples);
  }

  add(example: number, { cluster, given, example: hash }: ExampleOrigin): void {
    let number = this.#numbers.get(cluster);
    if (number === undefined) {
      number = this.#firsts.length;
      this.#numbers.set(cluster, number);
    }
    this.#of[example] = number;
    const first = this.#firsts[number];
    if (!first || given < first.given || (given === first.given && hash < first.hash))
      this.#firsts[number] = { example, given, hash };
  }

  first(): Int32Array {
    return this.#of.map((cluster) => this.#firsts[cluster]?.example ?? 0);
  }
}

/** Tells each line with where it ends, and gives the file's SHA-256, hex. */
async function eachLine(path: string, take: (line: string, end: number) => void): Promise<string> {
  const hash = createHash('sha256');
  let rest: Buffer = Buffer.alloc(0);
  let at = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 18 }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let from = 0;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10, from)) {
      take(rest.toString('utf8', from, end), at + end + 1);
      from = end + 1;
    }
    at += from;
    rest = rest.subarray(from);
    if (rest.length > longestLine)
      throw new Error(`${path} is damaged: a line is longer than ${longestLine} bytes.`);
  }
  return hash.digest('hex');
}

export class Corpus {
  readonly folder: string;
  /** Content hash of the adapter. */
  readonly adapter: string;
  readonly index: NativeTraceIndex;
  #origins: Promise<Origins | undefined> | undefined;
  #influence: Promise<Influence | undefined> | undefined;

  /** Throws where the index cannot be used; reads no more of it than its head. */
  constructor(folder: string, adapter: string) {
    this.folder = folder;
    this.adapter = adapter;
    this.index = native().openTraceIndex(join(folder, traceIndexFile), adapter);
  }

  /**
   * Reads both files whole, once: who gave the examples, undefined where nobody is named. Rejects with a sentence where they are
   * damaged.
   */
  origins(): Promise<Origins | undefined> {
    this.#origins ??= (async () => {
      await this.index.check();
      return Origins.open(this.folder, this.adapter, this.index.info().examples);
    })();
    return this.#origins;
  }

  /** Reads all of its index, once; undefined where it has none. Rejects where it, or its report of fidelity, is damaged. */
  influence(): Promise<Influence | undefined> {
    this.#influence ??= Influence.open(this.folder, this.adapter);
    return this.#influence;
  }
}

/** Those that were asked for last, by what their files were then. */
export class Corpora {
  readonly #open = new LRUCache<string, Corpus>({ max: 1024 });

  /** Throws a sentence where there is no index of that adapter, or one that cannot be used. */
  async of(folder: string, adapter: string): Promise<Corpus> {
    const [there, measured] = await Promise.all(
      [traceIndexFile, fidelityFile].map((name) => stat(join(folder, name)).catch(() => undefined)),
    );
    if (!there) throw new Error('No index of what it was trained on lies beside the adapter.');
    const key = `${folder}\0${adapter}\0${there.mtimeMs}\0${measured?.mtimeMs}`;
    let corpus = this.#open.get(key);
    if (!corpus) {
      corpus = new Corpus(folder, adapter);
      this.#open.set(key, corpus);
    }
    return corpus;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: a line is what wrote it says
function parse(line: string, path: string): any {
  try {
    return JSON.parse(line);
  } catch {
    throw new Error(`${path} is damaged: ${JSON.stringify(line.slice(0, 60))} is not JSON.`);
  }
}

/** Throws where the hash that was noted when the adapter was made is another. */
async function compare(folder: string, name: string, sha256: string): Promise<void> {
  const sums = await readFile(join(folder, sumsFile), 'utf8').catch(() => '');
  const noted = sums
    .split('\n')
    .find((line) => line.endsWith(`  ${name}`))
    ?.slice(0, 64);
  if (noted && noted !== sha256)
    throw new Error(`${join(folder, name)} is damaged: its SHA-256 is ${sha256}, not ${noted}.`);
}
