/** The threads of one curation, begun with it and ended with it. */
import { Piscina } from 'piscina';
import { threadFile } from '../../../gateway/contract/thread_file.ts';
import type { Chunk, ChunkInput, ChunkResult } from './chunk.ts';
import type { DuplicatesTask } from './duplicates_thread.ts';
import type { Fingerprints } from './fingerprints.ts';
import type { LanguageTables } from './language_tables.ts';
import type { Findings } from './stage.ts';

/**
 * MiB. Left alone a heap grows to what the machine has before it is cleaned well; chunks are small, and what a thread holds besides are
 * tables of phone numbers. The young are given room for a chunk's rows: of a third as much, an eighth of all time went into moving them.
 */
const heap = { maxYoungGenerationSizeMb: 24, maxOldGenerationSizeMb: 512 };

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

/** Read at the first curation that needs them, in a thread whose memory is free again once it has ended. */
let tables: Promise<LanguageTables> | undefined;
export function languageTables(): Promise<LanguageTables> {
  tables ??= readTables().catch((error) => {
    tables = undefined;
    throw error;
  });
  return tables;
}

async function readTables(): Promise<LanguageTables> {
  const thread = new Piscina<null, LanguageTables>({
    filename: threadFile(import.meta.url, 'language_thread'),
    minThreads: 1,
    maxThreads: 1,
  });
  try {
    return await thread.run(null);
  } finally {
    await thread.destroy();
  }
}
