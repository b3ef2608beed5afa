/** The threads of one curation, begun with it and ended with it. */
import { Piscina } from 'piscina';
import { threadFile } from '../thread_file.ts';
import type { Chunk, ChunkInput, ChunkResult } from './chunk.ts';
import type { DuplicatesTask } from './duplicates_thread.ts';
import type { Fingerprints } from './fingerprints.ts';
import type { Findings } from './stage.ts';

/**
 * MiB. Left alone a heap grows to what the machine has before it is cleaned well; chunks are small, and what a thread holds besides are
 * tables of languages and phone numbers.
 */
const heap = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 512 };

export class CurationThreads {
  readonly #rows: Piscina<Chunk, ChunkResult>;
  readonly #duplicates: Piscina<DuplicatesTask, Findings | null> | undefined;

  constructor(input: ChunkInput, threads: number) {
    this.#rows = new Piscina({
      filename: threadFile(import.meta.url, 'row_thread'),
      workerData: input,
      minThreads: threads,
      maxThreads: threads,
      resourceLimits: heap,
    });
    const { duplicates } = input.settings;
    if (!duplicates.enabled) return;
    this.#duplicates = new Piscina({
      filename: threadFile(import.meta.url, 'duplicates_thread'),
      workerData: { threshold: duplicates.threshold, permutations: duplicates.permutations },
      minThreads: 1,
      maxThreads: 1,
      resourceLimits: heap,
    });
  }

  /** Chunks may be given at once; each resolves by itself. Its bytes are handed over. */
  run(chunk: Chunk): Promise<ChunkResult> {
    return this.#rows.run(chunk, { transferList: [chunk.bytes.buffer as ArrayBuffer] });
  }

  /** Rows that are compared: those for which `takes` has a 1. The prints are handed over. */
  async compare(prints: Fingerprints, takes: Uint8Array): Promise<void> {
    const transferList = Object.values(prints).map(({ buffer }) => buffer as ArrayBuffer);
    await this.#duplicates?.run({ kind: 'add', prints, takes }, { transferList });
  }

  /** Links of duplicates, once all rows have come; `without`: rows that were set aside meanwhile. */
  async *duplicates(without: Iterable<number>): AsyncGenerator<Findings> {
    if (!this.#duplicates) return;
    await this.#duplicates.run({ kind: 'without', seqs: [...without] });
    for (;;) {
      const findings = await this.#duplicates.run({ kind: 'next' });
      if (!findings) return;
      yield findings;
    }
  }

  /** Whatever they are at. */
  async end(): Promise<void> {
    await Promise.all([this.#rows.destroy(), this.#duplicates?.destroy()]);
  }
}
