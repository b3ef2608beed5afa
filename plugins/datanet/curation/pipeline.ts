/**
 * A curation: every example of the accepted contributions goes through the row stages on threads, in chunks; then those that
 * are left are compared as a whole. What is found is stored as it comes, in the order of the rows, so that the number of
 * threads changes nothing. It holds the texts of a few chunks; all else is typed arrays by row.
 */
import type { Contribution, StoredExample } from '../model.ts';
import type { BlobStore } from '../store/blob_store.ts';
import type { DatanetStore } from '../store/datanet_store.ts';
import type { Chunk, ChunkFinding, ChunkInput, ChunkResult } from './chunk.ts';
import { type LicenceFault, licence } from './licence.ts';
import { readTexts } from './read_texts.ts';
import { CurationReport } from './report.ts';
import type { Comparison, Findings, Item, Stage } from './stage.ts';
import { CurationThreads } from './threads.ts';
import { VerdictWriter } from './verdict_writer.ts';

export interface PipelineParts {
  store: DatanetStore;
  blobs: BlobStore;
  threads: number;
}

export interface Curation {
  job: string;
  datanet: string;
  input: ChunkInput;
  licenceFault: LicenceFault;
  /** Stages that ask the engine, of one row and of all: they run in this process, where it is. */
  engine: { rows: Stage[]; whole: Comparison[] };
  signal: AbortSignal;
}

export interface CurationResult {
  report: ReturnType<CurationReport['end']>;
  /** Contributions whose rows were all looked at. */
  contributions: string[];
}

/** Chunks on their way for each thread, so that none waits for the next. */
const ahead = 2;

/** Most text of a chunk, but for a row that has more. */
const chunkBytes = 2 ** 20;

/** The job's verdicts are those of this run alone: what an earlier one, that was cut, has left is taken away first. */
export async function curate(parts: PipelineParts, curation: Curation): Promise<CurationResult> {
  const { store, blobs } = parts;
  const { job, datanet, input, signal } = curation;
  await store.clearVerdicts(job);
  const accepted = await acceptedContributions(store, datanet);
  let total = 0;
  for (const { rows, refused } of accepted.values()) total += rows - refused;
  await store.updateJob(job, { done: 0, total, stage: 'rows', report: null }, ['running']);
  const threads = new CurationThreads(input, parts.threads);
  const begun: Array<{ examples: StoredExample[]; result: Promise<[Chunk, ChunkResult]> }> = [];
  try {
    const run = new Run(parts, curation, threads, await wordsOf(store, datanet));
    const settle = async () => {
      const { examples, result } = begun.shift()!;
      await run.settle(examples, ...(await result));
      signal.throwIfAborted();
    };
    for await (const batch of store.accepted(datanet)) {
      signal.throwIfAborted();
      for (const examples of chunksOf(batch.filter(({ contribution }) => accepted.has(contribution)))) {
        const result = readTexts(store, blobs, examples).then(
          async (chunk): Promise<[Chunk, ChunkResult]> => [chunk, await threads.run(chunk)],
        );
        result.catch(() => {}); // It is told when its turn comes.
        begun.push({ examples, result });
        if (begun.length >= ahead * parts.threads) await settle();
      }
    }
    while (begun.length > 0) await settle();
    const report = await run.compare();
    signal.throwIfAborted();
    // One that was taken out and in again meanwhile may have rows that were passed over.
    const now = await acceptedContributions(store, datanet);
    const contributions = [...accepted].flatMap(([id, { reviewedAt }]) =>
      now.get(id)?.reviewedAt === reviewedAt ? [id] : [],
    );
    return { report, contributions };
  } finally {
    await threads.end();
  }
}

/** A batch, or pieces of it where its rows are long: what a thread holds at once is a few times as much. */
function* chunksOf(batch: StoredExample[]): Generator<StoredExample[]> {
  let chunk: StoredExample[] = [];
  let bytes = 0;
  for (const example of batch) {
    if (chunk.length > 0 && bytes + example.place!.bytes > chunkBytes) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(example);
    bytes += example.place!.bytes;
  }
  if (chunk.length > 0) yield chunk;
}

class Run {
  readonly #curation: Curation;
  readonly #threads: CurationThreads;
  /** Curators' words, by seq: whether the row is kept. They stand above what stages say, which is told all the same. */
  readonly #words: ReadonlyMap<number, boolean>;
  readonly #report = new CurationReport();
  readonly #writer: VerdictWriter;
  readonly #licence;

  constructor(
    parts: PipelineParts,
    curation: Curation,
    threads: CurationThreads,
    words: ReadonlyMap<number, boolean>,
  ) {
    this.#curation = curation;
    this.#threads = threads;
    this.#words = words;
    this.#writer = new VerdictWriter(parts, curation.job, () => this.#report.soFar());
    this.#licence = licence(curation.licenceFault);
  }

  /** Stores what was found in a chunk, and gives those of its rows that stay to be compared. */
  async settle(examples: StoredExample[], { seqs }: Chunk, result: ChunkResult): Promise<void> {
    const { input, engine } = this.#curation;
    const { findings, masks, told, fingerprints, contents } = result;
    const found: ChunkFinding[] = [];
    const aside = new Set<number>();
    const say = (stage: string, said: Findings, verdicts: ChunkFinding[]) => {
      this.#report.add(stage, said);
      for (const { seq, action } of verdicts) if (action === 'quarantine') aside.add(seq);
      found.push(...verdicts);
    };
    const stays = (seq: number) => this.#words.get(seq) ?? !aside.has(seq);
    if (input.settings.licence.enabled) {
      const there = new Set(seqs);
      const said = await this.#licence(examples.filter(({ seq }) => there.has(seq)));
      say(
        'licence',
        { findings: said },
        said.map((finding) => ({ ...finding, stage: 'licence' })),
      );
    }
    for (const [stage, counted] of Object.entries(told)) {
      const verdicts = findings.filter((finding) => finding.stage === stage);
      say(stage, { findings: verdicts, ...counted }, verdicts);
    }
    if (contents) {
      const items = () =>
        seqs.flatMap((seq, at): Item[] => (stays(seq) ? [{ seq, content: contents[at]! }] : []));
      for (const { name, each } of engine.rows) {
        const said = await each(items(), input);
        say(
          name,
          said,
          said.findings.map((finding) => ({ ...finding, stage: name })),
        );
      }
      for (const comparison of engine.whole) await comparison.see(items());
    }
    if (fingerprints)
      await this.#threads.compare(
        fingerprints,
        Uint8Array.from(seqs, (seq) => (stays(seq) ? 1 : 0)),
      );
    const { totals } = this.#report;
    totals.rows += seqs.length;
    totals.masked += new Set(found.flatMap(({ seq, masked }) => (masked ? [seq] : []))).size;
    for (const seq of seqs) {
      if (stays(seq)) totals.kept++;
      else if (this.#words.get(seq) === false) totals.refused++;
      else totals.quarantined++;
    }
    await this.#writer.add(found, masks, { stage: 'rows', done: totals.rows });
  }

  /** Stores what is found when all rows are known. */
  async compare(): Promise<ReturnType<CurationReport['end']>> {
    const aside = new Set<number>();
    const { totals } = this.#report;
    await this.#writer.add([], null, { stage: 'comparison', done: totals.rows });
    await this.#writer.flush();
    for (const comparison of this.#curation.engine.whole) {
      for (const said of comparison.end()) {
        await this.#tell(comparison.name, said);
        for (const { seq, action } of said.findings) {
          if (action !== 'quarantine' || this.#words.has(seq)) continue;
          aside.add(seq);
          totals.kept--;
          totals.quarantined++;
        }
      }
    }
    for await (const said of this.#threads.duplicates(aside)) {
      await this.#tell('duplicates', said);
      for (const { seq } of said.findings) {
        if (this.#words.has(seq)) continue;
        totals.kept--;
        totals.linked++;
      }
    }
    await this.#writer.flush();
    return this.#report.end();
  }

  async #tell(stage: string, said: Findings): Promise<void> {
    this.#curation.signal.throwIfAborted();
    this.#report.add(stage, said);
    const done = this.#report.totals.rows;
    await this.#writer.add(
      said.findings.map((finding) => ({ ...finding, stage })),
      null,
      { stage, done },
    );
  }
}

async function acceptedContributions(
  store: DatanetStore,
  datanet: string,
): Promise<Map<string, Contribution>> {
  const found = new Map<string, Contribution>();
  for (let after: string | undefined; ; ) {
    const filter = { datanet, state: 'accepted' } as const;
    const page = await store.contributions(filter, { limit: 100, ...(after === undefined ? {} : { after }) });
    for (const contribution of page.data) found.set(contribution.id, contribution);
    if (!page.hasMore) return found;
    after = page.data.at(-1)!.id;
  }
}

async function wordsOf(store: DatanetStore, datanet: string): Promise<Map<number, boolean>> {
  const words = new Map<number, boolean>();
  for (let after = 0; ; ) {
    const page = await store.overrides(datanet, { after, limit: 1000 });
    for (const { seq, keep } of page.data) words.set(seq, keep);
    if (!page.hasMore) return words;
    after = page.data.at(-1)!.seq;
  }
}
