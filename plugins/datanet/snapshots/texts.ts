/** The examples of a snapshot with their texts, in its order. */
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { Content, Datanet, SnapshotEntry, Split, TextPlace } from '../model.ts';
import type { BlobStore } from '../store/blob_store.ts';
import type { DatanetStore } from '../store/datanet_store.ts';
import type { Manifest } from './manifest.ts';

/** Texts of about so many bytes are held at a time. */
const batchBytes = 4 * 2 ** 20;

export interface PlacedEntry {
  entry: SnapshotEntry;
  place: TextPlace;
}

/** Where the texts of a split lie. Rejects with `contribution_withdrawn` or `example_withdrawn` at one that is gone. */
export async function* placesOfSplit(
  store: DatanetStore,
  datanet: Datanet,
  manifest: Manifest,
  split: Split,
): AsyncGenerator<PlacedEntry> {
  for await (const entries of manifest.entries()) {
    const own = entries.filter((entry) => entry.split === split);
    for (const [at, place] of (await store.placesOf(datanet.id, own)).entries()) {
      if (!place) throw await withdrawn(store, datanet, own[at]!);
      yield { entry: own[at]!, place };
    }
  }
}

/** The texts themselves, in batches. */
export async function* textsOfSplit(
  blobs: BlobStore,
  places: AsyncIterable<PlacedEntry>,
): AsyncGenerator<Array<PlacedEntry & { content: Content }>> {
  let batch: Array<PlacedEntry & { content: Content }> = [];
  let bytes = 0;
  for await (const one of places) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of blobs.read(one.place.blob, one.place)) chunks.push(chunk);
    batch.push({ ...one, content: JSON.parse(Buffer.concat(chunks).toString()) as Content });
    bytes += one.place.bytes;
    if (bytes < batchBytes) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

async function withdrawn(
  store: DatanetStore,
  { name }: Datanet,
  { contribution, line, hash }: SnapshotEntry,
): Promise<ColophonError> {
  const whole = (await store.contribution(contribution))?.state === 'withdrawn';
  return new ColophonError(
    whole
      ? `The contribution '${contribution}' was withdrawn since this snapshot of '${name}' was made, and its texts are gone. Make a new snapshot.`
      : `The example '${hash}' (line ${line} of the contribution '${contribution}') was withdrawn since this snapshot of '${name}' was made, and its text is gone. Make a new snapshot.`,
    { type: 'conflict_error', code: whole ? 'contribution_withdrawn' : 'example_withdrawn' },
  );
}
