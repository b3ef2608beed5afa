/** Stores what a curation finds, some thousand rows at a time: texts that stages changed in a blob, then what was said of rows. */
import type { BlobStore } from '../store/blob_store.ts';
import type { DatanetStore } from '../store/datanet_store.ts';
import type { ChunkFinding } from './chunk.ts';

/** What waits is stored once it is one of: verdicts of a transaction, bytes of a blob, rows since progress was told. */
const most = { verdicts: 1000, bytes: 4 * 2 ** 20, rows: 10_000 };

export class VerdictWriter {
  readonly #store: DatanetStore;
  readonly #blobs: BlobStore;
  readonly #job: string;
  readonly #report: () => Record<string, unknown>;
  #verdicts: ChunkFinding[] = [];
  #masks: Uint8Array[] = [];
  #bytes = 0;
  #done = 0;
  #told = 0;
  #stage = '';

  /** `report`: what was found so far. */
  constructor(
    { store, blobs }: { store: DatanetStore; blobs: BlobStore },
    job: string,
    report: () => Record<string, unknown>,
  ) {
    this.#store = store;
    this.#blobs = blobs;
    this.#job = job;
    this.#report = report;
  }

  /** `masks`: the texts that the findings' `masked` lie in. */
  async add(
    findings: ChunkFinding[],
    masks: Uint8Array | null,
    at: { stage: string; done: number },
  ): Promise<void> {
    for (const finding of findings) {
      const { masked } = finding;
      this.#verdicts.push(
        masked ? { ...finding, masked: { ...masked, offset: masked.offset + this.#bytes } } : finding,
      );
    }
    if (masks && masks.length > 0) {
      this.#masks.push(masks);
      this.#bytes += masks.length;
    }
    this.#stage = at.stage;
    this.#done = at.done;
    const full = this.#verdicts.length >= most.verdicts || this.#bytes >= most.bytes;
    if (full || this.#done - this.#told >= most.rows) await this.flush();
  }

  async flush(): Promise<void> {
    // A crash before the verdicts are stored leaves a blob that nobody uses, which the next start sweeps.
    const blob = this.#bytes > 0 ? (await this.#blobs.write(each(this.#masks))).sha256 : '';
    const verdicts = this.#verdicts.map(({ masked, ...verdict }) => {
      if (!masked) return verdict;
      const { hash, offset, bytes } = masked;
      return { ...verdict, masked: { hash, place: { blob, offset, bytes } } };
    });
    this.#verdicts = [];
    this.#masks = [];
    this.#bytes = 0;
    this.#told = this.#done;
    const progress = { checkpoint: {}, done: this.#done, stage: this.#stage, report: this.#report() };
    await this.#store.addVerdicts(this.#job, verdicts, progress);
  }
}

async function* each(chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}
