/** The job that reads a contribution's file: its rows become stored examples and refused rows. */
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { ReadLimits, ReadRows, Row } from '../formats/format.ts';
import type { Content, Contribution, RefusedRow, StoredExample } from '../model.ts';
import { contentHash } from '../snapshots/canonical.ts';
import type { BlobStore } from '../store/blob_store.ts';
import type { DatanetStore, Job } from '../store/datanet_store.ts';
import { isOutage } from '../store/store_error.ts';
import { sentence, type Work } from './runner.ts';
import { type TakenBy, Taking } from './taking.ts';

/** Texts are written in blobs of about this size: few enough to be fast, small enough to be held and rewritten. */
const segmentBytes = 4 * 2 ** 20;
/** Rows of one transaction. */
const batchRows = 10_000;

export interface CheckLimits extends ReadLimits {
  /** Rows of one file that may be refused: what is kept of one can be a hundred times as long as it is. */
  refusedRows: number;
}

export interface CheckParts {
  store: DatanetStore;
  blobs: BlobStore;
  readRows: ReadRows;
  /** The bytes of a content that are hashed and stored. */
  canonical(content: Content): Uint8Array;
  limits: CheckLimits;
  /** What the contribution's Datanet takes. */
  takenBy(contribution: Contribution): Promise<TakenBy>;
}

/**
 * submitted -> checked, or failed where the file as a whole cannot be read, or a fault of ours comes again each time. While it waits
 * to be tried again, its reason says why.
 */
export function checkWork(parts: CheckParts): Work {
  return async (job, signal, isLast) => {
    const { store } = parts;
    const contribution = await store.contribution(job.params.contribution as string);
    if (contribution?.state !== 'submitted') return {};
    try {
      const counts = await check(contribution, job, signal, parts);
      await store.moveContribution(contribution.id, ['submitted'], {
        state: 'checked',
        reason: null,
        ...counts,
      });
      return counts;
    } catch (error) {
      if (signal.aborted) throw error;
      const isFiles = error instanceof ColophonError && error.status < 500;
      if (!isFiles && (!isLast || isOutage(error))) {
        const reason = `Its check waits to be tried again: ${sentence(error)}`;
        // Where the store is what is away, it cannot be told.
        await store.moveContribution(contribution.id, ['submitted'], { reason }).catch(() => {});
        throw error;
      }
      for (const blob of await store.deleteRows(contribution.id)) await parts.blobs.delete(blob);
      const reason = isFiles ? error.message : `It could not be checked: ${sentence(error)} Send it again.`;
      await store.moveContribution(contribution.id, ['submitted'], { state: 'failed', reason });
      throw error;
    }
  };
}

/** Reading is deterministic: rows that an earlier run stored are read again and passed over. */
async function check(
  contribution: Contribution,
  job: Job,
  signal: AbortSignal,
  { store, blobs, readRows, canonical, limits, takenBy }: CheckParts,
): Promise<{ rows: number; refused: number }> {
  const taking = new Taking(await takenBy(contribution));
  const stored = (job.checkpoint ?? { rows: 0, refused: 0 }) as { rows: number; refused: number };
  let { rows, refused } = stored;
  let seen = 0;
  let batch: Row[] = [];
  let texts: Uint8Array[] = [];
  let bytes = 0;
  const flush = async () => {
    signal.throwIfAborted();
    const blob = texts.length > 0 ? (await blobs.write(whole(texts))).sha256 : '';
    let offset = 0;
    let text = 0;
    const examples: Array<Omit<StoredExample, 'seq'>> = [];
    const refusals: RefusedRow[] = [];
    for (const row of batch) {
      if ('refused' in row) {
        refusals.push(row.refused);
        continue;
      }
      const content = texts[text++]!;
      examples.push({
        datanet: contribution.datanet,
        contribution: contribution.id,
        contributor: contribution.contributor,
        line: row.line,
        hash: contentHash(content),
        originalHash: null,
        source: row.example.source ?? null,
        group: row.example.group ?? null,
        place: { blob, offset, bytes: content.length },
      });
      offset += content.length;
    }
    rows += batch.length;
    refused += refusals.length;
    if (refused > limits.refusedRows) throw tooManyRefused(contribution, limits.refusedRows, refusals[0]!);
    // A crash before this leaves a blob that nobody uses, which the next start sweeps.
    await store.addRows(
      contribution.id,
      { examples, refused: refusals },
      { id: job.id, checkpoint: { rows, refused }, done: rows },
    );
    batch = [];
    texts = [];
    bytes = 0;
  };
  const file = {
    size: contribution.bytes,
    stream: () => blobs.read(contribution.sha256),
    slice: async (offset: number, length: number) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of blobs.read(contribution.sha256, { offset, bytes: length }))
        chunks.push(chunk);
      return Buffer.concat(chunks);
    },
  };
  try {
    for await (const read of readRows(file, contribution.filename, contribution.format, limits)) {
      signal.throwIfAborted();
      const fresh = read.slice(Math.max(0, stored.rows - seen));
      seen += read.length;
      for (const row of await taking.rows(fresh, signal)) {
        batch.push(row);
        if ('example' in row) {
          const text = canonical(row.example.content);
          texts.push(text);
          bytes += text.length;
        } else {
          bytes += row.refused.raw.length;
        }
        if (bytes >= segmentBytes || batch.length >= batchRows) await flush();
      }
    }
    if (batch.length > 0) await flush();
    return { rows, refused };
  } finally {
    await taking.end();
  }
}

function tooManyRefused({ filename }: Contribution, most: number, { reason }: RefusedRow): ColophonError {
  return new ColophonError(
    `More than ${most} rows of '${filename}' would be refused (plugins.datanet.refused_rows), so that it was given up. One of them: ${reason} Correct the file, or say its format, and send it again.`,
    { code: 'too_many_refused_rows' },
  );
}

/** As one piece: a write of a row's bytes takes longer than its check. */
async function* whole(texts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield Buffer.concat(texts);
}
